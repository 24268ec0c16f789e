"""A wheel's zip archive: its central directory, and its members, read with nothing trusted.

Two readers of one zip file can see two contents: when it has two ends, when data precedes it, when
members overlap or when its counts do not agree. `zipfile` reads many of those in its own way; here
each is an error, because what was scanned must be what is installed.

The bytes are read with ``pread``, so that several processes share one descriptor, and in pieces, so
that a member is never held whole.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lls_provider.errors import Code, SdkError, Where
from lls_provider.runtime.messages import wheel_error

if TYPE_CHECKING:
    from lls_provider.contract.limits import WheelLimits

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s4x2H8x2L4H2x2L")  # without versions, time, checksum, inner attributes
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_COMMENT_BYTES = 0xFFFF
_STORED = 0
_DEFLATED = 8
_STREAMED = 0x8  # the sizes were not known yet when the local header was written
_PATCHED = 0x20
_UTF8 = 0x800
_ENCRYPTED = 0x2041  # encrypted, strongly encrypted, or with a hidden header
_UNKNOWN_16 = 0xFFFF
_UNKNOWN_32 = 0xFFFFFFFF
_ZIP64_FIELD = 1
_UNICODE_PATH = 0x7075
_ENTRY_BYTES = 1024
_DEFLATE_RATIO = 1032
_CHUNK = 256 * 1024  # what is inflated, hashed and written stays in a processor's cache

_PATH_BYTES = 4096
_PART_BYTES = 255
# possessive: no part can match in two ways, and not trying saves half of the time
_ORDINARY = re.compile(r"(?:\w[\w+-]*+(?:\.[\w+-]++)*+/)*+\w[\w+-]*+(?:\.[\w+-]++)*+", re.ASCII)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_DRIVE = re.compile(r"[A-Za-z]:")


class Member(NamedTuple):
    """One file of the archive, as the central directory reports it."""

    name: str
    offset: int  # of the local header
    end: int  # where the next member begins, or the central directory
    raw_name: bytes
    flags: int
    method: int
    compressed: int
    size: int
    executable: bool


def open_wheel(path: Path) -> int:
    """A descriptor of the file, for reading; never blocks, whatever the path leads to.

    Raises SdkError FILE_UNREADABLE, or WHEEL_NOT_FILE for a device, a pipe or a directory.
    """
    try:
        # without O_NONBLOCK, opening a pipe waits for a writer that never comes
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise SdkError(
            Code.FILE_UNREADABLE,
            f"Cannot read the wheel {path.name}",
            why=getattr(error, "strerror", None) or str(error),
            where=Where(file=str(path)),
            resolution="Make it a regular file that the user of the container may read.",
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise wheel_error(Code.WHEEL_NOT_FILE, path, "it is not a regular file")
    return descriptor


def read_members(path: Path, descriptor: int, limits: WheelLimits) -> list[Member]:
    """The files of an archive in its order; their declared sizes are within the limits together.

    A member that appears again with the same content counts once.

    Raises SdkError WHEEL_NOT_ZIP, WHEEL_TRUNCATED, WHEEL_ARCHIVE_INVALID, WHEEL_OVERLAP,
    WHEEL_LIMIT, and for a single member WHEEL_PATH_UNSAFE, WHEEL_ENTRY_TYPE, WHEEL_ENCRYPTED,
    WHEEL_COMPRESSION, WHEEL_SIZE_MISMATCH or WHEEL_DUPLICATE_ENTRY.
    """
    size = os.fstat(descriptor).st_size
    directory = _find(path, descriptor, size)
    allowed = limits.files_of(size)
    if directory.count > allowed:
        raise limit_error(path, f"it has {directory.count:,} members", f"{allowed:,}")
    room = 65536 + directory.count * _ENTRY_BYTES
    if directory.size > room:
        why = f"its directory has {directory.size:,} bytes for {directory.count:,} members"
        raise limit_error(path, why, f"{room:,}")
    members = list(
        _members(path, os.pread(descriptor, directory.size, directory.offset), directory)
    )
    total, allowed = sum(member.size for member in members), limits.bytes_of(size)
    if total > allowed:
        why = f"its {size:,} bytes unpack to {total:,} bytes"
        raise limit_error(path, why, f"{allowed:,}")
    return _once(path, descriptor, members)


def read_member(path: Path, descriptor: int, member: Member) -> Iterator[bytes]:
    """The content of a member in pieces, at most its declared size in all.

    Raises SdkError WHEEL_TRUNCATED, WHEEL_HEADER_MISMATCH, WHEEL_OVERLAP, WHEEL_SIZE_MISMATCH or
    WHEEL_DATA_DAMAGED; a false size is reported when the pieces end.
    """
    start = _data_start(path, descriptor, member)
    pieces = _raw(path, descriptor, member, start)
    return _inflated(path, member, pieces) if member.method == _DEFLATED else pieces


def content_digest(path: Path, descriptor: int, member: Member) -> bytes:
    """The SHA-256 of a member's content. Raises what `read_member` raises."""
    digest = hashlib.sha256()
    for piece in read_member(path, descriptor, member):
        digest.update(piece)
    return digest.digest()


