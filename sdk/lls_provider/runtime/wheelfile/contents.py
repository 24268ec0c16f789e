"""What a wheel's archive holds: every file that it writes, covered by RECORD, commands, metadata.

`wheel` judges whose wheel it is and what it requires, which takes the library `packaging`. This
module needs the standard library alone, so that wheels are read ahead while `packaging` is still
being imported.
"""

from __future__ import annotations

import binascii
import csv
import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lls_provider.contract.limits import TEXT_BYTES
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.messages import wheel_error
from lls_provider.runtime.wheelfile.archive import (
    Member,
    content_digest,
    limit_error,
    name_problem,
    open_wheel,
    read_member,
    read_members,
)
from lls_provider.runtime.wheelfile.record import (
    UNRECORDED,
    RecordEntry,
    check_all_taken,
    parse_record,
    take_entry,
    verify_content,
)

if TYPE_CHECKING:
    from lls_provider.contract.limits import WheelLimits


_SECTIONS = ("console_scripts", "gui_scripts")
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


class Command(NamedTuple):
    """An entry point that becomes a file of ``bin``."""

    name: str
    module: str
    call: str

    def source(self) -> bytes:
        """The script; its first line works in any image with a Python on its path."""
        first = self.call.partition(".")[0]
        return _SCRIPT.format(module=self.module, name=first, call=self.call).encode()


def parse_entry_points(data: bytes) -> list[Command]:
    """The commands of an entry_points.txt; raises ValueError naming the line that is wrong.

    Every section must be well formed; only those of commands count. `configparser` would take time
    that grows with the square of the length of a line.
    """
    section: str | None = None
    commands: dict[str, Command] = {}
    for number, line in enumerate(data.decode("utf-8-sig").splitlines(), 1):
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        if text[0] == "[" and text[-1] == "]":
            section = text[1:-1].strip()
            continue
        name, equals, value = (part.strip() for part in text.partition("="))
        if section is None:
            raise ValueError(f"line {number:,} is in no section")
        if section not in _SECTIONS:
            continue
        match = _ENTRY_POINT.fullmatch(value)
        if not equals or match is None or "/" in name or name_problem(name) is not None:
            raise ValueError(f"line {number:,}: {text!r:.200} is not a script")
        if name in commands:
            raise ValueError(f"line {number:,}: {name!r:.200} appears twice")
        commands[name] = Command(name, match["module"], match["call"])
    return list(commands.values())


def with_shebang(content: bytes) -> bytes:
    """A script of the wheel, with a first line that works in any image with a Python."""
    return _SHEBANG + content.partition(b"\n")[2]


# Other separators that str.splitlines knows are content: a Summary may hold U+2028.
_LINE_END = r"(?:\r\n|\n|\r(?!\n))"
_BLANK = re.compile(f"{_LINE_END}[ \t]*{_LINE_END}".encode())
_LINES = re.compile(_LINE_END)


class Headers:
    """The fields of a header block (METADATA, WHEEL), by name without regard to case.

    The body of METADATA, a long description, is never read. `email` would do the same at the cost
    of an import that a Pod's start can do without.
    """

    def __init__(self, data: bytes) -> None:
        """Raises ValueError for what is not UTF-8 or not a header block."""
        blank = _BLANK.search(data)
        block = (data[: blank.start()] if blank is not None else data).decode("utf-8-sig")
        self.fields: dict[str, list[list[str]]] = {}
        """The lines of each value, by the name in lower case."""
        last: list[str] | None = None
        for number, line in enumerate(_LINES.split(block), 1):
            if not line.strip(" \t"):
                break
            if line[0] in " \t":
                if last is None:
                    raise ValueError(f"line {number} continues nothing")
                last.append(line.strip())
                continue
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise ValueError(f"line {number} is no 'Key: value'")
            last = [value.strip()]
            self.fields.setdefault(name.lower(), []).append(last)

    @classmethod
    def of(cls, fields: dict[str, list[list[str]]]) -> Headers:
        """Headers with the ``fields`` of others."""
        headers = cls(b"")
        headers.fields = fields
        return headers

    def one(self, name: str) -> str:
        """The value of a field that must appear once; raises ValueError otherwise."""
        values = self.all(name)
        if len(values) != 1 or not values[0]:
            found = "is missing" if not values else f"is there {len(values)} times"
            raise ValueError(f"the field {name} {found if values != [''] else 'is empty'}")
        return values[0]

    def optional(self, name: str) -> str | None:
        """The value of a field, None if it is missing."""
        values = self.fields.get(name.lower())
        return "\n".join(values[0]) if values else None

    def all(self, name: str) -> list[str]:
        """Every value of a field that may repeat."""
        return ["\n".join(lines) for lines in self.fields.get(name.lower(), [])]


