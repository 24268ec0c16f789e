"""Finds the true cause of a failure in a server's log.

The servers report any missing import as "get_provider_spec not found"; what was missing stands
only in the chained traceback. A log holds tracebacks
as Python prints them, or inside a column that the server's log handler indents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_TRACEBACK = "Traceback (most recent call last):"
_DIRECT = "The above exception was the direct cause of the following exception:"
_DURING = "During handling of the above exception, another exception occurred:"
_RECORD = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL)\s+\d{4}-\d\d-\d\dT")
_COMPLAINT = re.compile(r"(ERROR|CRITICAL)\s+\S+\s+(?P<text>.*)")
_CATEGORY = re.compile(r"\s+category=\S+\s*$")
_FRAME = re.compile(r'\s*File "(?P<file>.+)", line (?P<line>\d+)(, in ?(?P<name>.*))?$')
_EXCEPTION = re.compile(r"(\w+\.)*[A-Z]\w*(: |:?$)|(\w+\.)+\w+: ")
_IN_USE = re.compile(r"address already in use|\[Errno (98|48)\]", re.IGNORECASE)
_EMPTY = re.compile(r"task cancelled|^Application startup failed|^$")
_NOT_FOUND = re.compile(r"ModuleNotFoundError: No module named '([^']+)'")
_NOT_INSTALLED = re.compile(
    r"(?P<quote>[`'\"]?)(?P<name>[A-Za-z_][\w.-]*)[`'\"]? "
    r"(?P<noun>(?:package|module|library) )?is not installed"
)
_PIP = re.compile(
    r"pip3? install\s+(?:-[\w-]+\s+)*[`'\"]?(?P<name>[A-Za-z0-9](?:[\w.-]*\w)?|\.)"
    r"(?:\[(?P<extras>[\w.,\s-]+)\])?"
)
_IMPORT_ERRORS = ("ModuleNotFoundError", "ImportError")
# what a server that ends anyway also prints
_ENDING = ("KeyboardInterrupt", "SystemExit", "CancelledError", "asyncio.exceptions.CancelledError")
_LAST_LINES = 8
_LONG_LINE = 300


@dataclass(frozen=True, slots=True)
class Frame:
    """One place of a traceback."""

    file: str
    line: int
    name: str


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a server failed.

    ``reason`` is the exception with its message, or the lines that come nearest to a reason;
    ``frames`` are outermost first and empty where the log has no traceback. ``chain`` are the
    reasons of all exceptions that led to one another, the first one first.
    """

    reason: str
    frames: tuple[Frame, ...] = ()
    chain: tuple[str, ...] = ()

    @property
    def missing_module(self) -> str | None:
        """The module that an import did not find, or a message says is not installed."""
        for reason in (self.reason, *self.chain):
            if (found := _NOT_FOUND.match(reason)) is not None:
                return found[1]
        hint = _PIP.search(self.reason)
        if hint is not None and not hint["extras"]:
            return hint["name"]
        found = _NOT_INSTALLED.search(self.reason)
        if found is None:
            return None
        # other errors say so of drivers, models and programs too
        is_import = self.reason.partition(":")[0] in _IMPORT_ERRORS
        return found["name"] if is_import or found["quote"] or found["noun"] else None

    @property
    def asked_extras(self) -> tuple[tuple[str, str], ...]:
        """Packages with an extra that a message says to install; ``.`` is the project itself."""
        return tuple(
            (hint["name"], extra.strip())
            for reason in (self.reason, *self.chain)
            for hint in _PIP.finditer(reason)
            for extra in (hint["extras"] or "").split(",")
            if extra.strip()
        )

    @property
    def place(self) -> Frame | None:
        """The innermost place that is not the import system's."""
        inner = [frame for frame in self.frames if not frame.file.startswith("<frozen ")]
        return inner[-1] if inner else None

    def module_below(self, folder: Path) -> str | None:
        """The dotted module of the innermost frame below ``folder``, such as ``acme.adapter``."""
        for frame in reversed(self.frames):
            path = Path(frame.file)
            if path.is_relative_to(folder):
                parts = list(path.relative_to(folder).with_suffix("").parts)
                if parts[-1] == "__init__":
                    parts.pop()
                return ".".join(parts)
        return None

    def text(self) -> str:
        """Reason and place as a reader wants them."""
        place = self.place
        if place is None:
            return self.reason
        within = f", in {place.name}" if place.name else ""
        return f"{self.reason}\n  at {place.file}, line {place.line}{within}"


def true_cause(log: str) -> Cause | None:
    """The cause of the last failure in ``log``; None when the log names none.

    The last traceback counts, in it the exception that started the chain: ``raise … from``
    says so itself, and what was raised while an import error was handled is a translation of
    it. Without a traceback it is the last error record, else the last lines that are no records.
    """
    lines = [line.rstrip() for line in log.splitlines()]
    roots = [(_root(chain), chain) for chain in _chains(lines)]
    for link, chain in (it for it in reversed(roots) if not it[0].is_ending):
        return Cause(link.reason, link.frames, tuple(it.reason for it in chain))
    # "Application startup failed. Exiting." says less than a SystemExit with a message
    for link, chain in (it for it in reversed(roots) if ": " in it[0].reason):
        return Cause(link.reason, link.frames, tuple(it.reason for it in chain))
    complaints = [text for text in _complaints(lines) if not _EMPTY.search(text)]
    if complaints:
        return Cause(complaints[-1])
    last = _unrecorded(lines)[-_LAST_LINES:]
    return Cause("\n".join(last)) if last else None


