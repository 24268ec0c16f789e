"""The house's own rules, run as tests so that one command passes them all."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "sdk").rglob("*.py"))
PRAGMA = re.compile(r"#\s*pragma\b", re.IGNORECASE)
REASONED = re.compile(r"# pragma: no (cover|branch) - \w+ \w+ \w+")
LONGEST = 500  # lines; most modules have 100 to 400


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["-m", "ruff", "check", "."], id="ruff"),
        pytest.param(["-m", "ruff", "format", "--check", "."], id="format"),
        pytest.param(["-m", "mypy"], id="mypy"),
        pytest.param(
            ["-c", "from importlinter.cli import lint_imports_command as f; f()"], id="imports"
        ),
    ],
)
def test_the_sources_pass(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda it: str(it.relative_to(ROOT / "sdk")))
def test_a_module_holds_one_concept(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST
    assert ast.get_docstring(ast.parse(text)), "says in its first line what it is"


def test_what_tests_need_not_run_says_why() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in SOURCES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if PRAGMA.search(line) and not REASONED.search(line)
    ]
    assert found == []
