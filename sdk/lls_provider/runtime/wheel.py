"""A wheel as the installer sees it: who it is, what it needs, what it writes and where.

Reading a wheel checks all that can be known without unpacking it: names, metadata, and a
RECORD that covers every file (the content itself is verified while it is unpacked).
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, NormalizedName, canonicalize_name
from packaging.utils import parse_wheel_filename as _parse_filename
from packaging.version import InvalidVersion, Version

from lls_provider.errors import Code, SdkError
from lls_provider.runtime import limits as wheel_limits
from lls_provider.runtime.archive import Member, open_wheel, read_member, wheel_error
from lls_provider.runtime.directory import limit_error, read_members
from lls_provider.runtime.headers import Headers
from lls_provider.runtime.requirements import parse_requirement, parse_specifier, parse_version
from lls_provider.runtime.scripts import Command, parse_entry_points, with_shebang
from lls_provider.runtime.wheelrecord import UNRECORDED, Recorded, parse_record

if TYPE_CHECKING:
    from packaging.tags import Tag

    from lls_provider.runtime.limits import Limits

INSTALLER = b"lls-provider\n"
_REPLACED = (*UNRECORDED, "INSTALLER", "REQUESTED")
_RECORD_LINE = 256  # bytes of RECORD for each member, besides its name


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
    archive_size: int = 0  # bytes
    metadata: Headers | None = field(default=None, compare=False, repr=False)  # of METADATA

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


def read_wheel(path: Path, limits: Limits | None = None) -> Wheel:
    """Read and check a wheel; without ``limits`` those that the environment tells hold.

    Raises SdkError: one of the codes ``WHEEL_...`` naming the file and what is wrong, or
    FILE_UNREADABLE.
    """
    descriptor = open_wheel(path)
    try:
        return _Reader(path, descriptor, limits or wheel_limits.told_limits()).wheel()
    finally:
        os.close(descriptor)


def check_total(wheels: Sequence[Wheel], folder: Path, limits: Limits | None = None) -> None:
    """Raise SdkError WHEEL_LIMIT when wheels ask for too much together: many small bombs."""
    limits = limits or wheel_limits.told_limits()
    archives = sum(wheel.archive_size for wheel in wheels)
    files = sum(len(wheel.files) for wheel in wheels)
    if files > limits.files_of(archives):
        why = f"the {len(wheels):,} wheels have {files:,} files together"
        raise limit_error(folder, why, f"{limits.files_of(archives):,}")
    total = sum(wheel.installed_size for wheel in wheels)
    if total > limits.bytes_of(archives):
        why = f"the {archives:,} bytes of {len(wheels):,} wheels unpack to {total:,} bytes"
        raise limit_error(folder, why, f"{limits.bytes_of(archives):,}")


class _Reader:
    def __init__(self, path: Path, descriptor: int, limits: Limits) -> None:
        self.path = path
        self.descriptor = descriptor
        self.limits = limits
        try:
            self.name, self.version, _build, self.tags = _parse_filename(path.name)
        except (InvalidWheelFilename, InvalidVersion) as error:
            raise self._error(Code.WHEEL_NAME_INVALID, str(error)) from error
        members = read_members(path, descriptor, limits)
        self.members = {member.name: member for member in members}
        self.dist_info = self._dist_info()
        self.data = self.dist_info.removesuffix(".dist-info") + ".data"

    def wheel(self) -> Wheel:
        metadata = self._headers("METADATA")
        self._check_identity(metadata)
        self._check_wheel_file(self._headers("WHEEL"))
        requires = metadata.all("Requires-Dist")
        if len(requires) > wheel_limits.REQUIREMENTS:
            why = f"METADATA has {len(requires):,} requirements"
            raise limit_error(self.path, why, f"{wheel_limits.REQUIREMENTS:,}")
        try:
            requirements = tuple(parse_requirement(text) for text in requires)
            requires_python = parse_specifier(metadata.optional("Requires-Python") or "")
        except (InvalidRequirement, InvalidSpecifier) as error:
            raise self._error(Code.WHEEL_METADATA_INVALID, f"METADATA: {error}") from error
        return Wheel(
            path=self.path,
            name=self.name,
            version=self.version,
            tags=self.tags,
            requires=requirements,
            requires_python=requires_python,
            dist_info=self.dist_info,
            files=tuple(self._files()),
            archive_size=os.fstat(self.descriptor).st_size,
            metadata=metadata,
        )

    def _error(self, code: Code, why: str) -> SdkError:
        return wheel_error(code, self.path, why)

    def _dist_info(self) -> str:
        found = {name.partition("/")[0] for name in self.members if ".dist-info/" in name}
        found = {name for name in found if name.endswith(".dist-info")}
        if len(found) != 1:
            shown = ", ".join(sorted(found)[:5]) or "none"
            why = f"one .dist-info folder is needed, found: {shown}"
            raise self._error(Code.WHEEL_DIST_INFO_INVALID, why)
        folder = found.pop()
        if not self._is_mine(folder.removesuffix(".dist-info")):
            why = f"{folder} does not belong to this name and version"
            raise self._error(Code.WHEEL_NAME_MISMATCH, why)
        return folder

    def _is_mine(self, stem: str) -> bool:
        """Whether ``name-version`` is this wheel's, written in any way."""
        name, _, version = stem.partition("-")
        try:
            return canonicalize_name(name) == self.name and parse_version(version) == self.version
        except InvalidVersion:
            return False

    def _text(self, name: str, limit: int = wheel_limits.TEXT_BYTES) -> bytes:
        member = self.members.get(f"{self.dist_info}/{name}")
        if member is None:
            is_record = name == "RECORD"
            code = Code.WHEEL_RECORD_MISSING if is_record else Code.WHEEL_DIST_INFO_INVALID
            raise self._error(code, f"{self.dist_info}/{name} is missing")
        return self._content(member, limit)

    def _content(self, member: Member, limit: int = wheel_limits.TEXT_BYTES) -> bytes:
        if member.size > limit:
            raise limit_error(self.path, f"{member.name} has {member.size:,} bytes", f"{limit:,}")
        return b"".join(read_member(self.path, self.descriptor, member))

    def _headers(self, name: str) -> Headers:
        try:
            return Headers(self._text(name))
        except ValueError as error:
            raise self._error(Code.WHEEL_METADATA_INVALID, f"{name}: {error}") from error

    def _check_identity(self, metadata: Headers) -> None:
        try:
            name, version = metadata.one("Name"), metadata.one("Version")
            same = canonicalize_name(name) == self.name and parse_version(version) == self.version
        except ValueError as error:
            raise self._error(Code.WHEEL_METADATA_INVALID, f"METADATA: {error}") from error
        if not same:
            why = f"METADATA says {name!r:.200} {version!r:.200}, the file's name says otherwise"
            raise self._error(Code.WHEEL_NAME_MISMATCH, why)

    def _check_wheel_file(self, headers: Headers) -> None:
        version = headers.optional("Wheel-Version")
        if not version:
            raise self._error(Code.WHEEL_METADATA_INVALID, "WHEEL: Wheel-Version is missing")
        if not re.fullmatch(r"1\.[0-9]+", version):
            why = f"WHEEL: Wheel-Version {version!r:.80} is not 1.x"
            raise self._error(Code.WHEEL_VERSION_UNSUPPORTED, why)

    def _files(self) -> Iterator[WheelFile]:
        """Every file to write, in the order of the archive, then what is generated."""
        names = sum(2 * len(member.raw_name) + _RECORD_LINE for member in self.members.values())
        text = self._text("RECORD", wheel_limits.TEXT_BYTES + names)
        recorded = parse_record(text, self.dist_info, self.path, safe=self.members)
        places = _Places(self.path, self.dist_info)
        for member in self.members.values():
            file = self._file(member, recorded)
            if file is not None:
                places.add(file.path)
                yield file
        if recorded:
            why = f"RECORD names a file that is not there: {min(recorded)!r:.300}"
            raise self._error(Code.WHEEL_FILE_MISSING, why)
        for file in self._generated():
            places.add(file.path)
            yield file
        places.check()

    def _file(self, member: Member, recorded: dict[str, Recorded]) -> WheelFile | None:
        in_info = member.name.removeprefix(f"{self.dist_info}/")
        if in_info in UNRECORDED and in_info != member.name:
            recorded.pop(member.name, None)
            return None
        told = recorded.pop(member.name, None)
        if told is None:
            why = f"RECORD does not cover {member.name!r:.300}"
            raise self._error(Code.WHEEL_RECORD_INCOMPLETE, why)
        if told.size is not None and told.size != member.size:
            why = f"{member.name} has {member.size:,} bytes, RECORD says {told.size:,}"
            raise self._error(Code.WHEEL_SIZE_MISMATCH, why)
        if in_info in _REPLACED and in_info != member.name:
            return None
        path, is_script = self._destination(member.name)
        executable = member.executable or is_script
        file = WheelFile(path, told.algorithm, told.digest, member.size, executable, member)
        return self._script(file, member) if is_script else file

    def _destination(self, name: str) -> tuple[str, bool]:
        """Where a member goes, as ``pip install --target`` has it; whether it is a script."""
        folder, _, inside = name.partition("/")
        if not folder.endswith(".data") or not inside:
            return name, False
        scheme, _, rest = inside.partition("/")
        prefixes = {
            "purelib": "",
            "platlib": "",
            "data": "",
            "scripts": "bin/",
            "headers": f"include/python/{self.dist_info.partition('-')[0]}/",
        }
        if folder != self.data and not self._is_mine(folder.removesuffix(".data")):
            why = f"{name!r:.300} is in the .data folder of another wheel"
            raise self._error(Code.WHEEL_DATA_INVALID, why)
        if scheme not in prefixes or not rest:
            why = f"{name!r:.300}: wheels have no such .data folder"
            raise self._error(Code.WHEEL_DATA_INVALID, why)
        return prefixes[scheme] + rest, scheme == "scripts"

    def _script(self, file: WheelFile, member: Member) -> WheelFile:
        """A script of the wheel: its ``#!python`` becomes a line that the server's image knows."""
        pieces = read_member(self.path, self.descriptor, member)
        if not next(pieces, b"").startswith(b"#!python"):
            return file
        content = self._content(member)
        if hashlib.new(file.algorithm, content).digest() != file.digest:
            why = f"{member.name} is not what RECORD says: its hash differs"
            raise self._error(Code.WHEEL_HASH_MISMATCH, why)
        return made(file.path, with_shebang(content), executable=True)

    def _generated(self) -> Iterator[WheelFile]:
        commands = self._commands()
        allowed = self.limits.files_of(os.fstat(self.descriptor).st_size)
        if len(self.members) + len(commands) > allowed:
            why = f"it has {len(self.members):,} members and {len(commands):,} commands"
            raise limit_error(self.path, why, f"{allowed:,}")
        for command in commands:
            yield made(f"bin/{command.name}", command.source(), executable=True)
        yield made(f"{self.dist_info}/INSTALLER", INSTALLER)
        yield made(f"{self.dist_info}/REQUESTED", b"")

    def _commands(self) -> list[Command]:
        if f"{self.dist_info}/entry_points.txt" not in self.members:
            return []
        try:
            return parse_entry_points(self._text("entry_points.txt"))
        except ValueError as error:
            why = f"entry_points.txt: {error}"
            raise self._error(Code.WHEEL_ENTRY_POINT_INVALID, why) from error