INSTALLER = b"lls-provider\n"
_REPLACED = (*UNRECORDED, "INSTALLER", "REQUESTED")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_RECORD_LINE = 256  # bytes of RECORD for each member, besides its name


class WheelFile(NamedTuple):
    """A file that a wheel writes: its path, and its expected content."""

    path: str  # relative to python-packages
    algorithm: str
    digest: bytes
    size: int
    executable: bool
    member: Member | None  # None: made here, `content` holds it
    content: bytes = b""

    @property
    def record(self) -> tuple[str, str, int]:
        """Its row in the installed RECORD."""
        encoded = binascii.b2a_base64(self.digest, newline=False).translate(_URL_SAFE, b"=")
        return self.path, f"{self.algorithm}={encoded.decode()}", self.size


class Contents(NamedTuple):
    """An archive that passed every check but that of its files' content."""

    archive_size: int  # bytes
    dist_info: str
    data_directories: dict[str, str]
    """Directories that end in .data but do not match dist-info, each with a member's name."""
    metadata: Headers  # of METADATA
    about: Headers  # of WHEEL
    files: tuple[WheelFile, ...]
    record: WheelFile
    """The RECORD to install when all of the files are."""


def read_contents(path: Path, limits: WheelLimits) -> Contents:
    """Read and check a wheel's archive, its RECORD and the form of its metadata.

    Raises SdkError: one of the codes ``WHEEL_...`` naming the file and what is wrong, or
    FILE_UNREADABLE.
    """
    descriptor = open_wheel(path)
    try:
        return _Reader(path, descriptor, limits).contents()
    finally:
        os.close(descriptor)


