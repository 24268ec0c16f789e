"""Where the keys and values of a TOML file stand: `tomllib` gives values without positions.

The text has been read by `tomllib` before, so it is valid TOML: this scanner follows its
structure and need not judge it.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Step = str | int
Path = tuple[Step, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'')
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|' + r"'''.*?'{3,5}|" + _QUOTED.pattern,
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the text; lines and columns count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key and its value begin. A table's value begins where its key does."""

    key: Mark
    value: Mark


def places(text: str) -> Mapping[Path, Place]:
    """The places of everything in a TOML text that `tomllib` accepts, by its path.

    A path is keys and, inside arrays, indexes: ``("tool", "lls-provider", "distribution", 0)``.
    The empty path is the beginning of the text.
    """
    scanner = _Scanner(text.replace("\r\n", "\n"))  # as tomllib reads it
    scanner.document()
    return scanner.found


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines = [0, *(index + 1 for index, char in enumerate(text) if char == "\n")]
        self.found: dict[Path, Place] = {(): Place(Mark(1, 1), Mark(1, 1))}
        self.last_index: dict[Path, int] = {}  # of each array of tables

    def document(self) -> None:
        """Scan headers and the entries below them."""
        prefix: Path = ()
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

    def header(self, bracket: str) -> Path:
        """Scan ``[a.b]`` or ``[[a.b]]``; gives the path of the table it opens."""
        self.at += len(bracket)
        parts = list(self.dotted())
        self.blank()
        self.at += len(bracket)
        path: Path = ()
        for number, (name, mark) in enumerate(parts, start=1):
            path = (*path, name)
            self.found.setdefault(path, Place(mark, mark))
            if number == len(parts) and bracket == "[[":
                self.last_index[path] = self.last_index.get(path, -1) + 1
                path = (*path, self.last_index[path])
                self.found[path] = Place(mark, mark)
            elif path in self.last_index:
                path = (*path, self.last_index[path])
        # a table that a header further down completes is told at its own header
        self.found[path] = Place(parts[-1][1], parts[-1][1])
        return path

    def entry(self, prefix: Path) -> None:
        """Scan ``key.key = value``."""
        path, mark = prefix, self.mark()
        for name, here in self.dotted():
            path, mark = (*path, name), here
            self.found.setdefault(path, Place(here, here))
        self.blank()
        self.at += 1  # the sign =
        self.blank()
        self.found[path] = Place(mark, self.mark())
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

    def value(self, path: Path) -> None:
        """Scan a value whose place is known."""
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

    def array(self, path: Path) -> None:
        """Scan ``[value, value]``."""
        self.at += 1
        index = 0
        while self.more("]"):
            mark = self.mark()
            self.found[(*path, index)] = Place(mark, mark)
            self.value((*path, index))
            index += 1

    def more(self, closing: str) -> bool:
        """Skip blanks and commas; whether another item follows before the closing sign."""
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
        """The place that is scanned next."""
        line = bisect_right(self.lines, self.at)
        return Mark(line, self.at - self.lines[line - 1] + 1)


def _unquoted(key: str) -> str:
    if key[0] not in "\"'":
        return key
    name: str = tomllib.loads(f"key = {key}")["key"]
    return name