class _Places:
    """Where a wheel's files go: each place once, in any spelling, and inside its own folders."""

    def __init__(self, wheel: Path, dist_info: str) -> None:
        self._wheel = wheel
        self._dist_info = dist_info
        self._spelling: dict[str, str] = {}

    def add(self, path: str) -> None:
        """Take a place; raises SdkError when it is not free, or somebody else's."""
        top = path.partition("/")[0]
        if top.endswith(".dist-info") and (top != self._dist_info or path == f"{top}/RECORD"):
            why = f"{path!r:.300} would be written to the metadata of an installed distribution"
            raise wheel_error(Code.WHEEL_DIST_INFO_INVALID, self._wheel, why)
        key = path.casefold()
        before = self._spelling.get(key)
        self._spelling[key] = path
        if before is not None:
            why = f"two of its files would be written to {path!r:.300}"
            code = Code.WHEEL_DUPLICATE_ENTRY
            if before != path:
                why = f"{before!r:.300} and {path!r:.300} are one file where case does not count"
                code = Code.WHEEL_CASE_COLLISION
            raise wheel_error(code, self._wheel, why)

    def check(self) -> None:
        """Raise SdkError WHEEL_PATH_CONFLICT when a file is a folder of others."""
        folders = {path.rpartition("/")[0] for path in self._spelling}
        while folders:
            both = folders & self._spelling.keys()
            if both:
                why = f"{self._spelling[min(both)]!r:.300} is a file and a folder at once"
                raise wheel_error(Code.WHEEL_PATH_CONFLICT, self._wheel, why)
            folders = {folder.rpartition("/")[0] for folder in folders if "/" in folder}


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
