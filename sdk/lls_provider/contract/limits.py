"""The limits that a user tells: one variable for those of wheels and of documents."""

from __future__ import annotations

import os
from collections.abc import Mapping

from lls_provider.errors import Code, SdkError

VARIABLE = "LLS_PROVIDER_LIMITS"
"""Tells limits to every command, such as ``ratio=500,files=200000``."""

WHEELS = ("ratio", "bytes", "files")
DOCUMENTS = {
    "document_bytes": "size",
    "document_levels": "depth",
    "document_values": "nodes",
    "document_aliases": "aliases",
    "document_digits": "digits",
}
"""The names of `document.Limits`, as they are told."""

# A reader of YAML is recursive, and Python itself reads no number of more digits.
MOST: Mapping[str, int] = {"document_levels": 200, "document_digits": 4300}


def raising(field: str, limit: int) -> str:
    """How the limit of documents that is ``limit`` now is raised; empty where it is the highest."""
    name = next(name for name, known in DOCUMENTS.items() if known == field)
    higher = min(4 * limit, MOST.get(name, 4 * limit))
    if higher <= limit:
        return ""
    return f", or raise the limit: set {VARIABLE}={name}={higher} where this command runs"


def told() -> Mapping[str, int]:
    """The limits of the variable by name. Raises SdkError USAGE for what is no limit."""
    found: dict[str, int] = {}
    for item in os.environ.get(VARIABLE, "").replace(",", " ").split():
        name, _, number = item.partition("=")
        known = name in WHEELS or name in DOCUMENTS
        if not known or not (number.isascii() and number.isdigit() and len(number) < 19):
            raise SdkError(
                Code.USAGE,
                f"{VARIABLE}: {item!r:.80} is no limit",
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
