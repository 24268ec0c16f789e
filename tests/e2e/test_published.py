"""A provider that is already on PyPI, packaged without a source project."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.engines.serving import Ending, running

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Engine = Callable[[str], str]

PACKAGE = "llama-stack-provider-trustyai-fms==0.4.0"
SERVER = "llama-stack==0.7.3"
SAMPLE = Path(__file__).parents[2] / "samples" / "published-provider"
CALL = (
    'POST /v1/safety/run-shield {"shield_id": "pii", '
    '"messages": [{"role": "user", "content": "Write to me@example.com"}]}'
)
DEBIAN_PYTHON = "/usr/bin/python3"

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("published")]


@pytest.fixture(scope="module")
def built(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    folder = tmp_path_factory.mktemp("published")
    done = cli(
        *("build", "--package", PACKAGE, "--distribution", SERVER, "--base", "scratch"),
        *("--output", "oci:fms", "--format", "json"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return folder / "fms", json.loads(done.stdout)


def test_what_the_server_provides_stays_out(built: tuple[Path, dict[str, object]]) -> None:
    _layout, result = built
    image = result["images"][0]  # type: ignore[index]
    wheels = [it["file"] for it in image["wheels"]]
    # 25 on 2026-11-22; the whole closure has 62
    assert 15 <= len(wheels) <= 40
    assert not [name for name in wheels if re.match(r"llama_stack(_api|_client)?-", name)]
    assert image["provided"]


class Detector(Ending, HTTPServer):
    """A detector service, which finds every address."""


class Detecting(BaseHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/api/v1/text/contents"
        assert asked["detector_params"] == {"regex": ["email"]}
        found = [
            {
                "start": it.start(),
                "end": it.end(),
                "text": it[0],
                "detection_type": "pii",
                "detection": "EmailAddress",
                "score": 1.0,
            }
            for it in re.finditer(r"\S+@\S+", asked["contents"][0])
        ]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps([found]).encode())


@pytest.fixture
def detector() -> Iterator[str]:
    server = Detector(("127.0.0.1", 0), Detecting)
    with running(server):
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.mark.server
def test_the_real_server_runs_its_shield_as_the_sample_says(
    cli: Cli, built: tuple[Path, dict[str, object]], detector: str
) -> None:
    layout, _result = built
    assert CALL in (SAMPLE / "README.md").read_text()
    done = cli(
        *("up", f"oci:{layout}", "--server", SERVER, "--check", "--format", "json"),
        *("--base-config", SAMPLE / "run.yaml", "--config", (SAMPLE / "config.json").read_text()),
        *("--env", f"DETECTOR_URL={detector}", "--env", "NO_PROXY=127.0.0.1", "--call", CALL),
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    types = {it["provider_type"] for it in document["providers"]}
    assert "remote::trustyai_fms" in types
    violation = document["call"]["body"]["violation"]
    assert violation["violation_level"] == "error"
    assert violation["metadata"]["summary"]["total_detections"] == 1


@pytest.mark.engine
def test_the_zipapp_installs_it_with_nothing_but_a_python(
    engine: Engine, built: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    """No network, an arbitrary uid, an empty root, Debian's own Python, isolated, no site."""
    layout, _result = built
    bundle, root = tmp_path / "image", tmp_path / "volume"
    _untar_all(layout, bundle)
    root.mkdir(mode=0o777)
    root.chmod(0o777)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    source = bundle / "lls-provider"
    done = subprocess.run(
        [
            *(engine("unshare"), "-n"),
            *(engine("setpriv"), "--reuid", "54321", "--regid", "54321", "--clear-groups"),
            *(DEBIAN_PYTHON, "-I", "-S", source / "lls-provider.pyz", "install"),
            *("--provider-id", "fms", "--api", "safety", "--image", "example.com/fms:0.4.0"),
            *("--container", "install-provider-fms", "--order", "0", "--python-tag", "cp312"),
            *("--source", source, "--root", root),
        ],
        env={},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    external = root / "external-providers"
    wheels = len(list((source / "packages").glob("*.whl")))
    lines = (external / "installed-packages.txt").read_text().splitlines()
    assert len(lines) == wheels
    assert all(re.fullmatch(r"\S+==\S+  # fms", line) for line in lines)
    packages = external / "python-packages"
    assert (packages / "llama_stack_provider_trustyai_fms" / "provider.py").is_file()
    assert len(list(packages.glob("*.dist-info"))) == wheels
    assert (external / "metadata" / "fms" / "crd-config.yaml").is_file()


def _untar_all(layout: Path, target: Path) -> None:
    """Every layer in order: an image of ours holds plain tars without whiteouts."""
    index = json.loads((layout / "index.json").read_text())
    manifest = _blob(layout, index["manifests"][0]["digest"])
    for layer in json.loads(manifest.read_text())["layers"]:
        with tarfile.open(_blob(layout, layer["digest"])) as archive:
            archive.extractall(target, filter="data")


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def test_it_is_built_for_another_machine_too(cli: Cli, tmp_path: Path) -> None:
    """Its spec is asked with this machine's wheels; those of the other one cannot run here."""
    done = cli(
        *("build", "--package", PACKAGE, "--distribution", SERVER),
        *("--platform", "linux/arm64", "--platform", "linux/amd64", "--base", "scratch"),
        *("--output", "oci:both", "--format", "json"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["provider"]["provider_type"] == "remote::trustyai_fms"
    for image, foreign in zip(result["images"], ("aarch64", "x86_64"), strict=True):
        assert not [it for it in image["wheels"] if foreign in it["file"]]
    done = cli("check", "oci:both", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "ERROR" not in done.stdout