def name_problem(name: str) -> str | None:
    """What makes a relative path unsafe to write below a directory; None when it is safe."""
    if len(name) <= _PART_BYTES and _ORDINARY.fullmatch(name):
        return None
    if not name:
        return "the name is empty"
    if name.startswith("/"):
        return "the path is absolute"
    if "\\" in name or _CONTROL.search(name):
        return "the name holds a backslash or a control character"
    if _SURROGATE.search(name):
        return "the name is not text"
    if _DRIVE.match(name):
        return "the path names a drive"
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "the path leaves its directory, or has an empty part"
    if any(len(part.encode()) > _PART_BYTES for part in parts):
        return f"a part of the path is longer than {_PART_BYTES} bytes"
    if len(name.encode()) >= _PATH_BYTES:
        return f"the path is longer than {_PATH_BYTES - 1:,} bytes"
    return None


def limit_error(path: str | os.PathLike[str], why: str, allowed: str) -> SdkError:
    """The error of a wheel, or of a directory of wheels, that exceeds a limit."""
    return wheel_error(
        Code.WHEEL_LIMIT,
        path,
        f"{why}; {allowed} are allowed",
        resolution="Find out why it is that large. If it is meant to be, raise the limit with the "
        "variable LLS_PROVIDER_LIMITS, such as LLS_PROVIDER_LIMITS=ratio=500,files=200000.",
    )


@dataclass(frozen=True, slots=True)
class _Directory:
    """Where the central directory lies, and how many entries it announces."""

    offset: int
    size: int
    count: int


def _find(path: Path, descriptor: int, size: int) -> _Directory:
    tail = os.pread(
        descriptor, _END.size + _COMMENT_BYTES, max(0, size - _END.size - _COMMENT_BYTES)
    )
    ends = list(_ends(tail))
    if not ends:
        begins = os.pread(descriptor, 4, 0)
        if begins == b"PK\x03\x04":
            why = "the archive is cut short or data follow it: its end record is not at its end"
            raise wheel_error(Code.WHEEL_TRUNCATED, path, why)
        what = "the file is empty" if not size else "it is not a zip file"
        raise wheel_error(Code.WHEEL_NOT_ZIP, path, what)
    at, *others = ends
    if others:
        raise _invalid(path, "it has two ends, so two readers would see two contents")
    end = size - len(tail) + at
    _, disk, first_disk, here, count, length, offset, _ = _END.unpack_from(tail, at)
    announced = (here, count, length, offset)
    locator = os.pread(descriptor, _LOCATOR.size, end - _LOCATOR.size) if end >= 20 else b""
    if locator.startswith(b"PK\x06\x07") and len(locator) == _LOCATOR.size:
        end -= _LOCATOR.size + _END64.size
        here, count, length, offset = _end64(path, descriptor, locator, end, announced)
    if disk or first_disk or here != count:
        raise _invalid(path, "it is one part of several")
    if offset + length > end:
        raise wheel_error(
            Code.WHEEL_TRUNCATED, path, "the archive is cut short: its directory is not whole"
        )
    if offset + length < end:
        raise _invalid(path, "data precedes it, or between its directory and its end")
    return _Directory(offset, length, count)