def port_in_use(log: str) -> bool:
    """Whether the server says that its port is taken."""
    return any(_IN_USE.search(line) for line in _complaints(log.splitlines()))


def last_lines(log: str, count: int = 25) -> str:
    """The end of a log, without the padding and the frames of the servers' log handler."""
    lines = [line.rstrip(" │") for line in log.rstrip().splitlines()]
    return "\n".join(
        line if len(line) <= _LONG_LINE else f"{line[:_LONG_LINE]}…" for line in lines[-count:]
    )


@dataclass(frozen=True, slots=True)
class _Link:
    """One exception of a chain."""

    reason: str
    frames: tuple[Frame, ...]
    direct: bool  # the one before it was named as its cause
    during: bool  # it was raised while the one before was handled

    @property
    def kind(self) -> str:
        return self.reason.partition(":")[0]

    @property
    def is_ending(self) -> bool:
        return self.kind in _ENDING


def _root(chain: Sequence[_Link]) -> _Link:
    index = len(chain) - 1
    while index:
        link, before = chain[index], chain[index - 1]
        translated = before.kind in _IMPORT_ERRORS and link.kind not in _IMPORT_ERRORS
        if not (link.direct or (link.during and translated)):
            break
        index -= 1
    return chain[index]


def _chains(lines: Sequence[str]) -> Iterator[list[_Link]]:
    chain: list[_Link] = []
    index = 0
    joint = ""
    while index < len(lines):
        if not lines[index].endswith(_TRACEBACK):
            index += 1
            continue
        link, index = _link(lines, index + 1, joint)
        if link is not None:
            if not joint and chain:
                yield chain
                chain = []
            chain.append(link)
        joint = _joint(lines, index)
    if chain:
        yield chain


def _joint(lines: Sequence[str], index: int) -> str:
    """The sentence that ties the next traceback to the one before ``index``; empty if none."""
    while index < len(lines) and not lines[index].strip():
        index += 1
    text = lines[index].strip() if index < len(lines) else ""
    return text if text in (_DIRECT, _DURING) else ""


def _link(lines: Sequence[str], start: int, joint: str) -> tuple[_Link | None, int]:
    """The exception whose traceback begins at ``start``, and where reading goes on."""
    if start >= len(lines) or not _FRAME.match(lines[start]):
        return None, start
    # frames stand two columns right of the exception; a server's handler indents both
    indent = _indent(lines[start]) - 2
    frames: list[Frame] = []
    index = start
    while index < len(lines) and not _is_exception(lines[index], indent):
        if _RECORD.match(lines[index]):
            return None, index  # cut off
        found = _FRAME.match(lines[index])
        if found:
            frames.append(Frame(found["file"], int(found["line"]), found["name"] or ""))
        index += 1
    if index == len(lines):
        return None, index
    reason, index = _reason(lines, index, indent)
    return _Link(reason, tuple(frames), joint == _DIRECT, joint == _DURING), index


def _is_exception(line: str, indent: int) -> bool:
    # a narrow log handler wraps long source lines into this column too: hence the pattern
    return _indent(line) == indent and _EXCEPTION.match(line[indent:]) is not None


def _reason(lines: Sequence[str], start: int, indent: int) -> tuple[str, int]:
    """The exception's line and the further lines of its message."""
    message: list[str] = []
    index = start
    while index < len(lines):
        line = lines[index]
        if _RECORD.match(line) or line.strip() in (_DIRECT, _DURING):
            break
        if line.strip() and _indent(line) < indent:
            break
        if line.endswith(_TRACEBACK):
            break
        text = _CATEGORY.sub("", line[indent:])
        message.append("" if text.strip().startswith("category=") else text)
        index += 1
    return "\n".join(message).strip(), index


def _complaints(lines: Sequence[str]) -> Iterator[str]:
    """The texts of the error records, each on one line."""
    parts: list[str] = []
    for line in lines:
        found = _COMPLAINT.match(line)
        if found or _RECORD.match(line) or not line.startswith(" "):
            if parts:
                yield _joined(parts)
            parts = [found["text"]] if found else []
        elif parts:
            parts.append(line.strip())
    if parts:
        yield _joined(parts)


def _unrecorded(lines: Sequence[str]) -> list[str]:
    """The lines that the log handler did not write: usage errors, a SystemExit's message."""
    found: list[str] = []
    in_record = False
    for line in lines:
        in_record = bool(_RECORD.match(line)) or (in_record and line.startswith(" "))
        if line.strip() and not in_record:
            found.append(line)
    return found


def _joined(parts: Sequence[str]) -> str:
    text = _CATEGORY.sub("", " ".join(part.strip() for part in parts))
    # "module.name:123 " in front tells where the server logged, not what went wrong
    return re.sub(r"^[\w.]+:\d+\s+", "", text).strip()


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip()) if line.strip() else -1
