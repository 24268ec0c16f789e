"""Members of a wheel's archive: what one may be named, and reading one with nothing trusted.

The bytes are read with ``pread``, so that several processes share one descriptor, and in
pieces, so that a member is never held whole.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lls_provider.errors import Code, SdkError, Where

STORED = 0
DEFLATED = 8
ENCRYPTED = 0x2041
"""The flags of a member that is encrypted, strongly encrypted, or hides its header."""

STREAMED = 0x8
"""The flag of a member whose sizes were not known yet when its local header was written."""

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_UNICODE_PATH = 0x7075
_CHUNK = 256 * 1024  # what is inflated, hashed and written stays in a processor's cache
_UNKNOWN_SIZE = 0xFFFFFFFF
_PATH_BYTES = 4096
_PART_BYTES = 255
# possessive: nothing of it can match in two ways, and not to try takes half the time
_ORDINARY = re.compile(r"(?:\w[\w+-]*+(?:\.[\w+-]++)*+/)*+\w[\w+-]*+(?:\.[\w+-]++)*+", re.ASCII)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_DRIVE = re.compile(r"[A-Za-z]:")
_RESOLUTION = (
    "Build the wheel again, or download it again; where that brings the same file, use another "
    "version of the package. Then build the provider image with it."
)
_OF_RECORD = frozenset(
    {
        Code.WHEEL_RECORD_MISSING,
        Code.WHEEL_RECORD_INVALID,
        Code.WHEEL_RECORD_INCOMPLETE,
        Code.WHEEL_FILE_MISSING,
        Code.WHEEL_HASH_WEAK,
    }
)
"""What is wrong with RECORD alone. Wheels are published like this: a download brings it again."""


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


def wheel_error(
    code: Code,
    path: str | os.PathLike[str],
    why: str,
    *,
    resolution: str | None = None,
    of_record: bool = False,
) -> SdkError:
    """The error of a wheel that breaks the format or its own RECORD.

    ``of_record`` says that RECORD alone is wrong where the code does not say so.
    """
    file = os.fspath(path)
    if resolution is None:
        is_record = of_record or code in _OF_RECORD
        resolution = _repair(os.path.basename(file)) if is_record else _RESOLUTION  # noqa: PTH119
    return SdkError(
        code,
        f"The wheel {os.path.basename(file)} is not valid",  # noqa: PTH119 - may be no path
        why=why,
        where=Where(file=file),
        resolution=resolution,
    )


def _repair(name: str) -> str:
    """How the RECORD of a wheel is written again. 'wheel unpack' would refuse it as we do."""
    import shlex  # seldom

    folder = shlex.quote("-".join(name.split("-")[:2]))
    return (
        "Build the wheel again where it is your own. One that was published like this comes again "
        "with each download: use another version of the package, or write its RECORD again with "
        f"`python3 -m zipfile -e {shlex.quote(name)} {folder}` and `wheel pack {folder}`, and give "
        "the result to the build with --find-links."
    )


def open_wheel(path: Path) -> int:
    """A descriptor of the file, for reading; never waits, whatever the name leads to.

    Raises SdkError FILE_UNREADABLE, or WHEEL_NOT_FILE for a device, a pipe or a directory.
    """
    try:
        # without O_NONBLOCK opening a pipe waits for a writer that never comes
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


def read_member(path: Path, descriptor: int, member: Member) -> Iterator[bytes]:
    """The content of a member in pieces, at most its declared size in all.

    Raises SdkError WHEEL_TRUNCATED, WHEEL_HEADER_MISMATCH, WHEEL_OVERLAP, WHEEL_SIZE_MISMATCH or
    WHEEL_DATA_DAMAGED; a false size is reported when the pieces end.
    """
    start = _data_start(path, descriptor, member)
    pieces = _raw(path, descriptor, member, start)
    return _inflated(path, member, pieces) if member.method == DEFLATED else pieces


def _data_start(path: Path, descriptor: int, member: Member) -> int:
    """Where the member's bytes begin; its two headers must say the same."""
    header = os.pread(descriptor, _LOCAL_HEADER.size + len(member.raw_name), member.offset)
    if len(header) < _LOCAL_HEADER.size:
        raise _error(Code.WHEEL_TRUNCATED, path, member, "the archive ends in its header")
    signature, _, flags, method, _, _, _, compressed, size, name_length, extra_length = (
        _LOCAL_HEADER.unpack_from(header)
    )
    if signature != b"PK\x03\x04":
        raise _error(Code.WHEEL_HEADER_MISMATCH, path, member, "its local header is damaged")
    if name_length != len(member.raw_name) or not header.endswith(member.raw_name):
        raise _error(Code.WHEEL_HEADER_MISMATCH, path, member, "its two headers name it otherwise")
    if method != member.method or (flags ^ member.flags) & ENCRYPTED:
        raise _error(Code.WHEEL_HEADER_MISMATCH, path, member, "its two headers differ in method")
    told = (compressed, size)
    if (
        not flags & STREAMED
        and _UNKNOWN_SIZE not in told
        and told != (member.compressed, member.size)
    ):
        raise _error(Code.WHEEL_HEADER_MISMATCH, path, member, "its two headers differ in size")
    begin: int = member.offset + _LOCAL_HEADER.size + name_length
    start: int = begin + extra_length
    if start + member.compressed > member.end:
        raise _error(Code.WHEEL_OVERLAP, path, member, "it reaches into what follows it")
    if extra_length and renames(os.pread(descriptor, extra_length, begin), member.raw_name):
        raise _error(Code.WHEEL_HEADER_MISMATCH, path, member, "a field names it otherwise")
    return start


