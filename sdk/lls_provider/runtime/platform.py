"""Whether native code fits this machine and the server's Python: from tags and ELF headers.

Nothing is imported for it (contract section 5): code for another machine may crash the process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.tags import Tag, compatible_tags, cpython_tags, parse_tag, sys_tags

from lls_provider.runtime.elf import read_elf_machine, read_is_module
from lls_provider.runtime.headers import Headers
from lls_provider.runtime.target import TargetPython, machine_of, shown_platform
from lls_provider.runtime.volume import recorded_files


@dataclass(frozen=True, slots=True)
class NativeProblem:
    """A distribution that cannot work here.

    ``kind`` is ``architecture``, ``Python ABI`` or ``C library``.
    """

    package: str
    expected: str
    found: str
    kind: str
    path: str = ""


def native_problems(
    packages: Path, dist_infos: Sequence[str], *, minor: int = sys.version_info.minor
) -> Iterator[NativeProblem]:
    """The distributions below ``packages`` whose native code does not fit, in their order.

    ``minor`` is that of the Python which will import them, by default the running one.
    """
    here = _supported_tags(minor)
    machine = os.uname().machine
    for dist_info in dist_infos:
        name = dist_info.partition("-")[0]
        tags = _wheel_tags(packages / dist_info)
        problem = _tag_problem(name, tags, here, (minor, machine))
        if problem is None:
            files = recorded_files(packages / dist_info)
            everywhere = any(tag.platform == "any" for tag in tags)
            problem = _elf_problem(name, packages, files, (minor, machine), everywhere)
        if problem is not None:
            yield problem


def _supported_tags(minor: int) -> frozenset[Tag]:
    if minor == sys.version_info.minor:
        return frozenset(sys_tags())
    version = (3, minor)
    return frozenset((*cpython_tags(version), *compatible_tags(version, interpreter=f"cp3{minor}")))


def _wheel_tags(dist_info: Path) -> frozenset[Tag]:
    """The tags in the installed WHEEL file; none when it cannot be read."""
    try:
        texts = Headers((dist_info / "WHEEL").read_bytes()).all("Tag")
        return frozenset(tag for text in texts for tag in parse_tag(text))
    except (OSError, ValueError):
        return frozenset()


def _tag_problem(
    name: str, tags: frozenset[Tag], here: frozenset[Tag], where: tuple[int, str]
) -> NativeProblem | None:
    minor, machine = where
    if not tags or tags & here or any(tag.platform == "any" and _pure(tag) for tag in tags):
        return None
    machines = {machine_of(tag.platform) for tag in tags} - {None}
    if machines and machine not in machines:
        found = min(str(found) for found in machines)
        return NativeProblem(name, shown_platform(machine), shown_platform(found), "architecture")
    expected = f"cp3{minor} on {shown_platform(machine)}"
    shown = ", ".join(sorted(str(tag) for tag in tags))
    target = TargetPython(minor, machine)
    if any(target.accepts_python(tag) and target.accepts_machine(tag) for tag in tags):
        return NativeProblem(name, f"{_libc()} on {shown_platform(machine)}", shown, "C library")
    return NativeProblem(name, expected, shown, "Python ABI")


def _libc() -> str:
    """The C library of this process: ``glibc 2.36``; one that does not tell is not glibc."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or "musl"
    except (OSError, ValueError):
        return "musl"


def _pure(tag: Tag) -> bool:
    return tag.abi == "none" and tag.interpreter.startswith("py")


def _elf_problem(
    name: str, packages: Path, files: Sequence[str], target: tuple[int, str], everywhere: bool
) -> NativeProblem | None:
    """A wheel may carry libraries for several machines; one that has none for ours is wrong.

    So is a module of a name that this Python would import. A library in a wheel that is for
    every machine is there for some of them, and need not be loaded here.
    """
    minor, machine = target
    found = {
        path: elf
        for path in files
        if ".so" in path.rpartition("/")[2]
        and (elf := read_elf_machine(packages / path)) is not None
    }
    for path, elf in found.items():
        importable = path.endswith(".abi3.so") or f".cpython-3{minor}-{machine}-" in path
        if elf == machine or not (importable or machine not in found.values()):
            continue
        if importable or not everywhere or read_is_module(packages / path):
            expected, there = shown_platform(machine), shown_platform(elf)
            return NativeProblem(name, expected, there, "architecture", path)
    return None
