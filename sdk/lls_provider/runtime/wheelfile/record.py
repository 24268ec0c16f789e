"""RECORD: the hash and size of every file of a wheel, and whether the archive agrees with them.

Names and sizes are compared when a wheel is read, the content of each file while it is unpacked.
"""

from __future__ import annotations

import binascii
import csv
import io
import os
from collections.abc import Container
from typing import NamedTuple

from lls_provider.errors import Code
from lls_provider.runtime.messages import wheel_error
from lls_provider.runtime.wheelfile.archive import name_problem

UNRECORDED = ("RECORD", "RECORD.jws", "RECORD.p7s")
"""Files of the dist-info directory that are in RECORD without a hash, or not at all."""

_STANDARD = bytes.maketrans(b"-_", b"+/")  # from the alphabet of URLs
_HASHES = {"sha256": 32, "sha384": 48, "sha512": 64}


class RecordEntry(NamedTuple):
    """What RECORD says about a file; ``size`` is None if RECORD has none."""

    algorithm: str
    digest: bytes
    size: int | None


def parse_record(
    data: bytes, dist_info: str, path: str | os.PathLike[str], *, safe: Container[str] = ()
) -> dict[str, RecordEntry]:
    """The entries of RECORD by name; ``path`` is the wheel, for errors.

    Names in ``safe`` are members of the archive, which were checked already.

    Raises SdkError WHEEL_RECORD_INVALID, WHEEL_PATH_UNSAFE or WHEEL_HASH_WEAK.
    """
    own = {f"{dist_info}/{file}" for file in UNRECORDED}
    found: dict[str, RecordEntry] = {}
    try:
        rows = list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise wheel_error(Code.WHEEL_RECORD_INVALID, path, f"RECORD: {error}") from error
    for number, row in enumerate(rows, 1):
        if not row:
            continue
        place = f"RECORD line {number:,}"
        if len(row) != 3:
            why = f"{place} has {len(row)} fields, not 3"
            raise wheel_error(Code.WHEEL_RECORD_INVALID, path, why)
        name, hash_text, size = row
        problem = name_problem(name) if name not in safe else None
        if problem is not None:
            why = f"{place}: {name!r:.300}: {problem}"
            raise wheel_error(Code.WHEEL_PATH_UNSAFE, path, why, of_record=True)
        algorithm, digest = _hash(hash_text)
        if name not in own and len(digest) != _HASHES.get(algorithm, -1):
            why = f"{place}: {name!r:.300} has no sha256 (or better) hash{_form(hash_text)}"
            raise wheel_error(Code.WHEEL_HASH_WEAK, path, why)
        if size and not (size.isascii() and size.isdigit() and len(size) < 19):
            why = f"{place}: {size!r:.40} is not a size"
            raise wheel_error(Code.WHEEL_RECORD_INVALID, path, why)
        recorded = RecordEntry(algorithm, digest, int(size) if size else None)
        if found.setdefault(name, recorded) != recorded:
            why = f"{place} reports {name!r:.300} again, with another hash or size"
            raise wheel_error(Code.WHEEL_RECORD_INVALID, path, why)
    return found


def take_entry(
    recorded: dict[str, RecordEntry], name: str, size: int, path: str | os.PathLike[str]
) -> RecordEntry:
    """Remove a member's entry from ``recorded`` and return it.

    Raises SdkError WHEEL_RECORD_INCOMPLETE if there is none, WHEEL_SIZE_MISMATCH if it has another
    size.
    """
    entry = recorded.pop(name, None)
    if entry is None:
        why = f"RECORD does not cover {name!r:.300}"
        raise wheel_error(Code.WHEEL_RECORD_INCOMPLETE, path, why)
    if entry.size is not None and entry.size != size:
        why = f"{name} has {size:,} bytes, RECORD says {entry.size:,}"
        raise wheel_error(Code.WHEEL_SIZE_MISMATCH, path, why)
    return entry


def check_all_taken(recorded: dict[str, RecordEntry], path: str | os.PathLike[str]) -> None:
    """Raise SdkError WHEEL_FILE_MISSING if entries are left for which there is no member."""
    if recorded:
        why = f"RECORD names a file that does not exist: {min(recorded)!r:.300}"
        raise wheel_error(Code.WHEEL_FILE_MISSING, path, why)


def verify_content(digest: bytes, recorded: bytes, name: str, path: str | os.PathLike[str]) -> None:
    """Raise SdkError WHEEL_HASH_MISMATCH if a member's digest is not the recorded one."""
    if digest != recorded:
        why = f"{name} is not what RECORD says: its hash differs"
        raise wheel_error(Code.WHEEL_HASH_MISMATCH, path, why)


def _form(text: str) -> str:
    """What is wrong with the form of an otherwise good hash; empty for anything else."""
    algorithm, _, digest = text.partition("=")
    size = _HASHES.get(algorithm.lower(), 0)
    if size and len(digest) == 2 * size and not digest.lower().strip("0123456789abcdef"):
        return ": it is written in hexadecimal, and belongs there in URL-safe base64"
    if size and algorithm != algorithm.lower():
        return f": {algorithm} belongs there in small letters"
    return ""


def _hash(text: str) -> tuple[str, bytes]:
    algorithm, _, encoded = text.partition("=")
    try:
        padded = encoded.encode("ascii").translate(_STANDARD) + b"=" * (-len(encoded) % 4)
        return algorithm, binascii.a2b_base64(padded, strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        return algorithm, b""
