"""Links in a project: what build backends make of them, and what is said of those without end."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.wheels.pep517 import build_wheel, dead_links, endless_links

if TYPE_CHECKING:
    from tests.recorder import Recorder

    from lls_provider.wheels.interpreter import Interpreter

pytestmark = pytest.mark.slow

BACKENDS = {
    "hatchling": '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n',
    "setuptools": '[build-system]\nrequires = ["setuptools"]\n'
    'build-backend = "setuptools.build_meta"\n',
}
PYPROJECT = """\
[project]
name = "acme-echo"
version = "1.0"
requires-python = ">=3.12"

[tool.lls-provider]
api = "inference"
provider-type = "remote::acme-echo"
module = "acme_echo"
vendor = "Acme"
"""
LOCAL = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
FAILS = """\
import os, pathlib

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    for path in sorted(pathlib.Path("src").absolute().rglob("*")):
        path.stat()
    raise ValueError("some other cause")
"""


def make(folder: Path, build_system: str) -> Path:
    package = folder / "src" / "acme_echo"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "provider.py").touch()
    (folder / "pyproject.toml").write_text(build_system + PYPROJECT)
    return folder


def source(project: Path) -> None:
    (project / "src").rename(project.parent / "code")
    (project / "src").symlink_to("../code")


def package(project: Path) -> None:
    (project / "src" / "acme_echo").rename(project.parent / "echo")
    (project / "src" / "acme_echo").symlink_to("../../echo")


def file(project: Path) -> None:
    (project / "src" / "acme_echo" / "provider.py").rename(project.parent / "echo.py")
    (project / "src" / "acme_echo" / "provider.py").symlink_to("../../../echo.py")


def part(project: Path) -> None:
    (project.parent / "shared").mkdir()
    (project.parent / "shared" / "__init__.py").touch()
    (project / "src" / "acme_echo" / "shared").symlink_to(project.parent / "shared")


@pytest.mark.network
@pytest.mark.parametrize("layout", [source, package, file, part])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_build_follows_links_as_its_backend_does(
    backend: str, layout: Callable[[Path], None], tmp_path: Path, cli: Callable[..., Any]
) -> None:
    project = make(tmp_path / "project", BACKENDS[backend])
    layout(project)
    done = cli(
        *("build", project, "--base", "scratch", "--format", "json"),
        *("--output", f"oci:{tmp_path / 'image'}"),
    )
    assert done.returncode == 0, done.stderr
    (image,) = json.loads(done.stdout)["images"]
    assert [it["file"] for it in image["wheels"]] == ["acme_echo-1.0-py3-none-any.whl"]


@pytest.mark.network
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_a_link_leads_to_is_in_the_wheel(
    backend: str, tmp_path: Path, interpreter: Interpreter
) -> None:
    project = make(tmp_path / "project", BACKENDS[backend])
    part(project)
    package(project)
    wheel = build_wheel(project, tmp_path / "out", interpreter=interpreter)
    with zipfile.ZipFile(wheel) as archive:
        assert {
            "acme_echo/provider.py",
            "acme_echo/shared/__init__.py",
        } <= set(archive.namelist())


@pytest.mark.parametrize(
    ("name", "target"), [("again", "."), ("up", "../.."), ("all", "/"), ("here", "{project}/src")]
)
def test_a_link_around_itself_is_told_before_the_build(
    name: str, target: str, tmp_path: Path, interpreter: Interpreter, recorder: Recorder
) -> None:
    project = make(tmp_path / "project", LOCAL)
    (project / "backend.py").write_text(FAILS.replace(".rglob", ".glob"))
    (project / "src" / "acme_echo" / name).symlink_to(target.format(project=project))
    (project / "src" / "acme_echo" / "fine").symlink_to("../../tests")
    (project / "tests").mkdir()
    with pytest.raises(SdkError, match="cannot be built"):
        build_wheel(project, tmp_path / "out", interpreter=interpreter, progress=recorder)
    (warning,) = recorder.warnings
    assert warning.startswith(f"src/acme_echo/{name} is a link to a directory that contains it: ")


@pytest.mark.parametrize(
    ("name", "target"), [("gone.py", "nowhere.py"), ("gone", "../../../gone"), ("self", "self")]
)
def test_a_link_that_leads_nowhere_is_told_with_what_to_do(
    name: str, target: str, tmp_path: Path, interpreter: Interpreter
) -> None:
    project = make(tmp_path / "project", LOCAL)
    (project / "backend.py").write_text(FAILS)
    bad = project / "src" / "acme_echo" / name
    bad.symlink_to(target)
    with pytest.raises(SdkError) as caught:
        build_wheel(project, tmp_path / "out", interpreter=interpreter)
    assert caught.value.code is Code.WHEEL_BUILD_FAILED
    assert caught.value.resolution == (
        f"Remove src/acme_echo/{name}, or make the link lead to a file: it leads to {target}, "
        "which does not exist."
    )
    bad.unlink()  # as the resolution says: then the backend comes to its other fault
    with pytest.raises(SdkError) as caught:
        build_wheel(project, tmp_path / "out", interpreter=interpreter)
    assert "some other cause" in caught.value.why
    assert "Remove" not in caught.value.resolution


def test_links_are_looked_for_where_source_is(tmp_path: Path) -> None:
    project = make(tmp_path / "project", "")
    for folder in (".venv", "build", "node_modules/x", "docs", "src/acme_echo"):
        (project / folder).mkdir(parents=True, exist_ok=True)
        (project / folder / "around").symlink_to("..")
        (project / folder / "dead").symlink_to("nowhere")
    assert list(endless_links(project)) == [project / "src" / "acme_echo" / "around"]
    assert list(dead_links(project)) == [
        project / "docs" / "dead",
        project / "src" / "acme_echo" / "dead",
    ]
