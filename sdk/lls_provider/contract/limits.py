"""The limits of a document, one wheel, and all wheels of an image (docs/reference/limits.md).

One variable sets the limits of wheels and of documents. There is no limit on the size of a wheel:
how much it may unpack to depends on the size of its archive, so that a wheel of 3 GB may be
installed and a bomb of 40 KB may not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from lls_provider.errors import Code, SdkError

VARIABLE = "LLS_PROVIDER_LIMITS"
"""Sets limits for every command, such as ``ratio=500,files=200000``."""

WHEELS = ("ratio", "bytes", "files")
DOCUMENTS = {
    "document_bytes": "size",
    "document_levels": "depth",
    "document_values": "nodes",
    "document_aliases": "aliases",
    "document_digits": "digits",
}
"""The names of `DocumentLimits`, as the variable spells them."""

# PyYAML's reader is recursive, and Python itself reads no number of more digits.
MOST: Mapping[str, int] = {"document_levels": 200, "document_digits": 4300}


def raise_hint(field: str, limit: int) -> str:
    """How to raise a limit of documents that is ``limit`` now; empty if it is at its maximum."""
    name = next(name for name, own in DOCUMENTS.items() if own == field)
    higher = min(4 * limit, MOST.get(name, 4 * limit))
    if higher <= limit:
        return ""
    return f", or raise the limit: set {VARIABLE}={name}={higher} where this command runs"


def _from_environment() -> Mapping[str, int]:
    """The limits of the variable by name. Raises SdkError USAGE for what is not a limit."""
    found: dict[str, int] = {}
    for item in os.environ.get(VARIABLE, "").replace(",", " ").split():
        name, _, number = item.partition("=")
        is_known = name in WHEELS or name in DOCUMENTS
        if not is_known or not (number.isascii() and number.isdigit() and len(number) < 19):
            raise SdkError(
                Code.USAGE,
                f"{VARIABLE}: {item!r:.80} is not a limit",
                resolution="Write NAME=NUMBER, such as ratio=200; NAME is one of "
                f"{', '.join([*WHEELS, *DOCUMENTS])}.",
            )
        most = MOST.get(name)
        if most is not None and int(number) > most:
            raise SdkError(
                Code.USAGE,
                f"{VARIABLE}: {name} is {most:,} at most",
                resolution=f"Write {name}={most}, or leave it out.",
            )
        found[name] = int(number)
    return found


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """The limits of a document. An error about one names its number.

    ``size`` is what a ConfigMap of Kubernetes may hold; it also limits the text of a document with
    its aliases expanded. The largest configuration that a released server ships
    has 12 KB, 700 values and 8 levels.
    """

    size: int = 1024 * 1024  # bytes
    depth: int = 64  # levels of mappings and lists, aliases expanded
    nodes: int = 50_000  # values, keys among them, aliases expanded
    aliases: int = 1_000  # uses of an anchor
    digits: int = 400  # characters of one number


DEFAULT = DocumentLimits()
CONFIGURATION = DocumentLimits(size=16 * 1024 * 1024)
"""The limits of a distribution's configuration, which need not come from a ConfigMap."""


def document_limits(limits: DocumentLimits = DEFAULT) -> DocumentLimits:
    """The limits with those that `VARIABLE` sets. Raises SdkError USAGE."""
    given = _from_environment()
    return replace(limits, **{DOCUMENTS[name]: given[name] for name in DOCUMENTS if name in given})


def merged_limits() -> DocumentLimits:
    """The limits of a merged configuration: in block style, with the providers' entries added."""
    limits = document_limits(CONFIGURATION)
    return replace(limits, size=4 * limits.size, depth=limits.depth + 8, nodes=4 * limits.nodes)


TEXT_BYTES = 16 * 1024 * 1024
"""METADATA, WHEEL, entry_points.txt and a script whose first line is rewritten: held in memory."""

REQUIREMENTS = 10_000
"""Lines of Requires-Dist in one wheel."""

REQUIREMENT_CHARACTERS = 32_768
"""Characters of one requirement, version or Requires-Python."""

REQUIREMENT_DIGITS = 1_000
"""Consecutive digits in one of these: Python itself reads no number of more than 4,300."""

REQUIREMENT_NESTING = 50
"""Levels of parentheses in one requirement: the parser of markers is recursive."""

_SMALL_BYTES = 64 * 1024 * 1024
_SMALL_FILES = 10_000
_BYTES_PER_FILE = 512


@dataclass(frozen=True, slots=True)
class WheelLimits:
    """The limits of wheels that a user can set; ``bytes`` and ``files`` replace computed ones.

    In the closure that docs/benchmarks.md measures (90 wheels) one unpacks to 9.8 times its
    archive at most, and the smallest files take 550 bytes of their archive each. Deflate
    compresses by a factor of 1,032 at most.
    """

    ratio: int = 100
    bytes: int | None = None
    files: int | None = None

    def bytes_of(self, archive: int) -> int:
        """Bytes that an archive of ``archive`` bytes may unpack to."""
        return self.bytes if self.bytes is not None else max(_SMALL_BYTES, self.ratio * archive)

    def files_of(self, archive: int) -> int:
        """Files that an archive of ``archive`` bytes may hold."""
        computed = _SMALL_FILES + archive // _BYTES_PER_FILE
        return self.files if self.files is not None else computed


def wheel_limits() -> WheelLimits:
    """The limits that `VARIABLE` sets, and computed ones for the rest.

    Raises SdkError USAGE for what is not a limit.
    """
    return WheelLimits(
        **{name: number for name, number in _from_environment().items() if name in WHEELS}
    )
