"""Packages from a private index, through a proxy, behind a private CA, from a wheelhouse."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.engines.index import (
    PASSWORD,
    USER,
    PrivateIndex,
    make_certificate,
    private_index,
    proxy,
    tunnel,
)
from tests.factories.projects import PROVIDER, write_project
from tests.factories.providers import NO_SPECS
from tests.factories.wheels import write_wheel

pytestmark = pytest.mark.slow

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Engine = Callable[[str], str]

PACKAGE = (
    *("build", "--package", "demo==1.0", "--module", "demo", "--api", "inference"),
    *("--provider-type", "remote::demo", "--python", "3.12"),
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A provider and what it needs."""
    folder = tmp_path_factory.mktemp("house")
    files = {"demo/__init__.py": "", "demo/provider.py": NO_SPECS}
    write_wheel(folder, "demo", files=files, requires=["helper"])
    # larger than the file system of the test that has too small a one
    write_wheel(
        folder,
        "helper",
        files={"helper.py": f"text = '{random.Random(1).randbytes(3_000_000).hex()}'\n"},
    )
    return folder


@pytest.fixture(scope="module")
def index(house: Path) -> Iterator[PrivateIndex]:
    with private_index(house) as started:
        yield started


def digest(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["outputs"][0]["digest"])


def settings(index: PrivateIndex, way: str, folder: Path) -> dict[str, str]:
    """The login of the index, said in one of uv's ways."""
    if way == "address":
        return {"UV_DEFAULT_INDEX": index.with_login}
    if way == "extra":
        return {"UV_INDEX": f"corp={index.with_login}", "UV_DEFAULT_INDEX": folder.as_uri()}
    if way == "variables":
        return {
            "UV_DEFAULT_INDEX": f"my-corp={index.url}",
            "UV_INDEX_MY_CORP_USERNAME": USER,
            "UV_INDEX_MY_CORP_PASSWORD": PASSWORD,
        }
    if way == "settings":
        (folder / "uv.toml").write_text(
            f'[[index]]\nname = "corp"\nurl = "{index.url}"\ndefault = true\n'
        )
        return {"UV_INDEX_CORP_USERNAME": USER, "UV_INDEX_CORP_PASSWORD": PASSWORD}
    netrc = folder / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    return {"UV_DEFAULT_INDEX": index.url, "NETRC": str(netrc)}


@pytest.mark.parametrize("way", ["address", "extra", "variables", "settings", "netrc"])
def test_the_login_reaches_the_index_and_nothing_else(
    cli: Cli,
    index: PrivateIndex,
    bare: Any,
    tmp_path: Path,
    way: str,
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    env = {**bare, **settings(index, way, work), "LLS_PROVIDER_DEBUG": "1"}
    index.asked.clear()
    done = cli(
        *(*PACKAGE, "--lock", "--output", "oci:image", "--format", "json"), cwd=work, env=env
    )
    first = digest(done)
    assert "/files/helper-1.0-py3-none-any.whl" in index.asked
    shown = done.stdout + done.stderr + (work / "pylock.toml").read_text()
    written = [it.read_bytes() for it in (work / "image").rglob("*") if it.is_file()]
    for secret in (PASSWORD, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()):
        assert secret not in shown
        assert not [it for it in written if secret.encode() in it]
    assert USER not in shown
    # everything is in the cache now: no login, no network
    locked = (*PACKAGE, "--locked", "--output", "oci:again", "--format", "json")
    again = cli(*locked, cwd=work, env=bare, prefix=_without_network())
    assert digest(again) == first


def _without_network() -> list[str]:
    return ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]


def test_a_wrong_login_is_told_without_it(
    cli: Cli, index: PrivateIndex, bare: Any, tmp_path: Path
) -> None:
    url = index.with_login.replace(PASSWORD, "wrong-secret")
    env = {**bare, "LLS_PROVIDER_DEBUG": "1"}
    done = cli(*PACKAGE, "--default-index", url, "--output", "oci:image", cwd=tmp_path, env=env)
    assert done.returncode == 3
    assert "The package index could not be reached" in done.stderr
    assert "401" in done.stderr
    assert "UV_INDEX_<NAME>_PASSWORD" in done.stderr
    assert "wrong-secret" not in done.stdout + done.stderr


