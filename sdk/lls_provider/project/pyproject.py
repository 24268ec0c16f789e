"""A project's ``pyproject.toml`` as data that knows where everything stands."""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lls_provider.errors import Code, SdkError, Where
from lls_provider.project.toml_places import Place, Step, places

FILE = "pyproject.toml"
_BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class PyProject:
    """The file's name as a user knows it, its data, and the place of each key and value."""

    source: str
    data: Mapping[str, Any]
    places: Mapping[tuple[Step, ...], Place]

    def where(self, path: tuple[Step, ...], *, key: bool = False) -> Where:
        """The place of the value (or of the ``key``) at ``path``, else of the nearest table."""
        place = self.places.get(path)
        while place is None:
            path = path[:-1]
            place = self.places[path]
        mark = place.key if key else place.value
        return Where(file=self.source, line=mark.line, column=mark.column)


def load_pyproject(project: Path) -> PyProject:
    """Read ``pyproject.toml`` of a project's folder.

    Raises SdkError PROJECT_INVALID when there is none, when it cannot be read, or, with line and
    column, when it is no TOML.
    """
    file = project / FILE
    try:
        data = file.read_bytes()
    except OSError as error:
        raise _unreadable(project, error) from error
    if data.startswith(_BOMS):
        raise SdkError(
            Code.PROJECT_INVALID,
            f"{FILE} begins with a byte order mark",
            why="Build backends refuse it, as TOML asks for plain UTF-8.",
            where=Where(file=str(file), line=1, column=1),
            resolution="Save the file as UTF-8 without a byte order mark.",
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _invalid(file, f"{error.reason} at byte {error.start}", line, None) from error
    try:
        value = tomllib.loads(text)
        return PyProject(str(file), value, places(text))
    except tomllib.TOMLDecodeError as error:
        why, line, column = _located(str(error), text)
        raise _invalid(file, why, line, column) from error
    except RecursionError as error:
        raise _invalid(file, "it is nested too deeply", None, None) from error


def _located(message: str, text: str) -> tuple[str, int, int | None]:
    """The complaint of tomllib and its place, which it only tells inside the message."""
    match = re.search(r"\s*\(at line (\d+), column (\d+)\)$", message)
    if match:
        return message[: match.start()], int(match[1]), int(match[2])
    lines = text.splitlines() or [""]
    return message.removesuffix(" (at end of document)"), len(lines), len(lines[-1]) + 1


def _unreadable(project: Path, error: OSError) -> SdkError:
    if project.is_dir() and isinstance(error, FileNotFoundError):
        what = f"{project} is no project: it has no {FILE}"
    elif not project.exists():
        what = f"There is no project at {project}"
    elif not project.is_dir():
        what = f"{project} is no project, it is a file"
    else:
        what = f"Cannot read {project / FILE}"
    return SdkError(
        Code.PROJECT_INVALID,
        what,
        why=error.strerror or str(error),
        where=Where(file=str(project / FILE)),
        resolution="Name the folder that holds the provider's pyproject.toml; "
        "`lls-provider new DIR` makes a new project.",
    )


def _invalid(file: Path, why: str, line: int | None, column: int | None) -> SdkError:
    return SdkError(
        Code.PROJECT_INVALID,
        f"{FILE} is not valid TOML",
        why=why,
        where=Where(file=str(file), line=line, column=column),
        resolution="Correct the file at this place.",
    )
