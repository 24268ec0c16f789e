"""What an image runs on, in OCI's (Go's) words: ``linux/amd64``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lls_provider.errors import Code, SdkError

# `uname -m`'s word, which wheels use, to Go's word, which images use
_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "i686": "386",
    "armv7l": "arm",
}
_MACHINES = {architecture: machine for machine, architecture in _ARCHITECTURES.items()}
# what other tools accept for the same platform
_SAME = {"arm64/v8": "arm64", "arm/v7": "arm"}
_TEXT = re.compile(r"linux/([a-z0-9_]+(?:/v[0-9]+)?)")


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """An architecture and an operating system."""

    architecture: str
    os: str = "linux"
    variant: str = ""

    def __str__(self) -> str:
        parts = (self.os, self.architecture, self.variant)
        return "/".join(part for part in parts if part)

    def to_document(self) -> dict[str, str]:
        """The platform object of an index."""
        document = {"architecture": self.architecture, "os": self.os}
        return document | ({"variant": self.variant} if self.variant else {})

    @property
    def machine(self) -> str:
        """The machine in the tags of wheels: ``aarch64`` of ``linux/arm64``."""
        return _MACHINES.get(self.architecture, self.architecture)

    def runs(self, other: Platform) -> bool:
        """Whether what is for ``other`` is for this platform; variants are left to the tools."""
        return (self.os, self.architecture) == (other.os, other.architecture)


def platform_of(machine: str) -> Platform:
    """The platform of a wheel's machine: ``aarch64`` is ``linux/arm64``."""
    return Platform(_ARCHITECTURES.get(machine, machine))


def this_platform() -> Platform:
    """The platform of the machine that this runs on."""
    return platform_of(os.uname().machine)


def parse_platforms(texts: Sequence[str]) -> tuple[Platform, ...]:
    """The platforms that ``texts`` name, each once and in one order; none: this machine's.

    Raises SdkError USAGE for what wheels are not made for.
    """
    return tuple(sorted({_parsed(text) for text in texts})) or (this_platform(),)


def _parsed(text: str) -> Platform:
    match = _TEXT.fullmatch(text)
    name = match[1] if match else ""
    name = _ARCHITECTURES.get(name, _SAME.get(name, name))
    if name not in _MACHINES:
        raise SdkError(
            Code.USAGE,
            f"{text!r:.100} is no platform that images are built for",
            why=f"They are: {', '.join(f'linux/{it}' for it in _MACHINES)}.",
            resolution="Name one of these, such as linux/arm64.",
        )
    return Platform(name)
