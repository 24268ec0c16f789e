"""A wheel as the installer sees it: who it is, what it needs, what it writes and where.

Reading a wheel checks all that can be known without unpacking it: names, metadata, and a
RECORD that covers every file (the content itself is verified while it is unpacked).
"""

from __future__ import annotations

import base64
import binascii
import configparser
import csv
import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, NormalizedName, canonicalize_name
from packaging.utils import parse_wheel_filename as _parse_filename
from packaging.version import InvalidVersion, Version

from lls_provider.runtime.archive import (
    Member,
    name_problem,
    read_member,
    read_members,
    wheel_invalid,
)
from lls_provider.runtime.headers import Headers

if TYPE_CHECKING:
    from packaging.tags import Tag

INSTALLER = b"lls-provider\n"
_HASHES = {"sha256": 32, "sha384": 48, "sha512": 64}
_UNRECORDED = ("RECORD", "RECORD.jws", "RECORD.p7s")
_REPLACED = (*_UNRECORDED, "INSTALLER", "REQUESTED")
_TEXT_LIMIT = 16 * 1024 * 1024  # METADATA, RECORD, entry points: held in memory
_SCRIPT_LIMIT = 4 * 1024 * 1024
_ENTRY_POINT = re.compile(
    r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*)\s*:\s*(?P<call>[^\W\d]\w*(?:\.[^\W\d]\w*)*)"
    r"\s*(?:\[[^\]]*\])?"
)
_SHEBANG = b"#!/usr/bin/env python3\n"
_SCRIPT = """\
#!/usr/bin/env python3
# -*- coding: utf-8 -*-
import re
import sys
from {module} import {name}
if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])
    sys.exit({call}())
"""


