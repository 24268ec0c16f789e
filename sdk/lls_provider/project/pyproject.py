"""Reads a project's ``pyproject.toml`` and reports every error with its line and column.

`load_pyproject` reads the file, `TableReader` one of its tables, key by key.

`tomllib` returns values without positions. A scanner here adds them. It runs after `tomllib`, so
the text is valid TOML: the scanner follows its structure and does not check it.
"""

from __future__ import annotations

import codecs
import datetime
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lls_provider.contract.schema import load_schema, shown
from lls_provider.errors import Code, Problem, SdkError, Step, Where, nearest_word
from lls_provider.project.toml_values import value_at

FILE = "pyproject.toml"
KeyPath = tuple[Step, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'')
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|' + r"'''.*?'{3,5}|" + _QUOTED.pattern,
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Mark:
    """A position in the text; lines and columns count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class TomlPosition:
    """Where a key and its value begin. A table's value begins where its key does."""

    key: Mark
    value: Mark


@dataclass(frozen=True, slots=True)
class PyProject:
    """The file's path, its data, and the position of each key and value."""

    source: str
    data: Mapping[str, Any]
    positions: Mapping[tuple[Step, ...], TomlPosition]

    @property
    def lowest_python(self) -> tuple[int, int]:
        """The lowest Python that ``requires-python`` of ``[project]`` allows."""
        from lls_provider.wheels.interpreter import lowest_minor

        return lowest_minor(str(value_at(self.data, "project", "requires-python") or ""))

    def where(self, path: tuple[Step, ...], *, key: bool = False) -> Where:
        """Return the position of the value (or of the ``key``) at ``path``, else of the nearest
        table.
        """
        place = self.positions.get(path)
        while place is None:
            path = path[:-1]
            place = self.positions.get(path)
        mark = place.key if key else place.value
        return Where(file=self.source, line=mark.line, column=mark.column)


def load_pyproject(project: Path) -> PyProject:
    """Read ``pyproject.toml`` of a project's directory.

    Raises SdkError PROJECT_INVALID if there is none, when it cannot be read, or, with line and
    column, when it is not TOML.
    """
    file = project / FILE
    try:
        data = file.read_bytes()
    except OSError as error:
        raise _unreadable(project, error) from error
    return parse_pyproject(file, data)


