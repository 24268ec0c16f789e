"""What one wheel, and all wheels of an image together, may cost (docs/reference/limits.md).

Nothing here caps what a wheel may weigh: how much it may unpack to follows from how large its
archive is, so a wheel of 3 GB has room for what such wheels hold, and a bomb of 40 KB has not.
"""

from __future__ import annotations

from dataclasses import dataclass

from lls_provider.contract.limits import VARIABLE, WHEELS, told

__all__ = [
    "REQUIREMENTS",
    "REQUIREMENT_CHARACTERS",
    "REQUIREMENT_DIGITS",
    "REQUIREMENT_NESTING",
    "TEXT_BYTES",
    "VARIABLE",
    "Limits",
    "told_limits",
]

TEXT_BYTES = 16 * 1024 * 1024
"""METADATA, WHEEL, entry_points.txt and a script whose first line is rewritten: held in memory."""

REQUIREMENTS = 10_000
"""Lines of Requires-Dist in one wheel."""

REQUIREMENT_CHARACTERS = 32_768
"""Of one requirement, version or Requires-Python."""

REQUIREMENT_DIGITS = 1_000
"""In a row, in the same: Python itself refuses to read numbers of more than 4,300."""

REQUIREMENT_NESTING = 50
"""Levels of parentheses in one requirement: the parser of markers is recursive."""

_SMALL_BYTES = 64 * 1024 * 1024
_SMALL_FILES = 10_000
_BYTES_PER_FILE = 512


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that can be told; ``bytes`` and ``files`` take the place of computed ones.

    In the closure that docs/benchmarks.md measures (90 wheels) one unpacks to 9.8 times its
    archive at most, and the smallest files take 550 bytes of their archive each. Deflate ends at
    1,032 times.
    """

    ratio: int = 100
    bytes: int | None = None
    files: int | None = None

    def bytes_of(self, archive: int) -> int:
        """Bytes that an archive of so many bytes may unpack to."""
        return self.bytes if self.bytes is not None else max(_SMALL_BYTES, self.ratio * archive)

    def files_of(self, archive: int) -> int:
        """Files that an archive of so many bytes may hold."""
        computed = _SMALL_FILES + archive // _BYTES_PER_FILE
        return self.files if self.files is not None else computed


def told_limits() -> Limits:
    """The limits of the variable, for the rest the computed ones.

    Raises SdkError USAGE for what is no limit.
    """
    return Limits(**{name: number for name, number in told().items() if name in WHEELS})
