"""Members of a wheel's archive: where their bytes lie, and reading one with nothing trusted.

The central directory is read by `zipfile`; the bytes are read here with ``pread``, so that
several processes share one descriptor and a member is never held twice.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lls_provider.errors import Code, SdkError, Where

_LOCAL_HEADER = struct.Struct("<4s5HL2L2H")
_CHUNK = 1024 * 1024
_ENCRYPTED = 0x1
_RESOLUTION = "Build the wheel again, or download it again, and build the provider image with it."


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the archive."""

    name: str
    offset: int  # of the local header
    deflated: bool
    compressed: int
    size: int
    executable: bool


def wheel_invalid(path: Path, why: str) -> SdkError:
    """The error of a wheel that breaks the format or its own RECORD."""
    return SdkError(
        Code.WHEEL_INVALID,
        f"The wheel {path.name} is not valid",
        why=why,
        where=Where(file=str(path)),
        resolution=_RESOLUTION,
    )


def read_members(path: Path) -> list[Member]:
    """The files of an archive in its order.

    Raises SdkError WHEEL_INVALID for what is no zip file, and for members that are encrypted,
    packed in another way than wheels are, links or devices, duplicate, or of unsafe names.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, EOFError) as error:
        raise wheel_invalid(path, f"it is no readable zip file: {error}") from error
    except OSError as error:
        raise SdkError(
            Code.FILE_UNREADABLE,
            f"Cannot read the wheel {path.name}",
            why=error.strerror or str(error),
            where=Where(file=str(path)),
            resolution="Make it a regular file that the user of the container may read.",
        ) from error
    members = []
    seen = set()
    for info in infos:
        problem = name_problem(info.orig_filename.removesuffix("/")) or _problem(info)
        if problem is None and info.filename in seen:
            problem = "it stands in the archive twice"
        if problem is not None:
            raise wheel_invalid(path, f"member {info.filename!r}: {problem}")
        if info.is_dir():
            continue
        seen.add(info.filename)
        members.append(
            Member(
                info.filename,
                info.header_offset,
                info.compress_type == zipfile.ZIP_DEFLATED,
                info.compress_size,
                info.file_size,
                bool(info.external_attr >> 16 & 0o111),
            )
        )
    return members


def name_problem(name: str) -> str | None:
    """What makes a relative path unsafe to write below a folder; None when it is safe."""
    if not name:
        return "the name is empty"
    if name.startswith("/"):
        return "the path is absolute"
    if "\\" in name or any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "the name holds a backslash or a control character"
    if any(part in ("", ".", "..") for part in name.split("/")):
        return "the path leaves its folder, or has an empty part"
    if any(len(part.encode("utf-8", "surrogateescape")) > 255 for part in name.split("/")):
        return "a part of the path is longer than 255 bytes"
    if any("\ud800" <= character <= "\udfff" for character in name):
        return "the name is not text"
    return None


def _problem(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & _ENCRYPTED:
        return "it is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"compression method {info.compress_type} is not used in wheels"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind and not (stat.S_ISREG(kind) or (stat.S_ISDIR(kind) and info.is_dir())):
        return "it is a link or a device"
    if info.is_dir() and info.file_size:
        return "it is a folder with content"
    return None


def read_member(path: Path, descriptor: int, member: Member) -> Iterator[bytes]:
    """The content of a member in pieces, at most its declared size in all.

    Raises SdkError WHEEL_INVALID when the archive is truncated or a size or name lies.
    """
    header = os.pread(descriptor, _LOCAL_HEADER.size + 4 * len(member.name), member.offset)
    if len(header) < _LOCAL_HEADER.size:
        raise wheel_invalid(path, f"member {member.name!r}: the archive is truncated")
    fields = _LOCAL_HEADER.unpack_from(header)
    signature, name_length, extra_length = fields[0], fields[9], fields[10]
    if signature != b"PK\x03\x04":
        raise wheel_invalid(path, f"member {member.name!r}: its local header is damaged")
    name = header[_LOCAL_HEADER.size : _LOCAL_HEADER.size + name_length]
    if name not in (member.name.encode("utf-8"), member.name.encode("cp437", "replace")):
        raise wheel_invalid(path, f"member {member.name!r}: the archive names it in two ways")
    start = member.offset + _LOCAL_HEADER.size + name_length + extra_length
    pieces = _raw(path, descriptor, member, start)
    return _inflated(path, member, pieces) if member.deflated else _stored(path, member, pieces)


def _raw(path: Path, descriptor: int, member: Member, start: int) -> Iterator[bytes]:
    left = member.compressed
    while left:
        data = os.pread(descriptor, min(left, _CHUNK), start)
        if not data:
            raise wheel_invalid(path, f"member {member.name!r}: the archive is truncated")
        start += len(data)
        left -= len(data)
        yield data


def _stored(path: Path, member: Member, pieces: Iterator[bytes]) -> Iterator[bytes]:
    if member.compressed != member.size:
        raise wheel_invalid(path, f"member {member.name!r}: its two sizes differ")
    return pieces


def _inflated(path: Path, member: Member, pieces: Iterator[bytes]) -> Iterator[bytes]:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    left = member.size
    try:
        for piece in pieces:
            while piece:
                # one byte more than declared is asked for: so a size that lies is seen
                data = inflate.decompress(piece, min(left + 1, _CHUNK))
                piece = inflate.unconsumed_tail
                left -= len(data)
                if left < 0:
                    break
                if data:
                    yield data
            if left < 0:
                break
        while left >= 0 and not inflate.eof:  # what zlib still held back
            data = inflate.decompress(inflate.unconsumed_tail, min(left + 1, _CHUNK))
            if not data:
                break
            left -= len(data)
            if left >= 0:
                yield data
    except zlib.error as error:
        raise wheel_invalid(path, f"member {member.name!r}: damaged data ({error})") from error
    if left != 0 or not inflate.eof:
        raise wheel_invalid(
            path, f"member {member.name!r}: its content is not of the declared {member.size} bytes"
        )
