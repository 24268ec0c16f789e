"""The Python that will import what is installed: its markers and its wheel tags.

The init container's own Python does not matter (contract decision 6): a target is told by
``--python-tag``, else by the bundle's manifest, else it is the running one.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from packaging.specifiers import SpecifierSet
    from packaging.tags import Tag

_PYTHON_TAG = re.compile(r"cp3([0-9]{1,3})")
_LAST_PATCH = 999


@dataclass(frozen=True, slots=True)
class Mismatch:
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

    ``platforms`` are the platform tags that its wheels were chosen by, none when that is not
    told. They tell the C library. How new it is they do not: that is what the wheels were
    chosen for at least, and preflight sees the real one.
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
        """The first and the last patch release: a target does not tell which it has."""
        return self.markers(), self.markers(_LAST_PATCH)

    def mismatch(self, tags: Collection[Tag], requires_python: SpecifierSet) -> Mismatch | None:
        """Why a wheel of these tags is not for this target; None when it is."""
        fitting = [tag for tag in tags if self.accepts_python(tag)]
        if not fitting:
            found = ", ".join(sorted(str(tag) for tag in tags))
            return Mismatch("Python version or ABI mismatch", "Python", self.tag, found)
        if not any(self.accepts_machine(tag) for tag in fitting):
            machine = min(machine_of(tag.platform) or "any" for tag in fitting)
            return Mismatch(
                "Native extension architecture mismatch",
                "architecture",
                shown_platform(self.machine),
                shown_platform(machine),
            )
        here = [tag for tag in fitting if self.accepts_machine(tag)]
        if not any(self.accepts_libc(tag) for tag in here):
            expected = min(libc_of(it) or "" for it in self.platforms if libc_of(it))
            shown = ", ".join(sorted(str(tag) for tag in here))
            return Mismatch("C library mismatch", "C library", expected, shown)
        # the target tells no patch release: any that fits is good
        if not any(
            requires_python.contains(f"3.{self.minor}.{patch}", prereleases=True)
            for patch in (0, _LAST_PATCH)
        ):
            found = f"Requires-Python: {requires_python}"
            return Mismatch("Python version mismatch", "Python", self.tag, found)
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
        told = {libc_of(platform) for platform in self.platforms} - {None}
        return not told or libc_of(tag.platform) in (None, *told)


def machine_of(platform_tag: str) -> str | None:
    """The machine in a platform tag, None for ``any``; what is not Linux comes as it is."""
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

    What `machine_of` leaves as it is, is a platform tag of another system: ``win_amd64`` is
    ``windows/x86_64``, ``macosx_11_0_arm64`` is ``darwin/arm64``.
    """
    system = "linux"
    for other, prefix in (("windows", "win_?"), ("darwin", "macosx_[0-9]+_[0-9]+_")):
        match = re.fullmatch(f"{prefix}(.+)", machine)
        if match is not None:
            system, machine = other, match[1]
    return f"{system}/" + {"aarch64": "arm64", "amd64": "x86_64", "32": "x86"}.get(machine, machine)


def parse_python_tag(text: str) -> int | None:
    """The minor version in ``cp312``; None when the text is no such tag."""
    match = _PYTHON_TAG.fullmatch(text)
    return int(match[1]) if match else None


def target_python(
    python_tag: str | None = None,
    *,
    manifest_tag: str | None = None,
    manifest_machine: str | None = None,
    manifest_platforms: Sequence[str] = (),
) -> TargetPython:
    """The target from what was told and from what the bundle was built for."""
    minor = parse_python_tag(python_tag or manifest_tag or "")
    return TargetPython(
        minor if minor is not None else sys.version_info.minor,
        manifest_machine or os.uname().machine,
        tuple(manifest_platforms),
    )