def parse_pyproject(file: Path, data: bytes) -> PyProject:
    """Parse the content of a ``pyproject.toml``. Raises SdkError PROJECT_INVALID."""
    import tomllib  # the module is imported before any project is read

    if data.startswith(_BOMS):
        raise SdkError(
            Code.PROJECT_INVALID,
            f"{FILE} begins with a byte order mark",
            why="Build backends refuse it, as TOML requires plain UTF-8.",
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
        return PyProject(str(file), value, toml_positions(text))
    except tomllib.TOMLDecodeError as error:
        why, line, column = _located(str(error), text)
        raise _invalid(file, why, line, column) from error
    except RecursionError as error:
        raise _invalid(file, "it is nested too deeply", None, None) from error


@dataclass(frozen=True, slots=True)
class KeyRule:
    """A rule for a string: one of ``choices``, or a match of ``pattern``."""

    about: str
    choices: tuple[str, ...] = ()
    pattern: str = ""

    def allows(self, text: str) -> bool:
        """Whether ``text`` satisfies the rule."""
        if self.choices and text not in self.choices:
            return False
        pattern = re.sub(r"\$$", r"\\Z", self.pattern)
        return re.search(pattern, text) is not None


def metadata_rule(part: str, name: str) -> KeyRule:
    """Return the contract's rule for a field of the metadata (contract section 1)."""
    schema = load_schema("provider-package")["properties"][part]["properties"][name]
    return KeyRule(schema["description"], tuple(schema.get("enum", ())), schema.get("pattern", ""))


@dataclass(slots=True)
class TableReader:
    """One table; the tables of a file share their list of problems."""

    project: PyProject
    path: tuple[Step, ...]
    table: dict[str, Any]
    problems: list[Problem]
    requested: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The table as TOML writes it: ``[tool.lls-provider]``."""
        if not self.path:
            return "the file"
        return "[" + ".".join(str(step) for step in self.path if isinstance(step, str)) + "]"

    def text(self, key: str, rule: KeyRule | None = None, *, required: str = "") -> str | None:
        """Return a string; ``required`` is an example line that is reported if it is missing."""
        value = self._get(key, required)
        if value is None:
            return None
        if not isinstance(value, str):
            self._wrong_type(key, "text", value)
            return None
        return value if rule is None or self._keeps(rule, value, key) else None

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings; a single string is a list of one."""
        value = self._get(key)
        if value is None:
            return ()
        found = value if isinstance(value, list) else [value]
        for index, item in enumerate(found):
            if not isinstance(item, str) or not item.strip():
                steps = (key, index) if isinstance(value, list) else (key,)
                self.report(
                    Code.FIELD_TYPE,
                    f"{key} in {self.title} must be a list of texts, not {shown(item)}",
                    f'Write a list such as {key} = ["…"].',
                    *steps,
                )
                return ()
        return tuple(found)

    def number(self, key: str, default: int) -> int:
        """Return an integer."""
        value = self._get(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            self._wrong_type(key, "a whole number", value)
            return default
        return value

    def mapping(self, key: str) -> dict[str, str]:
        """Return a table whose values are strings."""
        found = self.section(key)
        if found is None:
            return {}
        return {name: text for name in found.table if (text := found.text(name)) is not None}

    def plain(self, key: str) -> Any:
        """Return any value that JSON and YAML can also represent."""
        value = self._get(key)
        for steps, found in _not_plain(value, (key,)):
            self.report(
                Code.FIELD_TYPE,
                f"{'.'.join(map(str, steps))} in {self.title} is {found}, which JSON cannot hold",
                "Write it as text, in quotes.",
                *steps,
            )
        return value

    def section(self, key: str, *, required: str = "") -> TableReader | None:
        """Return the table at ``key``."""
        value = self._get(key, required)
        if value is None:
            return None
        if not isinstance(value, dict):
            self._wrong_type(key, "a table", value)
            return None
        return TableReader(self.project, (*self.path, key), value, self.problems)

    def sections(self, key: str) -> tuple[TableReader, ...]:
        """Return the tables of an array of tables; a single table is an array of one."""
        value = self.table.get(key)
        if not isinstance(value, list):
            only = self.section(key)
            return () if only is None else (only,)
        self._get(key)
        found = []
        for index, item in enumerate(value):
            if isinstance(item, dict):
                path = (*self.path, key, index)
                found.append(TableReader(self.project, path, item, self.problems))
            else:
                self.report(
                    Code.FIELD_TYPE,
                    f"{key} in {self.title} must be a list of tables, not {shown(item)}",
                    f"Write [[{self.title[1:-1]}.{key}]] for each.",
                    key,
                    index,
                )
        return tuple(found)

    def closed(self) -> None:
        """Report every key that was not requested."""
        for key in self.table:
            if key in self.requested:
                continue
            meant = nearest_word(key, [name for name in self.requested if name not in self.table])
            self.report(
                Code.FIELD_UNKNOWN,
                f"unknown key {shown(key)} in {self.title}"
                + (f"; did you mean '{meant}'?" if meant else ""),
                f"Rename it to '{meant}'."
                if meant
                else f"Remove it; the known keys are {', '.join(sorted(self.requested))}.",
                key,
                key=True,
            )

    def report(
        self, code: Code, what: str, resolution: str, *steps: Step, key: bool = False
    ) -> None:
        """Report a problem at ``steps`` below this table."""
        path = (*self.path, *steps)
        where = self.project.where(path, key=key)
        self.problems.append(Problem(code, what, where, resolution, ".".join(map(str, path))))

    def _get(self, key: str, required: str = "") -> Any:
        if key not in self.requested:
            self.requested.append(key)
        value = self.table.get(key)
        if value is None and required:
            self.report(
                Code.FIELD_MISSING,
                f"{key} is missing in {self.title}",
                f"Add a line such as: {required}",
                key,
            )
        return value

    def _keeps(self, rule: KeyRule, value: str, key: str) -> bool:
        if rule.allows(value):
            return True
        meant = nearest_word(value, rule.choices) if rule.choices else None
        self.report(
            Code.FIELD_VALUE,
            f"{key} in {self.title} is {shown(value)}, expected {rule.about}"
            + (f"; did you mean '{meant}'?" if meant else ""),
            f"Write one of {', '.join(rule.choices)}."
            if rule.choices
            else f"Correct the value of {key}.",
            key,
        )
        return False

    def _wrong_type(self, key: str, noun: str, value: object) -> None:
        self.report(
            Code.FIELD_TYPE,
            f"{key} in {self.title} must be {noun}, not {shown(value)}",
            f"Write {noun}.",
            key,
        )


def toml_positions(text: str) -> Mapping[KeyPath, TomlPosition]:
    """Return the position of every key and value in a TOML text that `tomllib` accepts, by path.

    A path is keys and, inside arrays, indexes: ``("tool", "lls-provider", "distribution", 0)``. The
    empty path is the beginning of the text.
    """
    scanner = _Scanner(text.replace("\r\n", "\n"))  # as tomllib reads it
    scanner.document()
    return scanner.found


def _not_plain(value: Any, steps: tuple[Step, ...]) -> Iterator[tuple[Sequence[Step], str]]:
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _not_plain(child, (*steps, name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _not_plain(child, (*steps, index))
    elif isinstance(value, datetime.date | datetime.time):
        yield steps, f"the date or time {value.isoformat()}"
    elif isinstance(value, float) and not math.isfinite(value):
        yield steps, f"the number {value}"


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines = [0, *(index + 1 for index, char in enumerate(text) if char == "\n")]
        self.found: dict[KeyPath, TomlPosition] = {(): TomlPosition(Mark(1, 1), Mark(1, 1))}
        self.last_index: dict[KeyPath, int] = {}  # of each array of tables

    def document(self) -> None:
        """Scan headers and the entries below them."""
        prefix: KeyPath = ()
        while not self.ends():
            if self.text.startswith("[[", self.at):
                prefix = self.header("[[")
            elif self.text.startswith("[", self.at):
                prefix = self.header("[")
            else:
                self.entry(prefix)

    def ends(self) -> bool:
        """Skip what is blank; whether nothing follows."""
        self.blank()
        return self.at >= len(self.text)

    def header(self, bracket: str) -> KeyPath:
        """Scan ``[a.b]`` or ``[[a.b]]``; returns the path of the table it opens."""
        self.at += len(bracket)
        parts = list(self.dotted())
        self.blank()
        self.at += len(bracket)
        path: KeyPath = ()
        for number, (name, mark) in enumerate(parts, start=1):
            path = (*path, name)
            self.found.setdefault(path, TomlPosition(mark, mark))
            if number == len(parts) and bracket == "[[":
                self.last_index[path] = self.last_index.get(path, -1) + 1
                path = (*path, self.last_index[path])
                self.found[path] = TomlPosition(mark, mark)
            elif path in self.last_index:
                path = (*path, self.last_index[path])
        # a table that a later header completes is reported at its own header
        self.found[path] = TomlPosition(parts[-1][1], parts[-1][1])
        return path

    def entry(self, prefix: KeyPath) -> None:
        """Scan ``key.key = value``."""
        path, mark = prefix, self.mark()
        for name, here in self.dotted():
            path, mark = (*path, name), here
            self.found.setdefault(path, TomlPosition(here, here))
        self.blank()
        self.at += 1  # the equals sign
        self.blank()
        self.found[path] = TomlPosition(mark, self.mark())
        self.value(path)

    def dotted(self) -> Iterator[tuple[str, Mark]]:
        """Scan ``a."b".c``."""
        while True:
            self.blank()
            mark = self.mark()
            match = _BARE.match(self.text, self.at) or _QUOTED.match(self.text, self.at)
            assert match is not None, "no key where TOML has one"  # noqa: S101
            self.at = match.end()
            yield _unquoted(match.group()), mark
            self.blank()
            if not self.text.startswith(".", self.at):
                return
            self.at += 1

    def value(self, path: KeyPath) -> None:
        """Scan a value whose position is recorded."""
        if self.text.startswith("[", self.at):
            self.array(path)
        elif self.text.startswith("{", self.at):
            self.at += 1
            while self.more("}"):
                self.entry(path)
        else:
            match = _STRING.match(self.text, self.at) or _SCALAR.match(self.text, self.at)
            assert match is not None, "no value where TOML has one"  # noqa: S101
            self.at = match.end()

    def array(self, path: KeyPath) -> None:
        """Scan ``[value, value]``."""
        self.at += 1
        index = 0
        while self.more("]"):
            mark = self.mark()
            self.found[(*path, index)] = TomlPosition(mark, mark)
            self.value((*path, index))
            index += 1

    def more(self, closing: str) -> bool:
        """Skip blanks and commas; return whether another item precedes the closing bracket."""
        self.blank()
        while self.text.startswith(",", self.at):
            self.at += 1
            self.blank()
        if not self.text.startswith(closing, self.at):
            return True
        self.at += 1
        return False

    def blank(self) -> None:
        """Skip spaces, line ends and comments."""
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def mark(self) -> Mark:
        """Return the current position."""
        from bisect import bisect_right

        line = bisect_right(self.lines, self.at)
        return Mark(line, self.at - self.lines[line - 1] + 1)


def _unquoted(key: str) -> str:
    if key[0] not in "\"'":
        return key
    import tomllib

    name: str = tomllib.loads(f"key = {key}")["key"]
    return name


def _located(message: str, text: str) -> tuple[str, int, int | None]:
    """Return tomllib's message and its position, which is only part of the message."""
    match = re.search(r"\s*\(at line (\d+), column (\d+)\)$", message)
    if match:
        return message[: match.start()], int(match[1]), int(match[2])
    lines = text.splitlines() or [""]
    return message.removesuffix(" (at end of document)"), len(lines), len(lines[-1]) + 1


def _unreadable(project: Path, error: OSError) -> SdkError:
    if project.is_dir() and isinstance(error, FileNotFoundError):
        what = f"{project} is not a project: it has no {FILE}"
    elif not project.exists():
        what = f"There is no project at {project}"
    elif not project.is_dir():
        what = f"{project} is not a project, it is a file"
    else:
        what = f"Cannot read {project / FILE}"
    return SdkError(
        Code.PROJECT_INVALID,
        what,
        why=error.strerror or str(error),
        where=Where(file=str(project / FILE)),
        resolution="Name the directory that holds the provider's pyproject.toml; "
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
