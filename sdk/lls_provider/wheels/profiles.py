"""Named profiles: the packages of supported servers, resolved once and shipped with the SDK.

A profile is a file of ``profiles/``: pins, the Pythons for which they hold, the day on which they
were taken. ``tools/take_profiles.py`` takes them again.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from lls_provider.errors import Code, SdkError
from lls_provider.resources import data_path

PREFIX = "profile:"


FOLDER = "profiles"


@dataclass(frozen=True, slots=True)
class Profile:
    """What a server had on the day ``taken``; equal on every Python of ``pythons``."""

    name: str
    requirement: str
    taken: date
    pythons: tuple[tuple[int, int], ...]
    pins: Mapping[str, str]
    modules: Mapping[str, tuple[str, ...]]  # of each package, the outermost

    def __str__(self) -> str:
        pythons = ", ".join(f"{major}.{minor}" for major, minor in self.pythons)
        return f"{PREFIX}{self.name} (taken on {self.taken.isoformat()}, Python {pythons})"


def read_profiles() -> tuple[Profile, ...]:
    """Every profile that ships with this SDK, by name."""
    return tuple(_parsed(path.read_bytes()) for path in sorted(data_path(FOLDER).glob("*.json")))


@functools.cache
def known_modules() -> Mapping[str, frozenset[str]]:
    """The outermost modules of each package of a supported server."""
    found: dict[str, frozenset[str]] = {}
    for profile in read_profiles():
        for name, modules in profile.modules.items():
            found[name] = found.get(name, frozenset()) | set(modules)
    return found


@functools.cache
def server_names() -> Mapping[str, str]:
    """The top-level names of the supported servers' modules, each with a package that has it."""
    return {
        module.partition(".")[0]: package
        for package, modules in sorted(known_modules().items())
        for module in modules
    }


def profile_named(name: str) -> Profile:
    """The profile of that name. Raises SdkError DISTRIBUTION_INVALID, which lists those there."""
    known = read_profiles()
    for profile in known:
        if profile.name == name:
            return profile
    raise SdkError(
        Code.DISTRIBUTION_INVALID,
        f"There is no profile {name!r:.100}",
        why="This version has:\n" + "\n".join(f"  {profile}" for profile in known),
        resolution="Name one of these, or the server's requirement, such as 'ogx==1.5.0'.",
    )


def _parsed(data: bytes) -> Profile:
    value = json.loads(data)
    return Profile(
        value["name"],
        value["requirement"],
        date.fromisoformat(value["taken"]),
        tuple(_minor(text) for text in value["python"]),
        value["pins"],
        {name: tuple(modules) for name, modules in value["modules"].items()},
    )


def _minor(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)
