"""The files of a wheel's ``.dist-info``: RECORD, the headers of METADATA and WHEEL, requirements.

RECORD has the hash and size of every file. The body of METADATA (a long description) is never
looked at; `email` would do the same at the cost of an import that a Pod's start can do without.
`packaging` raises RecursionError (its parser of markers is recursive) and ValueError (numbers of
more than 4,300 digits) besides its own errors; texts that lead there are refused before.
"""

from __future__ import annotations

import binascii
import csv
import io
import os
import re
from collections.abc import Container
from itertools import accumulate
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from lls_provider.contract.limits import (
    REQUIREMENT_CHARACTERS,
    REQUIREMENT_DIGITS,
    REQUIREMENT_NESTING,
)
from lls_provider.errors import Code
from lls_provider.runtime.wheelfile.members import name_problem, wheel_error

UNRECORDED = ("RECORD", "RECORD.jws", "RECORD.p7s")
"""Files of the dist-info directory that are in RECORD without a hash, or not at all."""

_STANDARD = bytes.maketrans(b"-_", b"+/")  # from the alphabet of URLs
_HASHES = {"sha256": 32, "sha384": 48, "sha512": 64}


class RecordEntry(NamedTuple):
    """What RECORD says of a file; ``size`` is None where it does not say."""

    algorithm: str
    digest: bytes
    size: int | None


def parse_record(
    data: bytes, dist_info: str, path: str | os.PathLike[str], *, safe: Container[str] = ()
) -> dict[str, RecordEntry]:
    """Every line of RECORD by name; ``path`` is the wheel, for errors.

    Names in ``safe`` are those of the archive's members, checked already.

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
            why = f"{place}: {size!r:.40} is not a size"
            raise wheel_error(Code.WHEEL_RECORD_INVALID, path, why)
        recorded = RecordEntry(algorithm, digest, int(size) if size else None)
        if found.setdefault(name, recorded) != recorded:
            why = f"{place} reports {name!r:.300} again, with another hash or size"
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


# Other separators that str.splitlines knows are content: a Summary may hold U+2028.
_LINE_END = r"(?:\r\n|\n|\r(?!\n))"
_BLANK = re.compile(f"{_LINE_END}[ \t]*{_LINE_END}".encode())
_LINES = re.compile(_LINE_END)


class Headers:
    """The fields of a header block, by name without regard to case."""

    def __init__(self, data: bytes) -> None:
        """Raises ValueError for what is not UTF-8 or no header block."""
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
        """Those that ``fields`` of another gave."""
        headers = cls(b"")
        headers.fields = fields
        return headers

    def one(self, name: str) -> str:
        """The value of a field that must be there once; raises ValueError otherwise."""
        values = self.all(name)
        if len(values) != 1 or not values[0]:
            found = "is missing" if not values else f"is there {len(values)} times"
            raise ValueError(f"the field {name} {found if values != [''] else 'is empty'}")
        return values[0]

    def optional(self, name: str) -> str | None:
        """The value of a field, None where it does not be."""
        values = self.fields.get(name.lower())
        return "\n".join(values[0]) if values else None

    def all(self, name: str) -> list[str]:
        """Every value of a field that may repeat."""
        return ["\n".join(lines) for lines in self.fields.get(name.lower(), [])]


_NUMBER = re.compile(f"[0-9]{{{REQUIREMENT_DIGITS}}}")
_STEP = {"(": 1, ")": -1}


def parse_requirement(text: str) -> Requirement:
    """A requirement; raises InvalidRequirement for all that is none."""
    problem = _problem(text)
    if problem is not None:
        raise InvalidRequirement(problem)
    return Requirement(text)


def parse_specifier(text: str) -> SpecifierSet:
    """Bounds of a version; raises InvalidSpecifier."""
    problem = _problem(text)
    if problem is not None:
        raise InvalidSpecifier(problem)
    return SpecifierSet(text)


def parse_version(text: str) -> Version:
    """A version; raises InvalidVersion."""
    problem = _problem(text)
    if problem is not None:
        raise InvalidVersion(problem)
    return Version(text)


def _problem(text: str) -> str | None:
    if len(text) > REQUIREMENT_CHARACTERS:
        return f"{text[:80]!r}… is longer than {REQUIREMENT_CHARACTERS:,} characters"
    if len(text) >= REQUIREMENT_DIGITS and _NUMBER.search(text):
        return f"{text[:80]!r}… has a number of {REQUIREMENT_DIGITS:,} digits or more"
    if text.count("(") > REQUIREMENT_NESTING:
        depth = max(accumulate(_STEP.get(character, 0) for character in text))
        if depth > REQUIREMENT_NESTING:
            return f"{text[:80]!r}… has more than {REQUIREMENT_NESTING} levels of parentheses"
    return None
