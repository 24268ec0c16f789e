"""A distribution: the server a provider is built for, as exact versions of its packages.

What a distribution provides constrains the resolution and stays out of the image (contract,
decision 3); the server environment of ``up`` is made of the same pins, so the two agree. People
list a server's packages in freeze files, which are read as far as a line reports a version.

A server's packages may be built locally, have local versions, or be on no index at all (contract
decision 12). For each of them uv gets a wheel with metadata only, as a constraint with a URL:
bounds on it count, and no index is used for it. Packages that were resolved from the index
themselves stay plain constraints.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from lls_provider.errors import Code, Problem, SdkError, Where

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.servers import ServerLine

ENVIRONMENT_PREFIX = "python:"


@dataclass(frozen=True, slots=True)
class Distribution:
    """A server as the user named it (``label``) and the versions that it provides.

    ``environment`` is the Python of an environment that already exists (``python:PATH``).
    ``portable`` is the name without a path of this machine, if the label has one. ``requires``
    is what each package requires; None if only versions are known. If it is ``indexed``, its
    versions were resolved from the package index, so the index has them.
    """

    label: str
    pins: Mapping[str, str]  # version by normalised name
    interpreter: Interpreter
    line: ServerLine | None
    environment: Path | None = None
    portable: str = ""
    requires: Mapping[str, tuple[str, ...]] | None = field(default=None, repr=False, compare=False)
    modules: Mapping[str, frozenset[str]] | None = field(default=None, repr=False, compare=False)
    indexed: bool = False

    @property
    def recorded(self) -> str:
        """What an image says it was built for: the same on every machine."""
        return self.portable or self.label

    def requirements(self) -> list[str]:
        """The pins as requirements, sorted."""
        return [f"{name}=={version}" for name, version in sorted(self.pins.items())]


def is_portable(recorded: str) -> bool:
    """Whether another machine can find what an image says it was built for."""
    return not looks_like_path(recorded) and recorded != ENVIRONMENT_PREFIX.rstrip(":")


def looks_like_path(spec: str) -> bool:
    """Whether the name of a distribution is a path; the file may be missing."""
    return ("/" in spec and "://" not in spec) or spec.endswith((".txt", ".in"))


_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def uv_constraints(
    distribution: Distribution | None,
    versions: Mapping[str, str],
    on_index: Collection[str] = (),
) -> Iterator[str]:
    """The constraints of a resolution in which packages must have these versions, sorted by name.

    Those that ``distribution`` provides among them are written as it has them, except for those
    that are ``on_index`` in the same version. Raises SdkError NO_SPACE or CACHE_UNWRITABLE.
    """
    pins = distribution.pins if distribution is not None else {}
    for name in sorted(versions):
        if (
            distribution is None
            or distribution.indexed
            or name in on_index
            or pins.get(name) != versions[name]
        ):
            yield f"{name}=={versions[name]}"
        else:
            wheel = metadata_wheel(
                name, versions[name], _satisfied_requirements(distribution, name)
            )
            yield f"{name} @ {wheel.as_uri()}"


def metadata_wheel(name: str, version: str, requires: Sequence[str]) -> Path:
    """A wheel in the cache with a name, a version and requirements, and nothing else.

    Its path contains the digest of its metadata, because uv caches wheels by path. Raises
    SdkError NO_SPACE or CACHE_UNWRITABLE.
    """
    import hashlib
    import io
    import zipfile

    from lls_provider.system.cache import keep
    from lls_provider.system.cache_sections import cache_section

    metadata = _metadata(name, version, requires)
    digest = hashlib.sha256(metadata.encode()).hexdigest()[:16]
    stem = f"{name.replace('-', '_')}-{version}"
    path = cache_section("provided") / digest / f"{stem}-py3-none-any.whl"
    if not path.is_file():
        info = f"{stem}.dist-info"
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for member, text in (
                ("METADATA", metadata),
                ("WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
                ("RECORD", ""),
            ):
                archive.writestr(zipfile.ZipInfo(f"{info}/{member}", _ZIP_EPOCH), text)
        keep(path, buffer.getvalue())
    return path


def _metadata(name: str, version: str, requires: Sequence[str]) -> str:
    lines = ["Metadata-Version: 2.3", f"Name: {name}", f"Version: {version}"]
    lines += [f"Provides-Extra: {extra}" for extra in sorted(_extras(requires))]
    lines += [f"Requires-Dist: {it}" for it in requires]
    return "\n".join(lines) + "\n"


def _satisfied_requirements(distribution: Distribution, name: str) -> list[str]:
    """The requirements of a package of the distribution that the distribution satisfies.

    The server runs without the others. A requirement with a URL counts by name and version. One
    with an extra is kept in any case.
    """
    found = []
    for text in (distribution.requires or {}).get(name, ()):
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # an old syntax, which no installer accepts either
        version = distribution.pins.get(canonicalize_name(requirement.name))
        if requirement.url and version is not None:
            requirement.url = None
            text = str(requirement)
        runs = version is not None and requirement.specifier.contains(version, prereleases=True)
        if runs or (requirement.marker is not None and _names_extra(requirement)):
            found.append(text)
    return found


def _names_extra(requirement: Requirement) -> bool:
    return "extra" in str(requirement.marker)


def _extras(requires: Sequence[str]) -> set[str]:
    """The extras that markers of requirements name."""
    return {
        canonicalize_name(extra)
        for text in requires
        if (marker := Requirement(text).marker) is not None
        for extra in re.findall(r"extra == [\"']([^\"']+)[\"']", str(marker))
    }


# where packages come from: irrelevant once their versions are known
_LOCATION_OPTIONS = re.compile(
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
_BYTE_ORDER_MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


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
    encoding = next((name for bom, name in _BYTE_ORDER_MARKS if data.startswith(bom)), "utf-8-sig")
    return data.decode(encoding)


def freeze_pins(text: str, source: str) -> dict[str, str] | None:
    """The pins of a pure freeze file, or None for a requirements file that must be resolved.

    Raises SdkError DISTRIBUTION_INVALID with every line that has no version, and what to write
    in its place.
    """
    reader = _Reader(source)
    for line in logical_lines(text):
        reader.read(line)
    # next to exact versions, a line without one is a gap; otherwise resolving finds the version
    problems = reader.invalid + (reader.unversioned if reader.pure and reader.pins else [])
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
    return reader.pins if reader.pure and not reader.unversioned else None


def requirements_in(text: str) -> dict[str, str]:
    """The requirements of a requirements file by normalised name; other lines are skipped."""
    found: dict[str, str] = {}
    for line in logical_lines(text):
        try:
            found[canonicalize_name(Requirement(line.content).name)] = line.content
        except InvalidRequirement:
            continue
    return found


def names_locations(path: Path, text: str) -> bool:
    """Whether a requirements file, or one that it includes, names where packages come from.

    If so, its packages may be on no index that a build uses.
    """
    pending, seen = [(path, text)], {path}
    while pending:
        path, text = pending.pop()
        for line in logical_lines(text):
            content = line.content
            if (
                _LOCATION_OPTIONS.match(content)
                or _EDITABLE.match(content)
                or _is_location(content)
            ):
                return True
            if " @ " in content:
                return True
            if (included := _INCLUDED.match(content)) is None:
                continue
            other = path.parent / included["file"]
            if other not in seen:
                seen.add(other)
                with contextlib.suppress(OSError, ValueError):  # uv says what is wrong with it
                    pending.append((other, read_freeze(other)))
    return False


def logical_lines(text: str) -> Iterator[FreezeLine]:
    """The lines with content, joined and stripped as pip does it."""
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
    """Reads the lines of one file into pins, invalid lines, and lines without a version."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.pins: dict[str, str] = {}
        self.pure = True
        self.invalid: list[Problem] = []
        self.unversioned: list[Problem] = []

    def read(self, line: FreezeLine) -> None:
        content = line.content
        if _LOCATION_OPTIONS.match(content):
            return
        if editable := _EDITABLE.match(content):
            self._editable(line, editable["place"].strip())
        elif content.startswith("-"):
            self.pure = False
        elif pin := _file_pin(content):
            self._pin(line, *pin)
        else:
            self._requirement(line)

    def _requirement(self, line: FreezeLine) -> None:
        try:
            requirement = Requirement(line.content)
        except InvalidRequirement as error:
            reason = str(error).splitlines()[0]
            if _is_location(line.content):
                self._no_version(line, "NAME")
            else:
                what = f"{_shown(line)}: {reason}"
                self.invalid.append(self._problem(line, what, pin_meant(line.content)))
            return
        name = canonicalize_name(requirement.name)
        if requirement.url:
            pin = _file_pin(requirement.url)
            if pin is None:
                self._no_version(line, name)
            elif pin[0] != name:
                what = f"{_shown(line)}: the file is one of {pin[0]}"
                self.invalid.append(self._problem(line, what, f"{name}==VERSION"))
            else:
                self._pin(line, *pin)
            return
        version = _pinned(requirement)
        if version is None:
            self.pure = False
        else:
            self._pin(line, name, version)

    def _editable(self, line: FreezeLine, place: str) -> None:
        comment = _COMMENT.match(line.above)
        if comment and (version := _version(comment["version"])):
            self._pin(line, canonicalize_name(comment["name"]), version)
            return
        egg = _EGG.search(place)
        self._no_version(line, egg["name"] if egg else "NAME")

    def _pin(self, line: FreezeLine, name: str, version: str) -> None:
        if self.pins.setdefault(name, version) != version:
            what = f"{name} is pinned to {self.pins[name]} and to {version}"
            self.invalid.append(self._problem(line, what))

    def _no_version(self, line: FreezeLine, name: str) -> None:
        what = f"{_shown(line)} has no version"
        self.unversioned.append(self._problem(line, what, f"{name}==VERSION"))

    def _problem(self, line: FreezeLine, what: str, instead: str = "") -> Problem:
        where = Where(self.source, line.number)
        resolution = f"Write {instead} in its place." if instead else ""
        return Problem(Code.DISTRIBUTION_INVALID, what, where, resolution)


def _shown(line: FreezeLine) -> str:
    from lls_provider.wheels.uv import without_logins

    return without_logins(line.content)


def _file_pin(place: str) -> tuple[str, str] | None:
    """Name and version from the file name of a wheel or source archive at a path or URL."""
    if " @ " in place:
        return None
    try:
        path = urlsplit(place).path if "://" in place else place.partition("#")[0]
        filename = unquote(path.rpartition("/")[2])
        if filename.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(filename)
        else:
            name, version = parse_sdist_filename(filename)
    except ValueError:  # not a URL, or not the name of a wheel or source archive
        return None
    return name, str(version)


def _is_location(content: str) -> bool:
    return content.startswith((".", "/")) or re.match(r"[a-z+]+:", content) is not None


def pin_meant(content: str) -> str:
    """The pin that a line in another tool's form means, such as ``ogx=1.5.0``; else empty."""
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
