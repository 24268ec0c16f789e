"""Tests whose needs stand somewhere else: the message names the group to use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lls_provider.project.tests import missing_imports, missing_imports_advice

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    ("requirement", "module"),
    [("respx>=0.2", "respx"), ("PyYAML", "yaml"), ("python-dateutil", "dateutil"), ("A.b", "a_b")],
)
@pytest.mark.parametrize(
    ("place", "written"),
    [("group dev", 'test = [{ include-group = "dev" }]'), ("extra testing", "test = [")],
)
def test_the_place_of_what_is_missing_is_named(
    requirement: str, module: str, place: str, written: str
) -> None:
    told = missing_imports_advice(
        [module], {"group docs": ("sphinx",), place: ("bad requirement", requirement)}
    )
    assert f"The tests import {module}, which is in the {place}" in told
    assert written in told


def test_what_nothing_brings_is_named() -> None:
    assert missing_imports_advice(["respx", "other"], {"group docs": ("sphinx",)}).startswith(
        "The tests import respx, other, which no installed package provides."
    )
    assert missing_imports_advice([], {"group dev": ("respx",)}) == ""


def test_imports_are_found_at_the_top_of_tests(tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    (tests / ".venv").mkdir(parents=True)
    (tests / ".venv" / "test_hidden.py").write_text("import hidden_module\n")
    (tests / "helper.py").write_text("import only_of_helper\n")
    (tests / "stand_in.py").touch()  # no test, and still found
    (tests / "conftest.py").write_text("from nowhere_a.b import c\nimport os\n")
    (tests / "test_broken.py").write_text("import (\n")
    (tests / "test_one.py").write_text(
        "import nowhere_b.c, json\nfrom . import x\nfrom conftest import y\nimport stand_in\n"
        "def test_it():\n    import nowhere_inside\n"
    )
    assert missing_imports(Path(sys.executable), tmp_path) == ["nowhere_a", "nowhere_b"]
    assert missing_imports(tmp_path / "no-python", tmp_path) == []


@pytest.mark.network
@pytest.mark.parametrize("kind", ["group", "extra"])
def test_following_the_advice_makes_the_tests_pass(cli: Cli, tmp_path: Path, kind: str) -> None:
    project = tmp_path / "acme"
    done = cli("new", project, "--no-input", "name=acme", "api=inference", "kind=remote")
    assert done.returncode == 0, done.stderr
    path = project / "pyproject.toml"
    text = path.read_text()
    groups = '[dependency-groups]\ntest = ["pytest>=8"]\n'
    assert groups in text
    other = (
        '[dependency-groups]\ndev = ["cowsay==6.1"]\n'
        if kind == "group"
        else '[project.optional-dependencies]\ndev = ["cowsay==6.1"]\n\n[dependency-groups]\n'
    )
    path.write_text(text.replace(groups, other))
    (project / "tests" / "test_more.py").write_text(
        "import cowsay\ndef test_it():\n    assert cowsay.get_output_string('cow', 'hi')\n"
    )

    done = cli("test", project)
    assert done.returncode == 1
    assert f"The tests import cowsay, which is in the {kind} dev" in done.stderr
    written = done.stderr.partition("Write `")[2].partition("`")[0]

    path.write_text(
        path.read_text().replace("[dependency-groups]\n", f"[dependency-groups]\n{written}\n")
    )
    done = cli("test", project)
    assert done.returncode == 0, done.stderr
