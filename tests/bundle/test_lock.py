"""Bundles built from a lock: the same wheels as without it, and stale locks given."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.bundle.bundle import BundleRequest, CollectedWheels
from lls_provider.bundle.closure import collect_wheels, prefetch_wheels
from lls_provider.bundle.lock import lock_label, sources_digest, write_lock
from lls_provider.errors import Code, SdkError
from lls_provider.wheels.distribution import Distribution
from lls_provider.wheels.lock import read_lock_file, writable_lock

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter


@pytest.fixture
def wanted(interpreter: Interpreter) -> Callable[..., BundleRequest]:
    def make(requirement: str, *servers: dict[str, str], **options: Any) -> BundleRequest:
        named = tuple(
            Distribution(f"server-{number}", pins, interpreter, None)
            for number, pins in enumerate(servers)
        )
        return BundleRequest(requirement, None, interpreter, named, **options)

    return make


def locked(wanted: BundleRequest, path: Path) -> CollectedWheels:
    """What the lock at ``path`` gives for ``wanted``."""
    return collect_wheels(replace(wanted, locked=read_lock_file(path)))


def files(found: CollectedWheels) -> list[str]:
    return [file.name for file in found.wheels]


@pytest.mark.parametrize(
    "servers",
    [[], [{"both": "1.1", "inner": "1.0"}], [{"both": "1.1", "inner": "1.0"}, {"both": "1.2"}]],
)
def test_a_lock_gives_what_resolving_gave_without_an_index(
    offer: Any,
    make_wheel: Any,
    wanted: Any,
    servers: Sequence[dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offer(
        make_wheel("demo", requires=["both", "own-thing"]),
        make_wheel("both", "1.1", requires=["inner"]),
        make_wheel("both", "1.2"),
        make_wheel("inner", "1.0"),
        make_wheel("own-thing"),
    )
    bundle = wanted("demo==1.0.0", *servers)
    resolved = collect_wheels(bundle)
    path = tmp_path / "pylock.toml"
    write_lock(path, bundle, resolved.closure)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "nowhere"))  # uv would fail
    found = locked(bundle, path)
    assert files(found) == files(resolved)
    assert found.provided == resolved.provided
    assert found.expected == resolved.expected


def test_what_is_in_the_cache_is_read_ahead_and_a_damaged_wheel_is_passed_over(
    offer: Any,
    make_wheel: Any,
    wanted: Any,
    interpreter: Interpreter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offer(make_wheel("demo", requires=["helper"]), make_wheel("helper"))
    offered = {it.name: it for it in (tmp_path / "house").iterdir()}
    bundle = wanted("demo==1.0.0")
    path = tmp_path / "pylock.toml"
    found = collect_wheels(bundle)
    write_lock(path, bundle, found.closure)
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    for package in found.packages:
        assert package.sha256 is not None
        place = tmp_path / "cache" / "files" / package.sha256[:2] / package.sha256
        place.mkdir(parents=True)
        data = offered[package.filename].read_bytes()
        whole = len(data) if package.name == "demo" else 50
        (place / package.filename).write_bytes(data[:whole])
    ahead = prefetch_wheels(read_lock_file(path), interpreter, [bundle.machine])
    read = [(it.name, wheel.name) for it, wheel in ahead.wheels.items()]
    assert read == [(found.wheels[0].name, "demo")]
    again = collect_wheels(replace(bundle, locked=read_lock_file(path), prefetched=ahead))
    assert files(again) == files(found)


def test_a_lock_holds_what_is_bundled_for_any_machine_and_nothing_else(
    offer: Any, make_wheel: Any, wanted: Any, interpreter: Interpreter, tmp_path: Path
) -> None:
    tag = interpreter.tag
    kept = [
        make_wheel("native", tag=f"{tag}-{tag}-manylinux_2_17_{machine}")
        for machine in ("x86_64", "aarch64")
    ]
    offer(
        make_wheel(
            "demo",
            requires=[
                "native",
                "served",
                "arm-only; platform_machine == 'aarch64'",
                "windows-only; sys_platform == 'win32'",
            ],
        ),
        *kept,
        make_wheel("native", tag=f"{tag}-{tag}-win_amd64"),
        make_wheel("native", tag=f"{tag}-{tag}-musllinux_1_2_x86_64"),
        make_wheel("native", tag="cp38-cp38-manylinux_2_17_x86_64"),
        make_wheel("served"),
        make_wheel("arm_only"),
        make_wheel("windows_only"),
    )
    bundle = wanted("demo==1.0.0", {"served": "1.0.0"}, machine="x86_64")
    path = tmp_path / "pylock.toml"
    write_lock(path, bundle, collect_wheels(bundle).closure)
    document = tomllib.loads(path.read_text())
    assert [it["name"] for it in document["packages"]] == ["arm-only", "demo", "native"]
    assert [it["name"] for it in document["packages"][2]["wheels"]] == sorted(
        it.name for it in kept
    )
    assert document["packages"][0]["marker"] == "platform_machine == 'aarch64'"
    assert document["requires-python"] == f"=={interpreter.minor[0]}.{interpreter.minor[1]}.*"
    assert document["environments"] == ["sys_platform == 'linux'"]
    assert document["tool"]["lls-provider"]["provided"] == [{"name": "served", "version": "1.0.0"}]
    hashes = [it["hashes"] for package in document["packages"] for it in package["wheels"]]
    assert all(re.fullmatch("[0-9a-f]{64}", it["sha256"]) for it in hashes)
    other = wanted("demo==1.0.0", {"served": "1.0.0"}, machine="aarch64")
    assert files(locked(other, path)) == [
        "arm_only-1.0.0-py3-none-any.whl",
        "demo-1.0.0-py3-none-any.whl",
        f"native-1.0.0-{tag}-{tag}-manylinux_2_17_aarch64.whl",
    ]


def test_the_same_closure_is_the_same_text_without_a_path_of_this_machine(
    offer: Any, make_wheel: Any, wanted: Any, tmp_path: Path
) -> None:
    offer(make_wheel("demo", requires=["helper"]), make_wheel("helper"))
    bundle = wanted("demo==1.0.0")
    texts = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "pylock.toml"
        write_lock(path, bundle, collect_wheels(bundle).closure)
        texts.append(path.read_text())
    assert texts[0] == texts[1]
    assert str(tmp_path) not in texts[0]
    assert 'path = "../house/demo-1.0.0-py3-none-any.whl"' in texts[0]


@pytest.fixture
def simple(offer: Any, make_wheel: Any, wanted: Any, tmp_path: Path) -> Path:
    """The lock of a provider with one dependency, beside one server."""
    offer(make_wheel("demo", requires=["helper"]), make_wheel("helper"), make_wheel("served"))
    path = tmp_path / "pylock.toml"
    bundle = wanted("demo==1.0.0", {"served": "1.0"})
    write_lock(path, bundle, collect_wheels(bundle).closure)
    return path


@pytest.mark.parametrize(
    ("requirement", "servers", "options", "told"),
    [
        (
            "demo==2.0",
            [{"served": "1.0"}],
            {},
            ["new: the provider needs demo==2.0", "no longer: the provider needs demo==1.0.0"],
        ),
        (
            "demo==1.0.0",
            [{"served": "2.0", "more": "1"}],
            {},
            [
                "server-0 has more 1, and the lock was made beside no more",
                "server-0 has served 2.0, and the lock was made beside served 1.0",
            ],
        ),
        ("demo==1.0.0", [], {}, ["no longer: the provider is built beside server-0"]),
        (
            "demo==1.0.0",
            [{"served": "1.0"}],
            {"overrides": ("helper==2",)},
            ["new: the provider is built with --override helper==2"],
        ),
        (
            "demo==1.0.0",
            [{"served": "1.0"}],
            {"bundle": frozenset({"served"})},
            ["new: the provider is built with --bundle served"],
        ),
        (
            "demo==1.0.0",
            [{"served": "1.0"}],
            {"build": ("hatchling",)},
            ["new: the provider is built by hatchling"],
        ),
        (
            "demo==1.0.0",
            [{"served": "1.0"}],
            {"sources": "sha256:0"},
            ["[tool.uv.sources] of the project changed"],
        ),
    ],
)
def test_what_a_stale_lock_does_not_answer_is_named(
    simple: Path,
    wanted: Any,
    requirement: str,
    servers: Any,
    options: Any,
    told: Sequence[str],
) -> None:
    with pytest.raises(SdkError) as caught:
        locked(wanted(requirement, *servers, **options), simple)
    assert caught.value.code is Code.LOCK_STALE
    assert caught.value.why.splitlines() == told
    assert "--lock" in caught.value.resolution


def test_a_lock_for_another_python_is_stale(
    simple: Path, wanted: Any, interpreter: Interpreter
) -> None:
    text = simple.read_text()
    minor = f'"{interpreter.minor[0]}.{interpreter.minor[1]}"'
    simple.write_text(text.replace(f"python = {minor}", 'python = "3.99"'))
    with pytest.raises(SdkError) as caught:
        locked(wanted("demo==1.0.0", {"served": "1.0"}), simple)
    assert caught.value.code is Code.LOCK_STALE
    assert "the lock is for Python 3.99, this build for 3." in caught.value.why


def test_a_lock_that_lacks_what_its_wheels_need_is_stale(simple: Path, wanted: Any) -> None:
    """By the installer's own rule, whatever the record says."""
    text = simple.read_text()
    start = text.index('[[packages]]\nname = "helper"')
    simple.write_text(text[:start] + text[text.index("[tool.lls-provider]") :])
    with pytest.raises(SdkError) as caught:
        locked(wanted("demo==1.0.0", {"served": "1.0"}), simple)
    assert caught.value.code is Code.LOCK_STALE
    assert "helper: not in the bundle" in caught.value.why


