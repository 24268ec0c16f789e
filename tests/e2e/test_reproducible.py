"""One project, one digest: whoever builds it, wherever, and with whichever Python the SDK has."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.engines.pythonbase import copied_python
from uv import find_uv_bin

from lls_provider.errors import SdkError
from lls_provider.wheels.interpreter import find_interpreter

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("reproducible")]

ROOT = Path(__file__).resolve().parents[2]
HOSTS = ((3, 11), (3, 12), (3, 13))
TARGET = "3.12"
# what the server is said to have: all that the provider imports but one package, which is bundled
_PACKAGES = """
    llama-stack==0.7.3 annotated-doc==0.0.7 anyio==4.16.0 attrs==26.1.0
    certifi==2026.10.19.post1 charset-normalizer==3.5.3 fastapi==0.165.0
    googleapis-common-protos==1.76.0 h11==0.16.0 httpcore2==2.16.2 httpx2==2.16.2
    httpx==0.28.1 httpcore==1.0.9
    idna==3.20 jiter==0.19.0 jsonschema==4.26.0 jsonschema-specifications==2025.9.1
    llama-stack-api==0.7.3 openai==3.57.0 opentelemetry-api==1.45.2
    opentelemetry-exporter-http-transport==0.66b2
    opentelemetry-exporter-otlp-common==0.66b2
    opentelemetry-exporter-otlp-proto-common==1.45.2
    opentelemetry-exporter-otlp-proto-http==1.45.2 opentelemetry-proto==1.45.2
    opentelemetry-sdk==1.45.2 opentelemetry-semantic-conventions==0.66b2
    protobuf==7.36.2 pydantic==2.14.4 pydantic-core==2.50.5 referencing==0.37.0
    requests==2.34.2 rpds-py==2026.9.1 sniffio==1.3.1 starlette==1.10.0
    truststore==0.10.5 typing-extensions==4.16.0 typing-inspection==0.4.5 urllib3==2.8.0
"""
FREEZE = "\n".join(_PACKAGES.split())
# a user whose id has no account, and who may read what the environments of the SDK lead to
STRANGER = (
    *("setpriv", "--reuid=1234", "--regid=1234", "--clear-groups"),
    *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
)


@dataclass(frozen=True)
class Place:
    """The directory of the whole test, which every user may enter."""

    folder: Path
    commands: Mapping[tuple[int, int], Path]  # of installed SDKs, by the Python they run on
    python: Path  # what is built for, where every user may run it

    def project(self, name: str, mode: int = 0o644) -> Path:
        """A copy of a sample, made now, its files with ``mode``."""
        project = self.folder / name / "echo"
        shutil.copytree(ROOT / "samples" / "echo-inference", project)
        settings = project / "pyproject.toml"
        # text that a locale could spoil
        text = settings.read_text("utf-8").replace("Remote inference", "Entfernte Schlüsse", 1)
        needs = 'dependencies = ["pydantic>=2"]'
        assert needs in text
        text = text.replace(needs, 'dependencies = ["pydantic>=2", "annotated-types>=0.7"]')
        settings.write_text(text, "utf-8")
        for path in project.rglob("*"):
            path.chmod(mode | (0o111 if path.is_dir() else 0))
        return project


@dataclass(frozen=True)
class Way:
    """How one build differs from the others."""

    host: tuple[int, int]
    umask: int = 0o022
    variables: Mapping[str, str] = field(default_factory=dict)
    inside: bool = False  # in the project's directory, else far from it
    stranger: bool = False
    mode: int = 0o644
    fresh: bool = False  # with caches that hold nothing


WAYS = (
    Way((3, 11)),
    Way((3, 12), inside=True),
    Way((3, 13), umask=0o077, mode=0o600),
    Way((3, 11), umask=0o000, mode=0o666, variables={"TZ": "Asia/Tokyo"}),
    Way((3, 12), variables={"TZ": "America/New_York", "LC_ALL": "C", "PYTHONUTF8": "0"}),
    Way((3, 13), variables={"LC_ALL": "C.UTF-8", "LANG": "tr_TR.UTF-8"}, inside=True),
    Way((3, 11), stranger=True, umask=0o027, variables={"HOME": "/nonexistent"}),
    Way((3, 13), stranger=True, variables={"HOME": "/nonexistent", "LC_ALL": "POSIX"}),
    Way((3, 12), variables={"PYTHONHASHSEED": "1", "COLUMNS": "40", "FORCE_COLOR": "1"}),
    Way((3, 13), fresh=True, variables={"PYTHONHASHSEED": "2", "USER": "somebody"}),
)


@pytest.fixture(scope="module")
def place(sdk_wheel: Path) -> Iterator[Place]:
    """The SDK's wheel, installed for each Python."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        uv = find_uv_bin()
        commands = {}
        for host in HOSTS:
            environment = folder / "python{}.{}".format(*host)
            try:
                python = find_interpreter(exactly=host).path
            except SdkError as error:
                if os.environ.get("CI"):
                    raise
                pytest.skip(error.what)
            run(uv, "venv", "--quiet", "--python", python, environment)
            target = environment / "bin" / "python"
            run(uv, "pip", "install", "--quiet", "--python", target, sdk_wheel)
            commands[host] = environment / "bin" / "lls-provider"
        yield Place(folder, commands, copied_python(folder / "target", (3, 12)))