def test_a_locked_build_without_the_login_says_which_way_to_give_it(
    cli: Cli, index: PrivateIndex, bare: Any, tmp_path: Path
) -> None:
    made = cli(*PACKAGE, "--lock", "--default-index", index.with_login, cwd=tmp_path, env=bare)
    assert made.returncode == 0, made.stderr
    shutil.rmtree(tmp_path / "cache")
    done = cli(*PACKAGE, "--locked", "--output", "oci:image", cwd=tmp_path, env=bare)
    assert done.returncode == 3
    assert "the server answered 401" in done.stderr
    assert "UV_INDEX_<NAME>_USERNAME" in done.stderr
    assert not (tmp_path / "image").exists()


def test_a_download_that_stalls_is_begun_again(
    cli: Cli, index: PrivateIndex, bare: Any, tmp_path: Path
) -> None:
    words = (*PACKAGE, "--default-index", index.with_login)
    made = cli(*words, "--lock", cwd=tmp_path, env=bare)
    assert made.returncode == 0, made.stderr
    shutil.rmtree(tmp_path / "cache")
    helper = "/files/helper-1.0-py3-none-any.whl"
    index.asked.clear()
    index.stalling.append(helper)
    env = {**bare, "UV_HTTP_TIMEOUT": "2"}
    locked = (*words, "--locked", "--output", "oci:image", "--format", "json")
    assert digest(cli(*locked, cwd=tmp_path, env=env))
    assert index.asked.count(helper) == 2


def test_offline_says_what_is_not_in_the_cache(
    cli: Cli, index: PrivateIndex, bare: Any, tmp_path: Path
) -> None:
    made = cli(*PACKAGE, "--lock", "--default-index", index.with_login, cwd=tmp_path, env=bare)
    assert made.returncode == 0, made.stderr
    index.asked.clear()
    resolved = (*PACKAGE, "--offline", "--output", "oci:image", "--format", "json")
    done = cli(*resolved, "--default-index", index.url, cwd=tmp_path, env=bare)
    assert digest(done)
    assert index.asked == []
    shutil.rmtree(tmp_path / "cache")
    done = cli(*PACKAGE, "--locked", "--offline", "--output", "oci:x", cwd=tmp_path, env=bare)
    assert done.returncode == 3
    assert "is not in the cache, and the network must not be used" in done.stderr


def test_a_private_ca_is_trusted_when_it_is_named(
    cli: Cli, engine: Engine, house: Path, bare: Any, tmp_path: Path
) -> None:
    ca, certificate = make_certificate(engine("openssl"), tmp_path)
    with private_index(house, certificate) as index:
        words = (*PACKAGE, "--default-index", index.with_login, "--output", "oci:image")
        refused = cli(*words, cwd=tmp_path, env=bare)
        assert refused.returncode == 3
        assert "certificate" in refused.stderr
        assert "SSL_CERT_FILE" in refused.stderr
        # relative, as uv takes it; and what requests reads beside it does not count for uv
        env = {**bare, "SSL_CERT_FILE": ca.name, "REQUESTS_CA_BUNDLE": "/nowhere"}
        assert digest(cli(*words, "--format", "json", cwd=tmp_path, env=env))
        assert "/files/helper-1.0-py3-none-any.whl" in index.asked


