"""The Python that will import what is installed: its markers, its wheel tags, and its native code.

The init container's own Python does not matter (contract decision 6): ``--python-tag`` sets the
target, else the bundle's manifest; without both it is the running Python. Whether native code fits
is read from tags and ELF headers. Nothing is imported (contract section 5): code for another
machine may crash the process.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.tags import Tag, compatible_tags, cpython_tags, parse_tag, sys_tags
from packaging.utils import canonicalize_name

from lls_provider.runtime.volume.volume import recorded_files
from lls_provider.runtime.wheelfile.contents import Headers

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from packaging.specifiers import SpecifierSet
    from packaging.tags import Tag


_PYTHON_TAG = re.compile(r"cp3([0-9]{1,3})")
_LAST_PATCH = 999


@dataclass(frozen=True, slots=True)
class TagMismatch:
    """Why a wheel is not for a target.

    ``kind`` is ``Python``, ``architecture`` or ``C library``.
    """

    reason: str
    kind: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class TargetPython:
    """CPython ``3.minor`` on a Linux ``machine``.

    ``platforms`` are the platform tags that its wheels were chosen for, empty if they are unknown.
    They name the C library, but not its version on the target: preflight sees that one.
    """

    minor: int
    machine: str
    platforms: tuple[str, ...] = ()

    @property
    def tag(self) -> str:
        """``cp312``."""
        return f"cp3{self.minor}"

    def markers(self, patch: int = 0) -> dict[str, str]:
        """The environment that markers are evaluated in, for a patch release."""
        full = f"3.{self.minor}.{patch}"
        return {
            "implementation_name": "cpython",
            "implementation_version": full,
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": full,
            "python_version": f"3.{self.minor}",
            "sys_platform": "linux",
            "extra": "",
        }

    def environments(self) -> tuple[dict[str, str], dict[str, str]]:
        """Markers for the first and the last patch release: a target does not say which it has."""
        return self.markers(), self.markers(_LAST_PATCH)

    def mismatch(self, tags: Collection[Tag], requires_python: SpecifierSet) -> TagMismatch | None:
        """Why a wheel of these tags is not for this target; None if it is."""
        fitting = [tag for tag in tags if self.accepts_python(tag)]
        if not fitting:
            found = ", ".join(sorted(str(tag) for tag in tags))
            return TagMismatch("Python version or ABI mismatch", "Python", self.tag, found)
        if not any(self.accepts_machine(tag) for tag in fitting):
            machine = min(machine_of(tag.platform) or "any" for tag in fitting)
            return TagMismatch(
                "Native extension architecture mismatch",
                "architecture",
                shown_platform(self.machine),
                shown_platform(machine),
            )
        here = [tag for tag in fitting if self.accepts_machine(tag)]
        if not any(self.accepts_libc(tag) for tag in here):
            expected = min(libc_of(it) or "" for it in self.platforms if libc_of(it))
            shown = ", ".join(sorted(str(tag) for tag in here))
            return TagMismatch("C library mismatch", "C library", expected, shown)
        # the target has no patch release: one that fits is enough
        if not any(
            requires_python.contains(f"3.{self.minor}.{patch}", prereleases=True)
            for patch in (0, _LAST_PATCH)
        ):
            found = f"Requires-Python: {requires_python}"
            return TagMismatch("Python version mismatch", "Python", self.tag, found)
        return None

    def accepts_python(self, tag: Tag) -> bool:
        """Whether the interpreter and ABI parts of a wheel's tag fit."""
        interpreter, abi = tag.interpreter, tag.abi
        if interpreter == "py3":
            return abi == "none"
        match = re.fullmatch(r"(py|cp)3([0-9]{1,3})", interpreter)
        if match is None:
            return False
        minor = int(match[2])
        if match[1] == "py" or abi == "none":
            return abi == "none" and minor <= self.minor
        if abi == "abi3":
            return minor <= self.minor
        return minor == self.minor and abi == f"cp3{minor}"

    def accepts_machine(self, tag: Tag) -> bool:
        """Whether the platform part names Linux on this machine, whatever its libc."""
        machine = machine_of(tag.platform)
        return machine in (None, self.machine)

    def accepts_libc(self, tag: Tag) -> bool:
        """Whether the platform part is for a C library that the target's wheels are for."""
        known = {libc_of(platform) for platform in self.platforms} - {None}
        return not known or libc_of(tag.platform) in (None, *known)


