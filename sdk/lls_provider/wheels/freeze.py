"""Freeze files as people have them: the version of each package, as far as a line reports it."""

from __future__ import annotations

import codecs
import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from lls_provider.errors import Code, Problem, SdkError, Where
from lls_provider.wheels.uv import without_logins

# where packages come from: irrelevant once their versions are known
_PLACES = re.compile(
    r"(-i|--index-url|--extra-index-url|--no-index|-f|--find-links|--trusted-host|--require-hashes)"
    r"(?![a-z-])"
)
_INCLUDED = re.compile(r"(?:-r|-c|--requirement|--constraint)(?![a-z-])[\s=]*(?P<file>.+)")
_OPTIONS = re.compile(r"(?:^|\s)--(?:hash|config-settings?|global-option)\b")  # of one line
_EDITABLE = re.compile(r"(-e|--editable)(?![a-z-])[\s=]*(?P<place>.*)", re.DOTALL)
# pip writes the version of what was installed from a directory into a comment above it
_COMMENT = re.compile(r"#\s*Editable\b.*\((?P<name>[\w.-]+)==(?P<version>[^()\s]+)\)")
_EGG = re.compile(r"[#&]egg=(?P<name>[\w.-]+)")
# what other tools write: conda's list, pip's table, Poetry's old locks
_OTHERS = (
    re.compile(r"(?P<name>[\w.-]+)=(?P<version>[^=\s]+)(=\S*)?"),
    re.compile(r"(?P<name>[\w.-]+)\s+\(?(?P<version>[\w.+!-]+)\)?(\s.*)?"),
)
_BOMS = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True, slots=True)
class FreezeLine:
    """A line of a requirements file, its continuations joined, without comments and hashes.

    ``above`` is the comment on the line before it.
    """

    number: int
    content: str
    above: str = ""


def read_freeze(path: Path) -> str:
    """The text of a freeze or requirements file, in UTF-8 or with a byte order mark.

    Raises OSError, or ValueError for bytes that are not text.
    """
    data = path.read_bytes()
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), "utf-8-sig")
    return data.decode(encoding)


def freeze_pins(text: str, source: str) -> dict[str, str] | None:
    """The pins of a pure freeze file, or None for a requirements file that must be resolved.

    Raises SdkError DISTRIBUTION_INVALID with every line that has no version, and what to write
    in its place.
    """
    reader = _Reader(source)
    for line in logical_lines(text):
        reader.read(line)
    # beside exact versions, what has none is a gap; otherwise resolving finds it
    problems = reader.wrong + (reader.untold if reader.pure and reader.pins else [])
    if problems:
        problems.sort(key=lambda it: it.where.line or 0)
        raise SdkError(
            Code.DISTRIBUTION_INVALID,
            f"The distribution {source} cannot be read",
            where=problems[0].where,
            problems=problems,
            resolution="Write one NAME==VERSION a line, as 'pip list --format=freeze' does in the "
            "server's environment.",
        )
    return reader.pins if reader.pure and not reader.untold else None


def requirements_in(text: str) -> dict[str, str]:
    """The requirements of a requirements file by normalised name; other lines are passed over."""
    found: dict[str, str] = {}
    for line in logical_lines(text):
        try:
            found[canonicalize_name(Requirement(line.content).name)] = line.content
        except InvalidRequirement:
            continue
    return found


def names_locations(path: Path, text: str) -> bool:
    """Whether a requirements file says where packages come from, itself or in one it includes.

    What it was resolved to may then be on no index that a build asks.
    """
    waiting, seen = [(path, text)], {path}
    while waiting:
        path, text = waiting.pop()
        for line in logical_lines(text):
            content = line.content
            if _PLACES.match(content) or _EDITABLE.match(content) or _is_place(content):
                return True
            if " @ " in content:
                return True
            if (included := _INCLUDED.match(content)) is None:
                continue
            other = path.parent / included["file"]
            if other not in seen:
                seen.add(other)
                with contextlib.suppress(OSError, ValueError):  # uv says what is wrong with it
                    waiting.append((other, read_freeze(other)))
    return False


