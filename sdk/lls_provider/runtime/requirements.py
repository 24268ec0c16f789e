"""Reads requirements and versions of strangers: what `packaging` leaves to its caller is here.

Of `packaging` come RecursionError (its parser of markers is recursive) and ValueError (numbers
of more than 4,300 digits) besides its own errors; texts that lead there are refused before.
"""

from __future__ import annotations

import re
from itertools import accumulate

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from lls_provider.contract.limits import (
    REQUIREMENT_CHARACTERS,
    REQUIREMENT_DIGITS,
    REQUIREMENT_NESTING,
)

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