def renames(extra: bytes, raw_name: bytes) -> bool:
    """Whether extra fields of a header hold another name, which some readers take for the name.

    Info-ZIP's field for names in UTF-8 (APPNOTE 4.6.9): `zipfile` reads it since Python 3.12.
    """
    at = 0
    while at + 4 <= len(extra):
        field, length = struct.unpack_from("<2H", extra, at)
        if field == _UNICODE_PATH and extra[at + 9 : at + 4 + length] != raw_name:
            return True
        at += 4 + length
    return False


def _raw(path: Path, descriptor: int, member: Member, start: int) -> Iterator[bytes]:
    left = member.compressed
    while left:
        data = os.pread(descriptor, min(left, _CHUNK), start)
        if not data:
            raise _error(Code.WHEEL_TRUNCATED, path, member, "the archive ends in its content")
        start += len(data)
        left -= len(data)
        yield data


def _inflated(path: Path, member: Member, pieces: Iterator[bytes]) -> Iterator[bytes]:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    left = member.size
    try:
        for piece in pieces:
            while piece:
                # one byte more than declared is requested: so a size that is is seen
                data = inflate.decompress(piece, min(left + 1, _CHUNK))
                piece = inflate.unconsumed_tail
                left -= len(data)
                if left < 0:
                    break
                if data:
                    yield data
            if left < 0 or inflate.unused_data:
                break
        while left >= 0 and not inflate.eof:  # what zlib still held back
            data = inflate.decompress(inflate.unconsumed_tail, min(left + 1, _CHUNK))
            if not data:
                break
            left -= len(data)
            if left >= 0:
                yield data
    except zlib.error as error:
        raise _error(Code.WHEEL_DATA_DAMAGED, path, member, f"damaged data ({error})") from error
    if left != 0:
        why = f"its content is not of the declared {member.size} bytes"
        raise _error(Code.WHEEL_SIZE_MISMATCH, path, member, why)
    if not inflate.eof or inflate.unused_data:
        raise _error(Code.WHEEL_DATA_DAMAGED, path, member, "its data does not end where it should")


def _error(code: Code, path: Path, member: Member, why: str) -> SdkError:
    return wheel_error(code, path, f"member {member.name!r}: {why}")
