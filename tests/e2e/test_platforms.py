"""Images for machines that this one is not: built from one resolution, the same wherever built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lls_provider.image.image import Image, Platform, TreeLayer
from lls_provider.image.manifest import Index
from lls_provider.image.tar import LayerFile, LayerTree
from lls_provider.image.transports.layout import find_layout, write_layout

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Engine = Callable[[str], str]

# what is built once is used by all
pytestmark = pytest.mark.xdist_group("platforms")

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "acme-native"
version = "1.0.0"
requires-python = ">=3.11"
dependencies = ["markupsafe==3.0.2"]

[tool.lls-provider]
api = "inference"
provider-type = "remote::acme-native"
module = "acme_native"
vendor = "Acme"
platforms = ["linux/arm64", "linux/amd64"]
"""
# the command, on a machine of another kind as far as Python can determine
ELSEWHERE = """\
import os, sys
machine = sys.argv.pop(1)
real = os.uname()
os.uname = lambda: os.uname_result((*real[:4], machine))
from lls_provider.cli import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A provider with one dependency, which is compiled."""
    root = tmp_path_factory.mktemp("native") / "acme-native"
    (root / "src" / "acme_native").mkdir(parents=True)
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "src" / "acme_native" / "__init__.py").write_text("")
    (root / "src" / "acme_native" / "provider.py").write_text(
        "def get_provider_spec():\n    return []\n"
    )
    return root


@pytest.fixture(scope="module")
def built(cli: Cli, project: Path) -> tuple[Path, Mapping[str, object]]:
    """The index that the settings require, and what `build` said."""
    layout = project.parent / "image"
    done = cli("build", project, "--output", f"oci:{layout}", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("resolving acme-native") == 1
    return layout, json.loads(done.stdout)


def build_on(machine: str, project: Path, layout: Path, *words: str) -> str:
    """The digest of what a build gives on another machine."""
    done = subprocess.run(
        [
            *(sys.executable, "-c", ELSEWHERE, machine, "build", str(project)),
            *("--output", f"oci:{layout}", "--format", "json", *words),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=layout.parent,
    )
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["outputs"][0]["digest"])


@pytest.mark.network
def test_each_image_has_the_wheels_of_its_machine(built: tuple[Path, dict[str, list]]) -> None:  # type: ignore[type-arg]
    layout, result = built
    images = result["images"]
    assert [it["platform"] for it in images] == ["linux/amd64", "linux/arm64"]
    for image, machine in zip(images, ("x86_64", "aarch64"), strict=True):
        native, own = (it["file"] for it in image["wheels"])
        assert own == "acme_native-1.0.0-py3-none-any.whl"
        assert native.lower().startswith("markupsafe-3.0.2-cp3")
        assert native.endswith(f"_{machine}.whl")
    whole = find_layout(layout).whole()
    assert isinstance(whole, Index)
    assert whole.digest == result["outputs"][0]["digest"]
    assert [image.digest for image in whole.images] == [it["digest"] for it in images]
    machines = [it.labels["io.llamastack.provider.target.machine"] for it in whole.images]
    assert machines == ["x86_64", "aarch64"]


@pytest.mark.network
def test_the_same_wherever_it_is_built(
    built: tuple[Path, dict[str, list]],  # type: ignore[type-arg]
    project: Path,
    tmp_path: Path,
) -> None:
    _layout, result = built
    other = "x86_64" if os.uname().machine == "aarch64" else "aarch64"
    assert build_on(other, project, tmp_path / "x") == result["outputs"][0]["digest"]
    # one platform alone is the same image as in the index
    alone = build_on(other, project, tmp_path / "y", "--platform", "linux/arm64")
    assert alone == result["images"][1]["digest"]


@pytest.mark.network
def test_check_looks_into_every_image(cli: Cli, built: tuple[Path, object]) -> None:
    layout, _result = built
    done = cli("check", layout, "--format", "json")
    assert done.returncode == 0, done.stdout
    (report,) = json.loads(done.stdout)["reports"]
    kept = {(it["rule"], it.get("platform")) for it in report["findings"] if it["level"] == "ok"}
    assert {("target", "linux/amd64"), ("target", "linux/arm64")} <= kept


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """A base for each machine, with a Python as far as one can see."""
    folder = tmp_path_factory.mktemp("bases")
    (folder / "python").write_bytes(b"")
    images = []
    for architecture in ("amd64", "arm64"):
        entry = LayerFile("usr/bin/python3", folder / "python", 0, 0o755)
        config = {"architecture": architecture, "os": "linux"}
        layers = (TreeLayer(LayerTree.of([entry]), "base"),)
        images.append(Image(config, layers, {}, Platform(architecture)))
    return Index.of(images)


@pytest.mark.network
@pytest.mark.engine
def test_each_image_stands_on_its_own_base(
    cli: Cli, bases: Index, project: Path, registry: str, tmp_path: Path
) -> None:
    """A base index is chosen from, in a registry and in a layout."""
    write_layout(bases, tmp_path / "base")
    assert cli("push", tmp_path / "base", f"{registry}/platforms/base:1").returncode == 0
    target = f"docker://{registry}/platforms/native:1"
    words = ("--base", f"docker://{registry}/platforms/base:1", "--output", target)
    done = cli("build", project, *words, "--format", "json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(cli("inspect", target, "--format", "json").stdout)
    assert [it["base"] for it in shown["images"]] == [image.digest for image in bases.images]
    assert {it["base_name"] for it in shown["images"]} == {f"{registry}/platforms/base:1"}
    assert shown["digest"] == json.loads(done.stdout)["outputs"][0]["digest"]
    words = ("--platform", "linux/s390x", "--base", f"oci:{tmp_path}/base")
    done = cli("build", project, *words, "--output", f"oci:{tmp_path}/x")
    assert done.returncode == 1
    assert "linux/amd64, linux/arm64" in done.stderr
