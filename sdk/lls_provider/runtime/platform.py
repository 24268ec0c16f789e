"""Whether native code fits the machine and Python that run now: from tags and ELF headers.

Nothing is imported for it (contract section 5): code for another machine may crash the process.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.tags import Tag, parse_tag, sys_tags

from lls_provider.runtime.elf import read_elf_machine
from lls_provider.runtime.headers import Headers
from lls_provider.runtime.target import machine_of, shown_platform
from lls_provider.runtime.volume import recorded_files


@dataclass(frozen=True, slots=True)
class NativeProblem:
    """A distribution that cannot work here. ``architecture`` tells machine from ABI."""

    package: str
    expected: str
    found: str
    architecture: bool
    path: str = ""


def native_problems(
    packages: Path, dist_infos: Sequence[str], *, tags: frozenset[Tag] | None = None
) -> Iterator[NativeProblem]:
    """The distributions below ``packages`` whose native code does not fit, in their order."""
    here = frozenset(sys_tags()) if tags is None else tags
    machine = os.uname().machine
    for dist_info in dist_infos:
        name = dist_info.partition("-")[0]
        problem = _tag_problem(name, _wheel_tags(packages / dist_info), here, machine)
        if problem is None:
            problem = _elf_problem(name, packages, recorded_files(packages / dist_info), machine)
        if problem is not None:
            yield problem


def _wheel_tags(dist_info: Path) -> frozenset[Tag]:
    """The tags in the installed WHEEL file; none when it cannot be read."""
    try:
        texts = Headers((dist_info / "WHEEL").read_bytes()).all("Tag")
        return frozenset(tag for text in texts for tag in parse_tag(text))
    except (OSError, ValueError):
        return frozenset()


def _tag_problem(
    name: str, tags: frozenset[Tag], here: frozenset[Tag], machine: str
) -> NativeProblem | None:
    if not tags or tags & here or any(tag.platform == "any" and _pure(tag) for tag in tags):
        return None
    machines = {machine_of(tag.platform) for tag in tags} - {None}
    if machines and machine not in machines:
        found = min(str(found) for found in machines)
        return NativeProblem(name, shown_platform(machine), shown_platform(found), True)
    expected = f"cp3{sys.version_info.minor} on {shown_platform(machine)}"
    return NativeProblem(name, expected, ", ".join(sorted(str(tag) for tag in tags)), False)


def _pure(tag: Tag) -> bool:
    return tag.abi == "none" and tag.interpreter.startswith("py")


def _elf_problem(
    name: str, packages: Path, files: Sequence[str], machine: str
) -> NativeProblem | None:
    """A wheel may carry libraries for several machines; one that has none for ours is wrong.

    So is a module of a name that this Python would import.
    """
    found = {
        path: elf
        for path in files
        if ".so" in path.rpartition("/")[2]
        and (elf := read_elf_machine(packages / path)) is not None
    }
    if not found:
        return None
    importable = tuple(s for s in importlib.machinery.EXTENSION_SUFFIXES if s != ".so")
    for path, elf in found.items():
        if elf != machine and (path.endswith(importable) or machine not in found.values()):
            return NativeProblem(name, shown_platform(machine), shown_platform(elf), True, path)
    return None