@pytest.mark.parametrize("way", ["folders", "insecure"])
def test_certificates_are_told_as_uv_has_them(
    cli: Cli, engine: Engine, house: Path, bare: Any, tmp_path: Path, way: str
) -> None:
    ca, certificate = make_certificate(engine("openssl"), tmp_path)
    folder = tmp_path / "authorities"
    folder.mkdir()
    shutil.copy(ca, folder / "corp.crt")  # no name that OpenSSL would look for
    with private_index(house, certificate) as index:
        env = {
            **bare,
            **(
                {"SSL_CERT_DIR": "gone:authorities", "CURL_CA_BUNDLE": "/nowhere"}
                if way == "folders"
                else {"UV_INSECURE_HOST": f"corp.example {index.host}"}
            ),
        }
        named = (*PACKAGE, "--default-index", index.with_login)
        words = (*named, "--output", "oci:image", "--format", "json")
        done = cli(*words, "--lock", cwd=tmp_path, env=env)
        first = digest(done)
        assert "Warning" not in done.stderr
        # without uv, which would say so first
        shutil.rmtree(tmp_path / "cache")
        refused = cli(*words, "--locked", cwd=tmp_path, env=bare)
        assert refused.returncode == 3
        assert "TLS: " in refused.stderr
        assert digest(cli(*words, "--locked", cwd=tmp_path, env=env)) == first


def test_the_authorities_of_the_system_count_where_uv_is_told_so(
    cli: Cli, engine: Engine, house: Path, bare: Any, tmp_path: Path
) -> None:
    told = ssl.get_default_verify_paths()
    if os.geteuid() or told.cafile is None:
        pytest.skip("putting an authority among the system's needs root and a file of them")
    ca, certificate = make_certificate(engine("openssl"), tmp_path)
    engine("unshare")
    with_ca = ("sh", "-c", f'mount --bind "$0" {told.cafile} && exec "$@"', str(ca))
    prefix = ["unshare", "-m", *with_ca]
    with private_index(house, certificate) as index:
        words = (*PACKAGE, "--default-index", index.with_login, "--output", "oci:image")
        env = {**bare, "UV_SYSTEM_CERTS": "true"}
        done = cli(*words, "--format", "json", cwd=tmp_path, env=env, prefix=prefix)
        assert digest(done)
        shutil.rmtree(tmp_path / "cache")
        refused = cli(*words, cwd=tmp_path, env=bare, prefix=prefix)
        assert refused.returncode == 3
        assert "certificate" in refused.stderr


def test_everything_goes_through_the_proxy(
    cli: Cli, index: PrivateIndex, bare: Any, tmp_path: Path
) -> None:
    with proxy(index.host) as (url, asked):
        env = {**bare, "HTTP_PROXY": url, "http_proxy": url, "NO_PROXY": ""}
        there = index.with_login.replace(index.host, "index.invalid")
        words = (*PACKAGE, "--default-index", there, "--output", "oci:image", "--format", "json")
        assert digest(cli(*words, cwd=tmp_path, env=env))
    assert "http://index.invalid/simple/helper/" in asked
    assert "http://index.invalid/files/helper-1.0-py3-none-any.whl" in asked


def test_an_index_with_tls_is_reached_through_a_tunnel(
    cli: Cli, engine: Engine, house: Path, bare: Any, tmp_path: Path
) -> None:
    ca, certificate = make_certificate(engine("openssl"), tmp_path)
    with private_index(house, certificate) as index, tunnel(index.host) as (url, asked):
        env = {**bare, "HTTPS_PROXY": url, "NO_PROXY": "", "SSL_CERT_FILE": str(ca)}
        there = index.with_login.replace(index.host, "index.invalid")
        words = (*PACKAGE, "--output", "oci:image", "--format", "json")
        first = digest(cli(*words, "--lock", "--default-index", there, cwd=tmp_path, env=env))
        # no machine has this name: what arrived came through the tunnel
        assert set(asked) == {"index.invalid:443"}
        assert "/simple/helper/" in index.asked
        assert "/files/helper-1.0-py3-none-any.whl" in index.asked
        # our downloads alone, without uv
        shutil.rmtree(tmp_path / "cache")
        asked.clear()
        locked = (*words, "--locked", "--default-index", there)
        assert digest(cli(*locked, cwd=tmp_path, env=env)) == first
        assert set(asked) == {"index.invalid:443"}
        # the proxy does not be in for trust
        shutil.rmtree(tmp_path / "cache")
        refused = cli(*locked, cwd=tmp_path, env={**env, "SSL_CERT_FILE": None})
        assert refused.returncode == 3
        assert "TLS: " in refused.stderr