def run(*command: object, **options: Any) -> str:
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=300,
        **options,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return str(done.stdout)


def build(place: Place, project: Path, way: Way) -> dict[str, Any]:
    """The manifest of the image that ``way`` gives."""
    out, freeze = project.parent / "image", project.parent / "server.txt"
    freeze.write_text(FREEZE)
    project.parent.chmod(0o777)
    caches = {"LLS_PROVIDER_CACHE": str(place.folder / "cache")}
    if way.fresh or way.stranger:
        private = project.parent / "caches"
        caches = {"LLS_PROVIDER_CACHE": str(private), "UV_CACHE_DIR": str(private / "uv")}
    clean = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    named = "." if way.inside else str(project)
    run(
        *(STRANGER if way.stranger else ()),
        *(place.commands[way.host], "build", named, "--base", "scratch"),
        *("--python", place.python if way.stranger else TARGET),
        *("--distribution", freeze, "--output", f"oci:{out}"),
        cwd=project if way.inside else "/",
        umask=way.umask,
        env={**clean, **caches, **way.variables},
    )
    index = json.loads((out / "index.json").read_text())
    (described,) = index["manifests"]
    digest = described["digest"].removeprefix("sha256:")
    manifest: dict[str, Any] = json.loads((out / "blobs" / "sha256" / digest).read_text())
    return manifest


def test_ten_ways_to_build_give_one_digest(place: Place) -> None:
    ways = [way for way in WAYS if not (way.stranger and os.geteuid())]
    found = [
        build(place, place.project(f"way{number}", way.mode), way)
        for number, way in enumerate(ways)
    ]
    assert len(found[0]["layers"]) == 4
    for way, manifest in zip(ways, found, strict=True):
        assert manifest == found[0], way


def test_one_changed_byte_moves_the_last_layer_only(place: Place) -> None:
    before = build(place, place.project("before"), WAYS[0])
    project = place.project("after")
    source = project / "src" / "echo_inference" / "inference.py"
    data = bytearray(source.read_bytes())
    data[data.index(b'"""') + 3] ^= 0x20  # the first letter of its docstring, in the other case
    assert [a != b for a, b in zip(data, source.read_bytes(), strict=True)].count(True) == 1
    source.write_bytes(data)
    after = build(place, project, WAYS[1])
    assert after["layers"][:-1] == before["layers"][:-1]
    assert after["layers"][-1] != before["layers"][-1]
    assert len(after["layers"]) == 4
