"""Every cell of the template in a short form, and one from `new` to a call, by the date.

What `tests.templates.matrix` does for each project alone is done here for all of them at once: one
environment and one process for each server, one run of mypy.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.templates.matrix import PAGE, Cell, cell_of_day, cells, page, rows, run_cell

from lls_provider.progress import SILENT
from lls_provider.project.check import check_project
from lls_provider.wheels.environment import ensure_environment, layered_environment
from lls_provider.wheels.fetch import fetch
from lls_provider.wheels.loading import load_distributions
from lls_provider.wheels.resolve import resolve

TODAY = datetime.now(UTC).date()
SERVERS = sorted({server for cell in cells() for server in cell.servers})
# llama-stack passes the fields of a request one by one, whatever its protocol shows
OTHER_SIGNATURES = {"datasetio": ["append_rows", "iterrows"]}
SETTINGS = """\
[mypy]
strict = true
python_version = 3.12
[mypy-llama_stack_api.*,ogx_api.*,yaml]
ignore_missing_imports = true
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[Cell, Path]:
    root = tmp_path_factory.mktemp("cells")
    return {cell: cell.project(root) for cell in cells()}


@pytest.mark.network
def test_the_code_of_all_cells_has_types(
    projects: Mapping[Cell, Path], shared_cache: Path, tmp_path: Path
) -> None:
    """With pydantic and httpx of a server; the servers' own packages declare no types."""
    (server,) = load_distributions(["ogx==1.5.0"])
    settings = tmp_path / "mypy.ini"
    settings.write_text(SETTINGS)
    packages = [word for cell in projects for word in ("-p", cell.package)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--config-file", str(settings)),
            *("--cache-dir", str(tmp_path / "cache")),
            *("--python-executable", str(ensure_environment(server).python)),
            *packages,
        ],
        env={**os.environ, "MYPYPATH": ":".join(str(it / "src") for it in projects.values())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_cell_keeps_the_static_rules(projects: Mapping[Cell, Path]) -> None:
    for cell, project in projects.items():
        report = check_project(project, load_named=lambda *_names, **_options: ())
        found = [it for it in report.findings if it.level != "ok"]
        assert [it.rule for it in found] == ["spec"], (cell, found)


def chosen(server: str) -> list[Cell]:
    """The cells to test on a server today: those with another server have the other tomorrow."""
    turn = TODAY.toordinal()
    every = enumerate(cells())
    return [it for number, it in every if it.servers[(turn + number) % len(it.servers)] == server]


def outcomes(
    server: str, projects: Mapping[Cell, Path], directory: Path
) -> dict[Cell, dict[str, Any]]:
    """What the tests of the chosen projects said, in one process of the server's Python."""
    (loaded,) = load_distributions([server])
    closure = resolve(
        ["pytest>=8"],
        distribution=loaded,
        interpreter=loaded.interpreter,
        doing="resolving pytest",
        progress=SILENT,
    )
    wheels = fetch(closure.packages, interpreter=loaded.interpreter, progress=SILENT)
    asked = [
        {"directory": str(projects[cell]), "api": cell.api, "package": cell.package}
        for cell in chosen(server)
    ]
    (directory / "projects.json").write_text(json.dumps(asked))
    with layered_environment(loaded, wheels, doing="installing pytest") as environment:
        done = subprocess.run(
            [
                *(str(environment.python), str(Path(__file__).with_name("in_server.py"))),
                *("projects.json", "results.json"),
            ],
            cwd=directory,
            env={**os.environ, "PYTEST_ADDOPTS": "", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((directory / "results.json").read_bytes())
    return dict(zip(chosen(server), results, strict=True))


@pytest.mark.network
@pytest.mark.parametrize("server", SERVERS)
def test_the_own_tests_of_every_cell_pass(
    projects: Mapping[Cell, Path], shared_cache: Path, tmp_path: Path, server: str
) -> None:
    for cell, found in outcomes(server, projects, tmp_path).items():
        assert (found["status"], found["failures"]) == (0, []), cell
        # the only test to skip is the one for a server without the API
        assert found["outcomes"].get("skipped", 0) == (len(cell.servers) == 1), cell
        assert found["outcomes"]["passed"] >= 8, cell
        expected = OTHER_SIGNATURES.get(cell.api, [])
        assert [it.partition("(")[0] for it in found["signatures"]] == expected, cell


@pytest.mark.network
@pytest.mark.server
def test_a_cell_goes_from_new_to_a_call(shared_cache: Path, tmp_path: Path) -> None:
    cell = cell_of_day(TODAY)
    results = list(run_cell(cell, tmp_path))

    assert [it.server for it in results] == list(cell.servers)
    assert all(it.call.endswith(": 200") for it in results)


def test_every_cell_has_its_turn() -> None:
    days = [date(2027, 1, 1) + timedelta(number) for number in range(len(cells()))]

    assert sorted(cell_of_day(day) for day in days) == sorted(cells())


def test_the_page_has_every_cell_on_every_server() -> None:
    known = rows(PAGE.read_text("utf-8"))

    assert set(known) == {(cell, server) for cell in cells() for server in cell.servers}
    assert PAGE.read_text("utf-8") == page(known), "run python -m tests.templates.matrix"