@dataclass(frozen=True, slots=True)
class WheelFile:
    """A file that a wheel writes: where, and what it must be."""

    path: str  # relative to python-packages
    algorithm: str
    digest: bytes
    size: int
    executable: bool
    member: Member | None  # None: made here, `content` holds it
    content: bytes = b""

    @property
    def record(self) -> tuple[str, str, str]:
        """Its line in the installed RECORD."""
        encoded = base64.urlsafe_b64encode(self.digest).rstrip(b"=").decode()
        return self.path, f"{self.algorithm}={encoded}", str(self.size)


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that passed every check but that of its files' content."""

    path: Path
    name: NormalizedName
    version: Version
    tags: frozenset[Tag]
    requires: tuple[Requirement, ...]
    requires_python: SpecifierSet
    dist_info: str
    files: tuple[WheelFile, ...]

    @property
    def filename(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def installed_size(self) -> int:
        """Bytes of all files it writes."""
        return sum(file.size for file in self.files)

    @property
    def top_levels(self) -> frozenset[str]:
        """The modules and packages that become importable by it."""
        found = set()
        for file in self.files:
            first, slash, _ = file.path.partition("/")
            if slash:
                if first.isidentifier() and file.path.endswith((".py", ".so", ".pyi")):
                    found.add(first)
            elif first.endswith((".py", ".so")):
                found.add(first.partition(".")[0])
        return frozenset(found)


def read_wheel(path: Path) -> Wheel:
    """Read and check a wheel.

    Raises SdkError WHEEL_INVALID naming the file and what is wrong, or FILE_UNREADABLE.
    """
    try:
        return _Reader(path).wheel()
    except (InvalidRequirement, InvalidSpecifier, InvalidVersion, InvalidWheelFilename) as error:
        raise wheel_invalid(path, str(error)) from error


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path
        name, version, _build, tags = _parse_filename(path.name)
        self.name, self.version, self.tags = name, version, tags
        self.members = {member.name: member for member in read_members(path)}
        self.dist_info = self._dist_info()
        self.data = self.dist_info.removesuffix(".dist-info") + ".data"

    def wheel(self) -> Wheel:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            metadata = self._headers(descriptor, "METADATA")
            self._check_wheel_file(self._headers(descriptor, "WHEEL"))
            files = tuple(self._files(descriptor))
        finally:
            os.close(descriptor)
        try:
            name, version = metadata.one("Name"), Version(metadata.one("Version"))
        except ValueError as error:
            raise wheel_invalid(self.path, f"METADATA: {error}") from error
        if canonicalize_name(name) != self.name or version != self.version:
            raise wheel_invalid(
                self.path, f"METADATA says {name} {version}, the file's name says otherwise"
            )
        return Wheel(
            path=self.path,
            name=self.name,
            version=self.version,
            tags=self.tags,
            requires=tuple(Requirement(text) for text in metadata.all("Requires-Dist")),
            requires_python=SpecifierSet(metadata.optional("Requires-Python") or ""),
            dist_info=self.dist_info,
            files=files,
        )

    def _dist_info(self) -> str:
        found = {name.partition("/")[0] for name in self.members if ".dist-info/" in name}
        found = {name for name in found if name.endswith(".dist-info")}
        if len(found) != 1:
            shown = ", ".join(sorted(found)) or "none"
            raise wheel_invalid(self.path, f"one .dist-info folder is needed, found: {shown}")
        folder = found.pop()
        name, _, version = folder.removesuffix(".dist-info").partition("-")
        try:
            same = canonicalize_name(name) == self.name and Version(version) == self.version
        except InvalidVersion:
            same = False
        if not same:
            raise wheel_invalid(self.path, f"{folder} does not belong to this name and version")
        return folder

    def _text(self, descriptor: int, name: str) -> bytes:
        member = self.members.get(f"{self.dist_info}/{name}")
        if member is None:
            raise wheel_invalid(self.path, f"{self.dist_info}/{name} is missing")
        return self._content(descriptor, member, _TEXT_LIMIT)

    def _content(self, descriptor: int, member: Member, limit: int) -> bytes:
        if member.size > limit:
            raise wheel_invalid(self.path, f"{member.name} is larger than {limit:,} bytes")
        return b"".join(read_member(self.path, descriptor, member))

    def _headers(self, descriptor: int, name: str) -> Headers:
        try:
            return Headers(self._text(descriptor, name))
        except ValueError as error:
            raise wheel_invalid(self.path, f"{name}: {error}") from error

    def _check_wheel_file(self, headers: Headers) -> None:
        version = headers.optional("Wheel-Version") or ""
        if not re.fullmatch(r"1\.[0-9]+", version):
            raise wheel_invalid(self.path, f"WHEEL: Wheel-Version '{version}' is not 1.x")

    def _files(self, descriptor: int) -> Iterator[WheelFile]:
        """Every file to write, in the order of the archive, then what is generated."""
        recorded = self._record(descriptor)
        written: set[str] = set()
        for member in self.members.values():
            file = self._file(descriptor, member, recorded)
            if file is not None:
                yield self._first(file, written)
        for file in self._generated(descriptor):
            yield self._first(file, written)
        if recorded:
            raise wheel_invalid(
                self.path, f"RECORD names a file that is not there: {min(recorded)}"
            )

    def _first(self, file: WheelFile, written: set[str]) -> WheelFile:
        if file.path in written:
            raise wheel_invalid(self.path, f"two of its files would be written to {file.path}")
        written.add(file.path)
        return file

    def _file(
        self, descriptor: int, member: Member, recorded: dict[str, tuple[str, bytes]]
    ) -> WheelFile | None:
        in_info = member.name.removeprefix(f"{self.dist_info}/")
        if in_info in _UNRECORDED and in_info != member.name:
            recorded.pop(member.name, None)
            return None
        if member.name not in recorded:
            raise wheel_invalid(self.path, f"RECORD does not cover {member.name}")
        algorithm, digest = recorded.pop(member.name)
        if in_info in _REPLACED and in_info != member.name:
            return None
        path, is_script = self._destination(member.name)
        file = WheelFile(
            path, algorithm, digest, member.size, member.executable or is_script, member
        )
        return self._script(descriptor, file, member) if is_script else file

    def _destination(self, name: str) -> tuple[str, bool]:
        """Where a member goes, as ``pip install --target`` has it; whether it is a script."""
        if not name.startswith(f"{self.data}/"):
            return name, False
        scheme, _, rest = name.removeprefix(f"{self.data}/").partition("/")
        prefixes = {
            "purelib": "",
            "platlib": "",
            "data": "",
            "scripts": "bin/",
            "headers": f"include/python/{self.dist_info.partition('-')[0]}/",
        }
        if scheme not in prefixes or not rest:
            raise wheel_invalid(self.path, f"{name}: wheels have no such .data folder")
        return prefixes[scheme] + rest, scheme == "scripts"

    def _script(self, descriptor: int, file: WheelFile, member: Member) -> WheelFile:
        """A script of the wheel: its ``#!python`` becomes a line that the server's image knows."""
        pieces = read_member(self.path, descriptor, member)
        first = next(iter(pieces), b"")
        if not first.startswith(b"#!python"):
            return file
        content = self._content(descriptor, member, _SCRIPT_LIMIT)
        if hashlib.new(file.algorithm, content).digest() != file.digest:
            raise wheel_invalid(self.path, f"{member.name} is not what RECORD says")
        _, _, rest = content.partition(b"\n")
        return made(file.path, _SHEBANG + rest, executable=True)

    def _record(self, descriptor: int) -> dict[str, tuple[str, bytes]]:
        """The hash that RECORD gives for each name; its own lines have none."""
        found: dict[str, tuple[str, bytes]] = {}
        try:
            rows = list(csv.reader(io.StringIO(self._text(descriptor, "RECORD").decode("utf-8"))))
        except (csv.Error, UnicodeDecodeError) as error:
            raise wheel_invalid(self.path, f"RECORD: {error}") from error
        for number, row in enumerate(rows, 1):
            if not row:
                continue
            if len(row) != 3 or row[0] in found:
                raise wheel_invalid(self.path, f"RECORD line {number} is damaged or a duplicate")
            name, algorithm, digest = row[0], *_hash(row[1])
            problem = name_problem(name)
            if problem is not None:
                raise wheel_invalid(self.path, f"RECORD line {number}: {name!r}: {problem}")
            own = name in (f"{self.dist_info}/{file}" for file in _UNRECORDED)
            if not own and len(digest) != _HASHES.get(algorithm, -1):
                raise wheel_invalid(
                    self.path, f"RECORD line {number}: {name} has no sha256 (or better) hash"
                )
            found[name] = (algorithm, digest)
        return found

    def _generated(self, descriptor: int) -> Iterator[WheelFile]:
        for name, module, call in self._entry_points(descriptor):
            text = _SCRIPT.format(module=module, name=call.partition(".")[0], call=call)
            yield made(f"bin/{name}", text.encode(), executable=True)
        yield made(f"{self.dist_info}/INSTALLER", INSTALLER)
        yield made(f"{self.dist_info}/REQUESTED", b"")

    def _entry_points(self, descriptor: int) -> Iterator[tuple[str, str, str]]:
        if f"{self.dist_info}/entry_points.txt" not in self.members:
            return
        parser = configparser.RawConfigParser(delimiters=("=",), strict=True)
        parser.optionxform = str  # type: ignore[method-assign, assignment]
        try:
            parser.read_string(self._text(descriptor, "entry_points.txt").decode("utf-8-sig"))
        except (configparser.Error, UnicodeDecodeError) as error:
            raise wheel_invalid(self.path, f"entry_points.txt: {error}") from error
        for section in ("console_scripts", "gui_scripts"):
            if not parser.has_section(section):
                continue
            for name, value in parser.items(section):
                match = _ENTRY_POINT.fullmatch(value.strip())
                if match is None or "/" in name or name_problem(name) is not None:
                    raise wheel_invalid(
                        self.path, f"entry_points.txt: {name!r} = {value!r} is no script"
                    )
                yield name, match["module"], match["call"]


def made(path: str, content: bytes, *, executable: bool = False) -> WheelFile:
    """A file whose content is known before anything is unpacked."""
    digest = hashlib.sha256(content).digest()
    return WheelFile(path, "sha256", digest, len(content), executable, None, content)


def record_file(dist_info: str, files: Iterable[WheelFile]) -> WheelFile:
    """The RECORD of what is installed, sorted by path."""
    stream = io.StringIO()
    rows = sorted(file.record for file in files)
    csv.writer(stream, lineterminator="\n").writerows([*rows, (f"{dist_info}/RECORD", "", "")])
    return made(f"{dist_info}/RECORD", stream.getvalue().encode())


def _hash(text: str) -> tuple[str, bytes]:
    algorithm, _, encoded = text.partition("=")
    try:
        padded = encoded.encode("ascii") + b"=" * (-len(encoded) % 4)
        return algorithm, base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return algorithm, b""
