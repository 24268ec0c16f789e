"""The RECORD of a wheel: the hash and size that each of its files must have."""

from __future__ import annotations

import binascii
import csv
import io
import os
from collections.abc import Container
from typing import NamedTuple

from lls_provider.errors import Code
from lls_provider.runtime.archive import name_problem, wheel_error

UNRECORDED = ("RECORD", "RECORD.jws", "RECORD.p7s")
"""Files of the dist-info folder that stand in RECORD without a hash, or not at all."""

_STANDARD = bytes.maketrans(b"-_", b"+/")  # from the alphabet of URLs
_HASHES = {"sha256": 32, "sha384": 48, "sha512": 64}


class Recorded(NamedTuple):
    """What RECORD says of a file; ``size`` is None where it does not tell."""

    algorithm: str
    digest: bytes
    size: int | None


def parse_record(
    data: bytes, dist_info: str, path: str | os.PathLike[str], *, safe: Container[str] = ()
) -> dict[str, Recorded]:
    """Every line of RECORD by name; ``path`` is the wheel, for errors.

    Names in ``safe`` are those of the archive's members, checked already.

    Raises SdkError WHEEL_RECORD_INVALID, WHEEL_PATH_UNSAFE or WHEEL_HASH_WEAK.
    """
    own = {f"{dist_info}/{file}" for file in UNRECORDED}
    found: dict[str, Recorded] = {}
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
        name, told, size = row
        problem = name_problem(name) if name not in safe else None
        if problem is not None:
            why = f"{place}: {name!r:.300}: {problem}"
            raise wheel_error(Code.WHEEL_PATH_UNSAFE, path, why, of_record=True)
        algorithm, digest = _hash(told)
        if name not in own and len(digest) != _HASHES.get(algorithm, -1):
            why = f"{place}: {name!r:.300} has no sha256 (or better) hash{_form(told)}"
            raise wheel_error(Code.WHEEL_HASH_WEAK, path, why)
        if size and not (size.isascii() and size.isdigit() and len(size) < 19):
            why = f"{place}: {size!r:.40} is no size"
            raise wheel_error(Code.WHEEL_RECORD_INVALID, path, why)
        recorded = Recorded(algorithm, digest, int(size) if size else None)
        if found.setdefault(name, recorded) != recorded:
            why = f"{place} tells of {name!r:.300} again, with another hash or size"
            raise wheel_error(Code.WHEEL_RECORD_INVALID, path, why)
    return found


def _form(told: str) -> str:
    """In which form a hash is written that is good but for that; empty for what is none."""
    algorithm, _, digest = told.partition("=")
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