def _ends(tail: bytes) -> Iterator[int]:
    """Every position of a possible end record: its comment ends with the file."""
    at = tail.find(b"PK\x05\x06")
    while at >= 0 and at + _END.size <= len(tail):
        if at + _END.size + _END.unpack_from(tail, at)[-1] == len(tail):
            yield at
        at = tail.find(b"PK\x05\x06", at + 1)


def _end64(
    path: Path, descriptor: int, locator: bytes, end: int, announced: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """The same four numbers from the zip64 record; the announced ones must agree."""
    _, disk, at, disks = _LOCATOR.unpack(locator)
    record = os.pread(descriptor, _END64.size, end) if end >= 0 else b""
    if at != end or len(record) < _END64.size or not record.startswith(b"PK\x06\x06"):
        raise _invalid(path, "its zip64 record is not where it should be")
    _, size, _, _, here_disk, first_disk, here, count, length, offset = _END64.unpack(record)
    if size != _END64.size - 12 or disk or here_disk or first_disk or disks > 1:
        raise _invalid(path, "its zip64 record is damaged")
    found = (here, count, length, offset)
    unknown = (_UNKNOWN_16, _UNKNOWN_16, _UNKNOWN_32, _UNKNOWN_32)
    for short, long, open_value in zip(announced, found, unknown, strict=True):
        if short not in (long, open_value):
            raise _invalid(path, "its two end records differ")
    return found


def _members(path: Path, data: bytes, directory: _Directory) -> Iterator[Member]:
    entries = list(_entries(path, data, directory))
    starts = sorted(entry[1] for entry in entries)
    if starts and starts[0] > 0:
        raise _invalid(path, "data precedes its first member")
    # if two begin at one offset, the first ends there, so neither has room
    ends = dict(reversed(list(pairwise([*starts, directory.offset]))))
    for raw, offset, flags, method, compressed, size, mode in entries:
        name = _name(path, raw, flags)
        end = ends[offset]
        if offset + _LOCAL_HEADER.size + len(raw) + compressed > end:
            why = "it reaches into what follows it"
            raise _member_error(Code.WHEEL_OVERLAP, path, name, why)
        if not name.endswith("/"):
            yield Member(
                name, offset, end, raw, flags, method, compressed, size, bool(mode & 0o111)
            )


_Entry = tuple[bytes, int, int, int, int, int, int]
"""Raw name, offset, flags, method, compressed size, size, mode."""


def _entries(path: Path, data: bytes, directory: _Directory) -> Iterator[_Entry]:
    at = 0
    for number in range(1, directory.count + 1):
        begin = at + _ENTRY.size
        if begin > len(data) or data[at : at + 4] != b"PK\x01\x02":
            raise _invalid(path, f"entry {number:,} of its directory is damaged")
        (
            _,
            flags,
            method,
            compressed,
            size,
            name_length,
            extra_length,
            comment_length,
            disk,
            attributes,
            offset,
        ) = _ENTRY.unpack_from(data, at)
        at = begin + name_length + extra_length + comment_length
        raw = data[begin : begin + name_length]
        extra = data[begin + name_length : begin + name_length + extra_length]
        if extra and renames(extra, raw):
            name = raw.decode("utf-8", "backslashreplace")
            why = "a field names it otherwise"
            raise _member_error(Code.WHEEL_HEADER_MISMATCH, path, name, why)
        if _UNKNOWN_32 in (compressed, size, offset):
            sizes = _zip64_sizes(path, raw, extra, (size, compressed, offset))
            size, compressed, offset = sizes
        if disk:
            raise _invalid(path, "it is one part of several")
        mode = attributes >> 16
        problem = _problem(raw, flags, method, compressed, size, mode)
        if problem is not None:
            code, why = problem
            raise _member_error(code, path, raw.decode("utf-8", "backslashreplace"), why)
        yield raw, offset, flags, method, compressed, size, mode
    if at != len(data):
        raise _invalid(path, "its directory is not as long as the entries in it")


def _problem(
    raw: bytes, flags: int, method: int, compressed: int, size: int, mode: int
) -> tuple[Code, str] | None:
    """Why no wheel may have such an entry, whatever its name."""
    if flags & _ENCRYPTED:
        return Code.WHEEL_ENCRYPTED, "it is encrypted"
    if method not in (_STORED, _DEFLATED) or flags & _PATCHED:
        return Code.WHEEL_COMPRESSION, f"compression method {method} is not used in wheels"
    kind = stat.S_IFMT(mode)
    is_directory = raw.endswith(b"/")
    if kind and kind != (stat.S_IFDIR if is_directory else stat.S_IFREG):
        return Code.WHEEL_ENTRY_TYPE, "it is a link or a device, or another thing than its name"
    if is_directory and (size or compressed > 2):
        return Code.WHEEL_ENTRY_TYPE, "it is a directory with content"
    if method == _STORED and compressed != size:
        return Code.WHEEL_SIZE_MISMATCH, "its two sizes differ"
    if size > compressed * _DEFLATE_RATIO:
        why = f"{compressed:,} bytes cannot unpack to {size:,}"
        return Code.WHEEL_SIZE_MISMATCH, why
    return None


def renames(extra: bytes, raw_name: bytes) -> bool:
    """Whether extra fields of a header hold another name, which some readers would use.

    This is Info-ZIP's field for names in UTF-8 (APPNOTE 4.6.9); `zipfile` reads it since Python
    3.12.
    """
    return any(kind == _UNICODE_PATH and data[5:] != raw_name for kind, data in _fields(extra))


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """The extra fields of a header: kind and data, which are short where the last one is cut."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        at += 4
        yield kind, extra[at : at + length]
        at += length


def _zip64_sizes(
    path: Path, raw: bytes, extra: bytes, sizes: tuple[int, int, int]
) -> tuple[int, int, int]:
    """Size, compressed size and offset, with those that did not fit from the zip64 field."""
    for kind, data in _fields(extra):
        if kind == _ZIP64_FIELD:
            whole = data[: len(data) // 8 * 8]
            values = (value for (value,) in struct.iter_unpack("<Q", whole))
            try:
                found = [v if v != _UNKNOWN_32 else next(values) for v in sizes]
            except StopIteration:
                break
            return found[0], found[1], found[2]
    name = raw.decode("utf-8", "backslashreplace")
    raise _member_error(Code.WHEEL_ARCHIVE_INVALID, path, name, "its zip64 field is missing")


def _name(path: Path, raw: bytes, flags: int) -> str:
    """The name as text; without the flag for UTF-8 it is in the original code page of zip, 437."""
    try:
        name = raw.decode("utf-8" if flags & _UTF8 or raw.isascii() else "cp437")
    except UnicodeDecodeError as error:
        shown = raw.decode("utf-8", "backslashreplace")
        why = "the name is not text"
        raise _member_error(Code.WHEEL_PATH_UNSAFE, path, shown, why) from error
    problem = name_problem(name.removesuffix("/"))
    if problem is not None:
        raise _member_error(Code.WHEEL_PATH_UNSAFE, path, name, problem)
    return name


def _once(path: Path, descriptor: int, members: list[Member]) -> list[Member]:
    """Each member once. Of two with one name, some tools take the first and some the last."""
    found: dict[str, Member] = {}
    for member in members:
        first = found.setdefault(member.name, member)
        if first is not member and not _equal(path, descriptor, first, member):
            why = "it appears twice, with different content"
            raise _member_error(Code.WHEEL_DUPLICATE_ENTRY, path, member, why)
    return list(found.values())


def _equal(path: Path, descriptor: int, one: Member, other: Member) -> bool:
    if (one.raw_name, one.flags & _UTF8, one.size, one.executable) != (
        other.raw_name,
        other.flags & _UTF8,
        other.size,
        other.executable,
    ):
        return False
    return content_digest(path, descriptor, one) == content_digest(path, descriptor, other)


def _data_start(path: Path, descriptor: int, member: Member) -> int:
    """Where the member's bytes begin; its two headers must agree."""
    header = os.pread(descriptor, _LOCAL_HEADER.size + len(member.raw_name), member.offset)
    if len(header) < _LOCAL_HEADER.size:
        raise _member_error(Code.WHEEL_TRUNCATED, path, member, "the archive ends in its header")
    signature, _, flags, method, _, _, _, compressed, size, name_length, extra_length = (
        _LOCAL_HEADER.unpack_from(header)
    )
    if signature != b"PK\x03\x04":
        raise _member_error(Code.WHEEL_HEADER_MISMATCH, path, member, "its local header is damaged")
    if name_length != len(member.raw_name) or not header.endswith(member.raw_name):
        raise _member_error(
            Code.WHEEL_HEADER_MISMATCH, path, member, "its two headers name it otherwise"
        )
    if method != member.method or (flags ^ member.flags) & _ENCRYPTED:
        raise _member_error(
            Code.WHEEL_HEADER_MISMATCH, path, member, "its two headers differ in method"
        )
    local = (compressed, size)
    if (
        not flags & _STREAMED
        and _UNKNOWN_32 not in local
        and local != (member.compressed, member.size)
    ):
        raise _member_error(
            Code.WHEEL_HEADER_MISMATCH, path, member, "its two headers differ in size"
        )
    begin: int = member.offset + _LOCAL_HEADER.size + name_length
    start: int = begin + extra_length
    if start + member.compressed > member.end:
        raise _member_error(Code.WHEEL_OVERLAP, path, member, "it reaches into what follows it")
    if extra_length and renames(os.pread(descriptor, extra_length, begin), member.raw_name):
        raise _member_error(Code.WHEEL_HEADER_MISMATCH, path, member, "a field names it otherwise")
    return start


def _raw(path: Path, descriptor: int, member: Member, start: int) -> Iterator[bytes]:
    left = member.compressed
    while left:
        data = os.pread(descriptor, min(left, _CHUNK), start)
        if not data:
            raise _member_error(
                Code.WHEEL_TRUNCATED, path, member, "the archive ends in its content"
            )
        start += len(data)
        left -= len(data)
        yield data


def _inflated(path: Path, member: Member, pieces: Iterator[bytes]) -> Iterator[bytes]:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    left = member.size
    try:
        for piece in pieces:
            # One byte more than declared is requested, so that a false size is noticed, and never
            # none, which zlib takes for no limit. It may hold data back when it has read it all.
            while data := inflate.decompress(piece, min(left + 1, _CHUNK)):
                piece = inflate.unconsumed_tail
                left -= len(data)
                if left < 0:
                    break
                yield data
            if left < 0 or inflate.unused_data:
                break
    except zlib.error as error:
        raise _member_error(
            Code.WHEEL_DATA_DAMAGED, path, member, f"damaged data ({error})"
        ) from error
    if left != 0:
        why = f"its content is not of the declared {member.size} bytes"
        raise _member_error(Code.WHEEL_SIZE_MISMATCH, path, member, why)
    if not inflate.eof or inflate.unused_data:
        raise _member_error(
            Code.WHEEL_DATA_DAMAGED, path, member, "its data does not end where it should"
        )


def _invalid(path: Path, why: str) -> SdkError:
    return wheel_error(Code.WHEEL_ARCHIVE_INVALID, path, f"the archive is damaged: {why}")


def _member_error(code: Code, path: Path, member: Member | str, why: str) -> SdkError:
    name = member if isinstance(member, str) else member.name
    return wheel_error(code, path, f"member {name!r:.300}: {why}")
