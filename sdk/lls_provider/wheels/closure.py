"""What a provider's image must carry: the packages that the distribution does not provide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.tags import Tag, compatible_tags, cpython_tags

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.lock import Lock

# The C library that wheels may ask for at the most: what every supported base has (UBI 8 and
# later, Debian 11 and later). Newer wheels are passed over for older ones of the same version.
_GLIBC_NEWEST = 28
_GLIBC_OLDEST = 5
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """One file of the closure: a wheel, or an sdist or folder that a wheel is built from."""

    name: str
    version: str | None
    filename: str
    url: str
    sha256: str | None  # None for a folder on this machine
    size: int | None  # bytes
    is_source: bool


@dataclass(frozen=True, slots=True)
class Closure:
    """The packages to carry, and what the provider relies on of the distribution.

    ``pins`` is all that was taken to be provided, ``left_out`` what was there already.
    """

    packages: tuple[LockedPackage, ...]
    provided: Mapping[str, str]
    lock: Lock  # the whole resolution, for every platform
    pins: Mapping[str, str] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()


def linux_platforms(machine: str) -> tuple[str, ...]:
    """The platform tags of wheels for Linux on ``machine``, best first."""
    tags = []
    for minor in range(_GLIBC_NEWEST, _GLIBC_OLDEST - 1, -1):
        if minor < 17 and machine != "x86_64":
            break  # the older policies know no other machine
        tags.append(f"manylinux_2_{minor}_{machine}")
        if minor in _LEGACY:
            tags.append(f"{_LEGACY[minor]}_{machine}")
    return (*tags, f"linux_{machine}")


def target_tags(interpreter: Interpreter, platforms: tuple[str, ...]) -> Iterator[Tag]:
    """The tags of wheels that ``interpreter`` on those platforms can use, best first."""
    yield from cpython_tags(interpreter.minor, [interpreter.tag], list(platforms))
    yield from compatible_tags(interpreter.minor, interpreter.tag, list(platforms))
