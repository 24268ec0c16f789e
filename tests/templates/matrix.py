"""The matrix of the project template: every API and kind, on every server that has the API.

``python -m tests.templates.matrix``, from the root of a checkout, takes each cell from `new` to a
call on the real servers, and writes ``docs/template-matrix.md``. ``API:KIND`` arguments run these
cells only; the other rows stay as they are.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from lls_provider.project.scaffold import scaffold
from lls_provider.project.settings import read_settings
from lls_provider.project.template_apis import servers_with, template_apis
from lls_provider.wheels.environment import ensure_environment
from lls_provider.wheels.loading import load_distributions

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "template-matrix.md"
STEPS = ("lint", "types", "tests", "check", "build", "call")
_INTRODUCTION = """\
# The template's matrix

What `lls-provider new` makes for each API and kind, taken all the way: formatted and linted (ruff),
type-checked (mypy, with the server's packages), checked (`lls-provider check`), its own tests run
beside the server's packages (`lls-provider test`), built into an image (`lls-provider build`), and
installed, started and called on each server that has the API (`lls-provider up --check`). A remote
provider calls the small service of its tests. A cell is here only if all steps succeeded.

`python -m tests.templates.matrix` writes this page. CI runs every cell in a short form (one
environment for each server, without the image and the call), and one cell as here, another one each
day.

"""
_HEAD = """\
| API | kind | server | its tests | image | call | seconds | date |
|---|---|---|---|---|---|---|---|
"""
_ROW = re.compile(
    r"^\| (?P<api>\w+) \| (?P<kind>\w+) \| (?P<server>\S+==\S+) \| .+\|$", re.MULTILINE
)


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """An API and a kind of the template."""

    api: str
    kind: str

    @property
    def name(self) -> str:
        """The name of its project."""
        return f"acme-{self.api.replace('_', '-')}-{self.kind}"

    @property
    def package(self) -> str:
        """The package of its project."""
        return self.name.replace("-", "_")

    @property
    def servers(self) -> tuple[str, ...]:
        """The requirements of the servers that have the API."""
        return servers_with(self.api)

    def project(self, directory: Path) -> Path:
        """Make its project below a directory."""
        answers = {"name": self.name, "api": self.api, "kind": self.kind}
        return scaffold(directory / self.name, answers).path


def cells() -> tuple[Cell, ...]:
    """Every cell, in the order of the template."""
    return tuple(Cell(api, kind) for api, it in template_apis().items() for kind in it.kinds)


def cell_of_day(day: date) -> Cell:
    """The cell whose turn it is; all others have theirs before it again."""
    every = cells()
    return every[day.toordinal() % len(every)]


@dataclass(frozen=True, slots=True)
class Result:
    """A cell that a server has run, with what its steps said."""

    cell: Cell
    server: str
    tests: str
    image: str
    call: str
    seconds: float
    day: date

    def row(self) -> str:
        """Its row of the page."""
        start = f"{self.cell.api} | {self.cell.kind} | {self.server}"
        end = f"{self.tests} | {self.image} | {self.call} | {self.seconds:.0f} | {self.day}"
        return f"| {start} | {end} |"


def run_cell(cell: Cell, directory: Path) -> Iterator[Result]:
    """Take a cell through all steps. Raises RuntimeError with the output of a step that fails."""
    begin = time.monotonic()
    project = cell.project(directory)
    _run(project, "-m", "ruff", "check", "--no-cache", ".")
    _run(project, "-m", "ruff", "format", "--no-cache", "--check", ".")
    distributions = [it for server in cell.servers for it in ("--distribution", server)]
    _lls_provider(project, "check", ".", *distributions)
    for server in cell.servers:
        (loaded,) = load_distributions([server])
        python = ensure_environment(loaded).python
        _run(project, "-m", "mypy", "--python-executable", str(python))
        told = _lls_provider(project, "test", ".", "--distribution", server)
        tests = re.search(r"\d+ passed", told)
        output = f"oci:{directory / 'images' / cell.name}"
        base = ("--base", "scratch", "--output", output)
        image = _lls_provider(project, "build", ".", "--distribution", server, *base)
        size = re.search(r"wheels: +(\d+), ([\d.]+ \w+)", image)
        called = _lls_provider(project, "up", ".", "--server", server, "--check")
        statuses = re.findall(r"^\w+ \S+ -> (\d+)", called, re.MULTILINE)
        # as they are written: what is filled in differs from run to run
        names = [call.name for call in read_settings(project).up.calls]
        if tests is None or size is None or not names or len(statuses) != len(names):
            raise RuntimeError(f"{cell}: {told}\n{image}\n{called}")
        yield Result(
            cell,
            server,
            tests[0],
            f"{size[1]} wheel, {size[2]}" if size[1] == "1" else f"{size[1]} wheels, {size[2]}",
            ", ".join(f"`{name}`: {it}" for name, it in zip(names, statuses, strict=True)),
            time.monotonic() - begin,
            datetime.now(UTC).date(),
        )
        begin = time.monotonic()


def _lls_provider(project: Path, *arguments: str) -> str:
    return _run(project, "-m", "lls_provider.cli", *arguments)


def _run(project: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=project, capture_output=True, text=True, check=False
    )
    if done.returncode:
        command = " ".join(arguments[1:])
        raise RuntimeError(f"{project.name}: {command}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def rows(text: str) -> dict[tuple[Cell, str], str]:
    """The rows of a page, by cell and server."""
    return {(Cell(row["api"], row["kind"]), row["server"]): row[0] for row in _ROW.finditer(text)}


def page(known: Mapping[tuple[Cell, str], str]) -> str:
    """The page with the rows that are known, in the order of the template."""
    keys = [(cell, server) for cell in cells() for server in cell.servers]
    lines = [known[key] for key in keys if key in known]
    missing = [key for key in keys if key not in known]
    told = "".join(f"- {cell.api}, {cell.kind}, {server}\n" for cell, server in missing)
    rest = f"\nNot run in full yet:\n\n{told}" if missing else ""
    return _INTRODUCTION + _HEAD + "".join(f"{line}\n" for line in lines) + rest


def main(chosen: Iterable[str]) -> int:
    """Run cells and write each result at once; return 1 if one has failed."""
    wanted = [Cell(*it.split(":")) for it in chosen] or cells()
    failed = 0
    for cell in wanted:
        with tempfile.TemporaryDirectory() as directory:
            try:
                for result in run_cell(cell, Path(directory)):
                    print(result.row(), flush=True)
                    known = rows(PAGE.read_text("utf-8")) if PAGE.is_file() else {}
                    known[cell, result.server] = result.row()
                    PAGE.write_text(page(known), "utf-8")
            except RuntimeError as error:
                print(f"FAILED {error}", flush=True)
                failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