def test_a_wheelhouse_does_instead_of_an_index(
    cli: Cli, house: Path, bare: Any, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    shutil.copytree(house, work / "wheels")
    env = {**bare, "UV_OFFLINE": "1"}  # so there is nothing but the wheelhouse
    words = ("--output", "oci:image", "--format", "json")
    made = cli(*PACKAGE, "--lock", "--find-links", "wheels", *words, cwd=work, env=env)
    first = digest(made)
    text = (work / "pylock.toml").read_text()
    assert 'path = "wheels/helper-1.0-py3-none-any.whl"' in text
    assert str(tmp_path) not in text
    assert digest(cli(*PACKAGE, "--locked", *words, cwd=work, env=env)) == first
    # another machine has the same files elsewhere
    (work / "wheels").rename(tmp_path / "elsewhere")
    missing = cli(*PACKAGE, "--locked", *words, cwd=work, env=env)
    assert missing.returncode == 1
    assert "--find-links" in missing.stderr
    found = cli(*PACKAGE, "--locked", "--find-links", "../elsewhere", *words, cwd=work, env=env)
    assert digest(found) == first
    changed = tmp_path / "elsewhere" / "helper-1.0-py3-none-any.whl"
    changed.write_bytes(changed.read_bytes() + b"more")
    other = cli(*PACKAGE, "--locked", "--find-links", "../elsewhere", *words, cwd=work, env=env)
    assert other.returncode == 1
    assert "helper-1.0-py3-none-any.whl" in other.stderr
    assert "Expected sha256" in other.stderr


def test_a_disk_that_fills_during_a_download_leaves_nothing_half_written(
    cli: Cli, engine: Engine, index: PrivateIndex, bare: Any, tmp_path: Path
) -> None:
    if os.geteuid():
        pytest.skip("mounting a file system needs root")
    small = tmp_path / "cache"
    small.mkdir()
    subprocess.run(
        [engine("mount"), "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True
    )
    try:
        words = (*PACKAGE, "--default-index", index.with_login, "--output", "oci:image")
        done = cli(*words, cwd=tmp_path, env=bare)
        assert done.returncode == 3
        assert "No space left on this machine" in done.stderr
        assert "set LLS_PROVIDER_CACHE" in done.stderr
        assert not list(small.rglob("helper-1.0-py3-none-any.whl"))
        assert not (tmp_path / "image").exists()
    finally:
        subprocess.run([engine("umount"), str(small)], check=True)


def test_a_dependency_has_an_index_of_its_own(
    cli: Cli, index: PrivateIndex, bare: Any, tmp_path: Path
) -> None:
    """``helper`` comes from the index that the workspace's root names, and nothing else does."""
    root = tmp_path / "work"
    write_project(root / "acme", "acme", "helper", PROVIDER)
    (root / "pyproject.toml").write_text(
        '[tool.uv.workspace]\nmembers = ["acme"]\n[tool.uv.sources]\nhelper = { index = "corp" }\n'
        f'[[tool.uv.index]]\nname = "corp"\nurl = "{index.url}"\nexplicit = true\n'
    )
    (tmp_path / "empty").mkdir()
    env = {
        **bare,
        "UV_DEFAULT_INDEX": (tmp_path / "empty").as_uri(),
        "UV_INDEX_CORP_USERNAME": USER,
        "UV_INDEX_CORP_PASSWORD": PASSWORD,
    }
    words = ("build", "acme", "--python", "3.12", "--output", "oci:image", "--format", "json")
    first = digest(cli(*words, "--lock", cwd=root, env=env))
    assert digest(cli(*words, "--locked", cwd=root, env=env)) == first