class _Reader:
    def __init__(self, path: Path, descriptor: int, limits: WheelLimits) -> None:
        self.path = path
        self.descriptor = descriptor
        self.limits = limits
        members = read_members(path, descriptor, limits)
        self.members = {member.name: member for member in members}
        self.dist_info = self._dist_info()
        self.data = self.dist_info.removesuffix(".dist-info") + ".data"
        self.data_directories: dict[str, str] = {}

    def contents(self) -> Contents:
        metadata, about = self._headers("METADATA"), self._headers("WHEEL")
        files = self._files()
        return Contents(
            archive_size=os.fstat(self.descriptor).st_size,
            dist_info=self.dist_info,
            data_directories=self.data_directories,
            metadata=metadata,
            about=about,
            files=files,
            record=record_file(self.dist_info, files),
        )

    def _error(self, code: Code, why: str) -> SdkError:
        return wheel_error(code, self.path, why)

    def _dist_info(self) -> str:
        found = {name.partition("/")[0] for name in self.members if ".dist-info/" in name}
        found = {name for name in found if name.endswith(".dist-info")}
        if len(found) != 1:
            shown = ", ".join(sorted(found)[:5]) or "none"
            why = f"one .dist-info directory is needed, found: {shown}"
            raise self._error(Code.WHEEL_DIST_INFO_INVALID, why)
        return found.pop()

    def _text(self, name: str, limit: int = TEXT_BYTES) -> bytes:
        member = self.members.get(f"{self.dist_info}/{name}")
        if member is None:
            is_record = name == "RECORD"
            code = Code.WHEEL_RECORD_MISSING if is_record else Code.WHEEL_DIST_INFO_INVALID
            raise self._error(code, f"{self.dist_info}/{name} is missing")
        return self._content(member, limit)

    def _content(self, member: Member, limit: int = TEXT_BYTES) -> bytes:
        if member.size > limit:
            raise limit_error(self.path, f"{member.name} has {member.size:,} bytes", f"{limit:,}")
        return b"".join(read_member(self.path, self.descriptor, member))

    def _headers(self, name: str) -> Headers:
        try:
            return Headers(self._text(name))
        except ValueError as error:
            raise self._error(Code.WHEEL_METADATA_INVALID, f"{name}: {error}") from error

    def _files(self) -> tuple[WheelFile, ...]:
        """Every file to write, in the order of the archive, then what is generated."""
        names = sum(2 * len(member.raw_name) + _RECORD_LINE for member in self.members.values())
        text = self._text("RECORD", TEXT_BYTES + names)
        recorded = parse_record(text, self.dist_info, self.path, safe=self.members)
        places = _Places(self.path, self.dist_info)
        for member in self.members.values():
            file = self._file(member, recorded)
            if file is not None:
                self._place(places, file)
        check_all_taken(recorded, self.path)
        for file in self._generated():
            self._place(places, file)
        places.check()
        return tuple(places.files.values())

    def _place(self, places: _Places, file: WheelFile) -> None:
        """Add a file; two files for one path count once if they are the same."""
        before = places.add(file)
        if before is None:
            return
        # what RECORD says of the second is not verified by unpacking the first
        if before.size != file.size or self._digest(before) != self._digest(file):
            why = f"two of its files would be written to {file.path!r:.300}, in different content"
            raise self._error(Code.WHEEL_DUPLICATE_ENTRY, why)
        if file.executable and not before.executable:
            places.files[file.path] = before._replace(executable=True)

    def _digest(self, file: WheelFile) -> bytes:
        if file.member is None:
            return hashlib.sha256(file.content).digest()
        return content_digest(self.path, self.descriptor, file.member)

    def _file(self, member: Member, recorded: dict[str, RecordEntry]) -> WheelFile | None:
        in_info = member.name.removeprefix(f"{self.dist_info}/")
        if in_info in UNRECORDED and in_info != member.name:
            recorded.pop(member.name, None)
            return None
        entry = take_entry(recorded, member.name, member.size, self.path)
        if in_info in _REPLACED and in_info != member.name:
            return None
        path, is_script = member.name, False
        if ".data/" in path:
            path, is_script = self._destination(path)
        executable = member.executable or is_script
        file = WheelFile(path, entry.algorithm, entry.digest, member.size, executable, member)
        return self._script(file, member) if is_script else file

    def _destination(self, name: str) -> tuple[str, bool]:
        """Where ``pip install --target`` would put a member, and whether it is a script."""
        directory, _, inside = name.partition("/")
        if not directory.endswith(".data") or not inside:
            return name, False
        scheme, _, rest = inside.partition("/")
        prefixes = {
            "purelib": "",
            "platlib": "",
            "data": "",
            "scripts": "bin/",
            "headers": f"include/python/{self.dist_info.partition('-')[0]}/",
        }
        if directory != self.data:
            self.data_directories.setdefault(directory, name)
        if scheme not in prefixes or not rest:
            why = f"{name!r:.300}: wheels have no such .data directory"
            raise self._error(Code.WHEEL_DATA_INVALID, why)
        return prefixes[scheme] + rest, scheme == "scripts"

    def _script(self, file: WheelFile, member: Member) -> WheelFile:
        """A script of the wheel: its ``#!python`` becomes a line that works in any image."""
        pieces = read_member(self.path, self.descriptor, member)
        if not next(pieces, b"").startswith(b"#!python"):
            return file
        content = self._content(member)
        digest = hashlib.new(file.algorithm, content).digest()
        verify_content(digest, file.digest, member.name, self.path)
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
    """The paths of a wheel's files: each once, in one spelling, inside its own directories."""

    def __init__(self, wheel: Path, dist_info: str) -> None:
        self._wheel = wheel
        self._dist_info = dist_info
        self._spelling: dict[str, str] = {}
        self.files: dict[str, WheelFile] = {}

    def add(self, file: WheelFile) -> WheelFile | None:
        """Add a file; returns the file that has its path already.

        Raises SdkError if the path is unsafe, or exists in another spelling.
        """
        path = file.path
        if ".dist-info" in path:
            self._check_info(path)
        spelling = self._spelling.setdefault(path.casefold(), path)
        if spelling != path:
            why = f"{spelling!r:.300} and {path!r:.300} are one file where case does not count"
            raise wheel_error(Code.WHEEL_CASE_COLLISION, self._wheel, why)
        before = self.files.setdefault(path, file)
        return None if before is file else before

    def _check_info(self, path: str) -> None:
        top = path.partition("/")[0]
        if top.endswith(".dist-info") and (top != self._dist_info or path == f"{top}/RECORD"):
            why = f"{path!r:.300} would be written to the metadata of an installed distribution"
            raise wheel_error(Code.WHEEL_DIST_INFO_INVALID, self._wheel, why)

    def check(self) -> None:
        """Raise SdkError WHEEL_PATH_CONFLICT when a file is a directory of others."""
        directories = {path.rpartition("/")[0] for path in self._spelling}
        while directories:
            both = directories & self._spelling.keys()
            if both:
                why = f"{self._spelling[min(both)]!r:.300} is a file and a directory at once"
                raise wheel_error(Code.WHEEL_PATH_CONFLICT, self._wheel, why)
            directories = {
                directory.rpartition("/")[0] for directory in directories if "/" in directory
            }


def made(path: str, content: bytes, *, executable: bool = False) -> WheelFile:
    """A file whose content is known before anything is unpacked."""
    digest = hashlib.sha256(content).digest()
    return WheelFile(path, "sha256", digest, len(content), executable, None, content)


def record_file(dist_info: str, files: Iterable[WheelFile]) -> WheelFile:
    """The RECORD of what is installed, sorted by path."""
    own = f"{dist_info}/RECORD"
    rows = [file.record for file in sorted(files, key=attrgetter("path"))]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([*rows, (own, "", "")])
    return made(own, text.getvalue().encode())
