"""Build requirements that ``[tool.uv.sources]`` names come from there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.factories.projects import backend

from lls_provider.errors import SdkError
from lls_provider.wheels.pep517 import build_wheel
from lls_provider.wheels.uv_settings import sourced

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter

pytestmark = pytest.mark.slow

SYSTEM = '[build-system]\nrequires = ["maker"]\nbuild-backend = "maker"\n'
MODULES = '{path.name: path.read_text() for path in pathlib.Path().glob("*.py")}'


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def tree(tmp_path: Path, wheelhouse: Path) -> Path:
    """A directory with the source of a backend, `maker`; no index has it."""
    return write(
        tmp_path / "tree",
        {
            "packages/maker/pyproject.toml": (
                '[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["."]\n'
                '[project]\nname = "maker"\nversion = "1.0"\n'
            ),
            "packages/maker/own.py": backend("maker", files=MODULES),
            "packages/maker/maker.py": backend("demo", files=MODULES),
        },
    )


def test_a_path_is_meant_from_its_project(
    tree: Path, tmp_path: Path, interpreter: Interpreter
) -> None:
    own = f'{SYSTEM}[tool.uv.sources]\nMaker = {{ path = "../maker" }}\n'
    project = write(tree / "packages" / "demo", {"pyproject.toml": own})
    wheel = build_wheel(project, tmp_path / "out", interpreter=interpreter)
    assert wheel.name == "demo-1.0-py3-none-any.whl"


@pytest.mark.parametrize("told", ["root", "member"])
def test_a_member_of_the_workspace(
    tree: Path, tmp_path: Path, interpreter: Interpreter, told: str
) -> None:
    workspace = '[tool.uv.workspace]\nmembers = ["packages/*"]\n'
    sources = "[tool.uv.sources]\nmaker = { workspace = true }\n"
    project = '[project]\nname = "demo"\nversion = "1.0"\n'
    write(
        tree,
        {
            "pyproject.toml": workspace + (sources if told == "root" else ""),
            "packages/demo/pyproject.toml": SYSTEM
            + project
            + (sources if told == "member" else ""),
        },
    )
    wheel = build_wheel(tree / "packages" / "demo", tmp_path / "out", interpreter=interpreter)
    assert wheel.name == "demo-1.0-py3-none-any.whl"


def test_an_index_of_its_own(
    tree: Path, tmp_path: Path, make_wheel: Callable[..., Path], interpreter: Interpreter
) -> None:
    """The usual index has it too, in a later version that is not a backend: it is not asked."""
    maker = build_wheel(tree / "packages" / "maker", tmp_path / "index", interpreter=interpreter)
    make_wheel("maker", "2.0")
    index = '[[tool.uv.index]]\nname = "own"\nurl = "../index"\nformat = "flat"\n'
    sources = '[tool.uv.sources]\nmaker = { index = "own" }\n'
    project = write(
        tmp_path / "project", {"pyproject.toml": f"{SYSTEM}{index}explicit = true\n{sources}"}
    )
    wheel = build_wheel(project, tmp_path / "out", interpreter=interpreter)
    assert wheel.name == "demo-1.0-py3-none-any.whl"
    assert maker.name == "maker-1.0-py3-none-any.whl"


def test_what_a_source_lacks_is_told(tree: Path, tmp_path: Path, interpreter: Interpreter) -> None:
    system = SYSTEM.replace('"maker"]', '"maker", "nowhere"]')
    own = f'{system}[tool.uv.sources]\nmaker = {{ path = "../maker" }}\n'
    project = write(tree / "packages" / "demo", {"pyproject.toml": own})
    with pytest.raises(SdkError) as caught:
        build_wheel(project, tmp_path / "out", interpreter=interpreter)
    assert caught.value.resolution.startswith("Correct nowhere in [build-system] requires")


@pytest.mark.parametrize(
    "table",
    [
        "",
        "[tool.uv.sources]\nother = { path = '../other' }\n",
        "[tool.uv]\nsources = 3\n",
        "[tool]\nuv = 3\n",
        "not toml",
    ],
)
def test_without_a_source_there_is_no_project(tmp_path: Path, table: str) -> None:
    project = write(tmp_path / "project", {"pyproject.toml": table})
    assert sourced(["maker"], project) is None


def test_sources_with_markers_stay_as_they_are_but_for_paths(tmp_path: Path) -> None:
    project = write(
        tmp_path / "project",
        {
            "pyproject.toml": "[tool.uv.sources]\nmaker = [\n"
            "{ path = '../a', marker = \"sys_platform == 'linux'\" },\n"
            "{ git = 'https://example.com/a', rev = 'b' }, 3]\n"
        },
    )
    found = sourced(["maker[x]>=1"], project)
    assert found is not None
    assert found["project"]["dependencies"] == ["maker[x]>=1"]
    assert json.loads(json.dumps(found["tool"]["uv"]["sources"])) == {
        "maker": [
            {"path": str(project / "../a"), "marker": "sys_platform == 'linux'"},
            {"git": "https://example.com/a", "rev": "b"},
            {},
        ]
    }
