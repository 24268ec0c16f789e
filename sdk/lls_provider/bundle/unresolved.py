"""What to do when a published package does not resolve: its name, its version, its server.

Whoever writes ``--package`` cannot change the requirements of what others published, but can
name another version of it, another Python or another server.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from lls_provider.wheels.servers import LINES

if TYPE_CHECKING:
    from lls_provider.errors import SdkError

CHANGE_REQUIREMENT = (
    "Change the requirement that the explanation names in the provider's dependencies"
)

Newest = Callable[[str], str | None]
"""The newest version that satisfies a requirement; None when there is none to be had."""


def resolution_of(error: SdkError, package: Requirement, newest: Newest) -> str | None:
    """What to write after --package or --python instead; None when it is about something else."""
    name = canonicalize_name(package.name)
    exactly = rf"{re.escape(name)}(\[[^\]]*\])?"
    if re.search(rf"(?<![\w.-]){exactly} was not found in", error.why):
        return (
            "Correct the name after --package, or name the index or folder that has it with "
            "--index or --find-links."
        )
    if re.search(rf"there is no version of {exactly}===?", error.why):
        version = newest(name)
        known = f"; the newest for this Python is {name}=={version}" if version else ""
        return f"Correct the version after --package{known}."
    if python := re.search(
        # of a package on an index, or of a file in a folder
        rf"does not satisfy (?P<index>Python\S+) and {exactly}\S* depends on"
        rf"|(?<![\w.-]){exactly}\S* requires (?P<file>Python \S+)",
        error.why,
    ):
        return (
            f"Name a Python that it supports ({python['index'] or python['file']}) with --python, "
            f"or another version of {name} after --package."
        )
    return None


def absent(error: SdkError, package: Requirement | None) -> str | None:
    """What to do when a dependency is nowhere to be had, which no override would change.

    ``package`` is the published one whose dependency it is, None for a project's.
    """
    found = re.search(r"(?<![\w.-])([\w.-]+)(?:\[[^\]]*\])? was not found in", error.why)
    if found is None:
        return None
    has_it = "name the index or folder that has it with --index or --find-links"
    if package is None:
        return f"Correct the name {found[1]} in the provider's dependencies, or {has_it}."
    return f"{another_version(package)}; or, for {found[1]}, {has_it}."


def another_version(package: Requirement) -> str:
    """What comes first where a published package's requirements do not fit."""
    return f"Name another version of {package.name} after --package, whose requirements fit"


def server_asked_for(error: SdkError, newest: Newest) -> str | None:
    """The server that the explanation shows a provider to be made for: ``NAME==VERSION``."""
    for line in LINES:
        names = f"{line.name}|{canonicalize_name(line.api_package)}"
        found = re.search(rf"depends? on (?:{names})((?:[<>=!~]=?=?[\w.*+]+,?)+)", error.why)
        if found is None:
            continue
        text = f"{line.name}{found[1].rstrip(',.')}"
        try:
            version = newest(str(Requirement(text)))
        except InvalidRequirement:
            return None
        return f"{line.name}=={version}" if version else None
    return None