def logical_lines(text: str) -> Iterator[FreezeLine]:
    """The lines that say something, as pip joins and strips them."""
    parts: list[str] = []
    first, above = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        first = first if parts else number
        parts.append(line)
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            parts[-1] = line[:-1]
            continue
        whole = " ".join(parts)
        parts = []
        content = re.sub(r"(^|\s)#.*$", "", whole, flags=re.DOTALL).strip()
        content = _OPTIONS.split(content)[0].strip()
        if content:
            yield FreezeLine(first, content, above)
        above = whole.strip() if whole.lstrip().startswith("#") else ""


class _Reader:
    """Sorts the lines of one file."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.pins: dict[str, str] = {}
        self.pure = True
        self.wrong: list[Problem] = []
        self.untold: list[Problem] = []

    def read(self, line: FreezeLine) -> None:
        content = line.content
        if _PLACES.match(content):
            return
        if editable := _EDITABLE.match(content):
            self._editable(line, editable["place"].strip())
        elif content.startswith("-"):
            self.pure = False
        elif pin := _of_file(content):
            self._pin(line, *pin)
        else:
            self._requirement(line)

    def _requirement(self, line: FreezeLine) -> None:
        try:
            requirement = Requirement(line.content)
        except InvalidRequirement as error:
            reason = str(error).splitlines()[0]
            if _is_place(line.content):
                self._untold(line, "NAME")
            else:
                what = f"{without_logins(line.content)}: {reason}"
                self.wrong.append(self._problem(line, what, _instead(line.content)))
            return
        name = canonicalize_name(requirement.name)
        if requirement.url:
            pin = _of_file(requirement.url)
            if pin is None:
                self._untold(line, name)
            elif pin[0] != name:
                what = f"{without_logins(line.content)}: the file is one of {pin[0]}"
                self.wrong.append(self._problem(line, what, f"{name}==VERSION"))
            else:
                self._pin(line, *pin)
            return
        version = _pinned(requirement)
        if version is None:
            self.pure = False
        else:
            self._pin(line, name, version)

    def _editable(self, line: FreezeLine, place: str) -> None:
        told = _COMMENT.match(line.above)
        if told and (version := _version(told["version"])):
            self._pin(line, canonicalize_name(told["name"]), version)
            return
        egg = _EGG.search(place)
        self._untold(line, egg["name"] if egg else "NAME")

    def _pin(self, line: FreezeLine, name: str, version: str) -> None:
        if self.pins.setdefault(name, version) != version:
            what = f"{name} is pinned to {self.pins[name]} and to {version}"
            self.wrong.append(self._problem(line, what))

    def _untold(self, line: FreezeLine, name: str) -> None:
        what = f"{without_logins(line.content)} has no version"
        self.untold.append(self._problem(line, what, f"{name}==VERSION"))

    def _problem(self, line: FreezeLine, what: str, instead: str = "") -> Problem:
        where = Where(self.source, line.number)
        resolution = f"Write {instead} in its place." if instead else ""
        return Problem(Code.DISTRIBUTION_INVALID, what, where, resolution)


def _of_file(place: str) -> tuple[str, str] | None:
    """Name and version as the name of a wheel or source archive reports them, at a path or URL."""
    if " @ " in place:
        return None
    try:
        path = urlsplit(place).path if "://" in place else place.partition("#")[0]
        filename = unquote(path.rpartition("/")[2])
        if filename.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(filename)
        else:
            name, version = parse_sdist_filename(filename)
    except ValueError:  # an address that is none, or a file of another name
        return None
    return name, str(version)


def _is_place(content: str) -> bool:
    return content.startswith((".", "/")) or re.match(r"[a-z+]+:", content) is not None


def _instead(content: str) -> str:
    for pattern in _OTHERS:
        if (found := pattern.fullmatch(content)) and (version := _version(found["version"])):
            return f"{found['name']}=={version}"
    return ""


def _pinned(requirement: Requirement) -> str | None:
    if requirement.marker or len(requirement.specifier) != 1:
        return None
    only = next(iter(requirement.specifier))
    if only.operator != "==" or "*" in only.version:
        return None
    return str(Version(only.version))


def _version(text: str) -> str | None:
    try:
        return str(Version(text))
    except InvalidVersion:
        return None