def test_a_wheel_that_changed_under_its_hash_is_refused(
    simple: Path, wanted: Any, tmp_path: Path
) -> None:
    (tmp_path / "house" / "helper-1.0.0-py3-none-any.whl").write_bytes(b"other")
    with pytest.raises(SdkError) as caught:
        locked(wanted("demo==1.0.0", {"served": "1.0"}), simple)
    assert caught.value.code is Code.HASH_MISMATCH


def _record(**changes: str) -> str:
    values = {
        "python": '"3.12"',
        **dict.fromkeys(
            ("requires", "build", "overrides", "bundle", "distributions", "provided"), "[]"
        ),
        **changes,
    }
    lines = "".join(f"{key} = {value}\n" for key, value in values.items())
    return f'lock-version = "1.0"\ncreated-by = "x"\npackages = []\n[tool.lls-provider]\n{lines}'


@pytest.mark.parametrize(
    "text",
    [
        "not toml [",
        'lock-version = "1.0"\ncreated-by = "uv"\npackages = []\n',
        'lock-version = "1.0"\npackages = []\n[tool.lls-provider]\n',
        'lock-version = "1.0"\ncreated-by = "x"\npackages = []\ntool.lls-provider = 1\n',
        _record(python='"2"'),
        _record(provided="[1]"),
        _record(backend='["a b"]'),
        _record(backend="3"),
        _record(distributions='[{name = "a", pins = ["b"]}]'),
    ],
)
def test_what_is_no_lock_of_ours_is_told_and_not_written_over(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pylock.toml"
    path.write_text(text)
    with pytest.raises(SdkError) as caught:
        read_lock_file(path)
    assert caught.value.code is Code.LOCK_INVALID
    with pytest.raises(SdkError) as caught:
        writable_lock(path)
    assert caught.value.code is Code.TARGET_EXISTS
    assert path.read_text() == text


def test_a_lock_that_is_a_link_stays_one(
    offer: Any, make_wheel: Any, wanted: Any, tmp_path: Path
) -> None:
    offer(make_wheel("demo"))
    (tmp_path / "locks").mkdir()
    path = tmp_path / "pylock.toml"
    path.symlink_to("locks/pylock.demo.toml")
    bundle = wanted("demo==1.0")
    write_lock(path, bundle, collect_wheels(bundle).closure)
    assert path.is_symlink()
    assert sorted(it.name for it in (tmp_path / "locks").iterdir()) == ["pylock.demo.toml"]
    assert files(locked(bundle, path)) == ["demo-1.0.0-py3-none-any.whl"]


@pytest.mark.parametrize("name", ["pylock.a.b.toml", "lock.toml", "pylock.toml.txt"])
def test_a_lock_has_a_name_that_installers_know(tmp_path: Path, name: str) -> None:
    with pytest.raises(SdkError) as caught:
        writable_lock(tmp_path / name)
    assert caught.value.code is Code.USAGE
    writable_lock(tmp_path / "pylock.provider.toml")


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("llama-stack==0.7.3", "llama-stack==0.7.3"),
        ("servers/freeze.txt", "servers/freeze.txt"),
        ("/srv/freeze.txt", "freeze.txt"),
        ("python:/opt/server", "python:server"),
    ],
)
def test_a_distribution_is_named_without_a_path_of_this_machine(label: str, told: str) -> None:
    assert lock_label(label) == told