def machine_of(platform_tag: str) -> str | None:
    """The machine in a platform tag, None for ``any``; a tag of another system as it is."""
    if platform_tag == "any":
        return None
    match = re.fullmatch(r"(?:many|musl)?linux(?:(?:_[0-9]+_[0-9]+)|[0-9]+)?_(.+)", platform_tag)
    return match[1] if match else platform_tag


def libc_of(platform_tag: str) -> str | None:
    """The C library that a platform tag is for: ``glibc``, ``musl``, or None for any or unknown."""
    names = {"manylinux": "glibc", "musllinux": "musl"}
    return next((found for name, found in names.items() if platform_tag.startswith(name)), None)


def shown_platform(machine: str) -> str:
    """A machine as the messages name it (contract section 6): ``aarch64`` is ``linux/arm64``.

    A platform tag of another system, as `machine_of` returns it, is shown the same way:
    ``win_amd64`` is ``windows/x86_64``, ``macosx_11_0_arm64`` is ``darwin/arm64``.
    """
    system = "linux"
    for other, prefix in (("windows", "win_?"), ("darwin", "macosx_[0-9]+_[0-9]+_")):
        match = re.fullmatch(f"{prefix}(.+)", machine)
        if match is not None:
            system, machine = other, match[1]
    return f"{system}/" + {"aarch64": "arm64", "amd64": "x86_64", "32": "x86"}.get(machine, machine)


def parse_python_tag(text: str) -> int | None:
    """The minor version in ``cp312``; None if the text is not such a tag."""
    match = _PYTHON_TAG.fullmatch(text)
    return int(match[1]) if match else None


def target_python(
    python_tag: str | None = None,
    *,
    manifest_tag: str | None = None,
    manifest_machine: str | None = None,
    manifest_platforms: Sequence[str] = (),
) -> TargetPython:
    """The target from the argument and from what the bundle was built for."""
    minor = parse_python_tag(python_tag or manifest_tag or "")
    return TargetPython(
        minor if minor is not None else sys.version_info.minor,
        manifest_machine or os.uname().machine,
        tuple(manifest_platforms),
    )


_MACHINES = {
    (2, 62): "x86_64",
    (2, 183): "aarch64",
    (2, 21): "ppc64le",
    (2, 22): "s390x",
    (2, 243): "riscv64",
    (2, 258): "loongarch64",
    (1, 3): "i686",
    (1, 40): "armv7l",
    (1, 62): "x32",
}


def elf_machine(header: bytes) -> str | None:
    """The machine as the kernel names it, from a file's beginning; None if it is not ELF."""
    if len(header) < 20 or header[:4] != b"\x7fELF":
        return None
    order = ">" if header[5] == 2 else "<"
    (machine,) = struct.unpack_from(order + "H", header, 18)
    return _MACHINES.get((header[4], machine), f"machine-{machine}")


def read_elf_machine(path: Path) -> str | None:
    """`elf_machine` of a file; None also if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return elf_machine(stream.read(20))
    except OSError:
        return None


def read_is_module(path: Path) -> bool:
    """Whether a file has the function that Python calls when it imports a module of its name."""
    wanted = b"\0PyInit_" + path.name.partition(".")[0].encode() + b"\0"
    try:
        with (
            path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            return content.find(wanted) >= 0
    except (OSError, ValueError):  # an empty file cannot be mapped
        return False


@dataclass(frozen=True, slots=True)
class NativeProblem:
    """A distribution whose native code does not fit.

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
        name = canonicalize_name(dist_info.partition("-")[0])
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
    """The tags in the installed WHEEL file; none if it cannot be read."""
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
    """The C library of this process: ``glibc 2.36``; one without a version is not glibc."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or "musl"
    except (OSError, ValueError):
        return "musl"


def _pure(tag: Tag) -> bool:
    return tag.abi == "none" and tag.interpreter.startswith("py")


def _elf_problem(
    name: str, packages: Path, files: Sequence[str], target: tuple[int, str], everywhere: bool
) -> NativeProblem | None:
    """The first native file that does not fit; None if all do.

    A wheel may carry libraries for several machines; one without any for this machine is wrong, and
    so is a module for another machine that this Python would import by its name. A library in a
    wheel for every machine may be for some of them, and need not be loaded here.
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