@pytest.mark.parametrize("base", ["/home/acme/echo", ".", "echo"])
@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("llama-stack==0.7.3", "llama-stack==0.7.3"),
        ("profile:ogx-1.5.0", "profile:ogx-1.5.0"),
        ("{base}/server.txt", "server.txt"),
        ("{base}/servers/freeze", "servers/freeze"),
        ("python:{base}/.venv", "python:.venv"),
        ("oci:{base}/server:v1", "oci:server:v1"),
        ("docker-archive:{base}/a.tar:acme/server:1", "docker-archive:a.tar:acme/server:1"),
        ("docker-daemon:acme/server:1", "docker-daemon:acme/server:1"),
        ("docker://registry.example/acme/server:1", "docker://registry.example/acme/server:1"),
        ("/srv/freeze.txt", "freeze.txt"),
        ("oci:/srv/server:v1", "oci:server:v1"),
        ("python:~/server", "python:server"),
    ],
)
def test_a_file_of_the_project_is_named_alike_from_any_folder(
    label: str, told: str, base: str
) -> None:
    assert lock_label(label.format(base=base), Path(base)) == told


def test_sources_have_a_digest_whatever_their_order() -> None:
    def digest(**sources: Any) -> str | None:
        return sources_digest(sources)

    one, two = {"path": "../a", "editable": True}, {"editable": True, "path": "../a"}
    assert digest(a=one, b=[one]) == digest(b=[two], a=two)
    assert digest(a=one) != digest(a={"path": "../b", "editable": True})
    assert digest() is None
