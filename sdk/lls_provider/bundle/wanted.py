"""What a bundle is made of, and the wheels that were gathered for it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.bundle.ahead import Ahead
from lls_provider.runtime.target import TargetPython, target_python

if TYPE_CHECKING:
    from lls_provider.runtime.wheel import Wheel
    from lls_provider.wheels.closure import Closure, LockedPackage
    from lls_provider.wheels.distribution import Distribution
    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.lock import Lock
    from lls_provider.wheels.lockfile import LockFile


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a bundle is made of.

    ``own`` is the provider's wheel when it was built here; else the closure brings it.
    ``bundle`` names packages that go into the bundle although a distribution provides them.
    ``machine`` is the one that the bundle is for, ``machines`` are all that the build is for. uv
    starts in ``base``, so that the settings and relative paths of a project hold. ``sources`` is
    the digest of the project's ``[tool.uv.sources]``, ``build`` what its backend is. With
    ``locked`` nothing is resolved. ``locks`` are what was resolved already: bundles for several
    machines are of one resolution.
    ``ahead`` is what is known of the lock's wheels already.
    """

    requirement: str
    own: Wheel | None
    interpreter: Interpreter
    servers: tuple[Distribution, ...] = ()
    overrides: tuple[str, ...] = ()
    bundle: frozenset[str] = frozenset()
    machine: str = field(default_factory=lambda: os.uname().machine)
    machines: tuple[str, ...] = ()
    base: Path | None = None
    sources: str | None = None
    build: tuple[str, ...] = ()
    locked: LockFile | None = None
    locks: dict[object, Lock] = field(default_factory=dict, repr=False, compare=False)
    ahead: Ahead = field(default_factory=Ahead, repr=False, compare=False)

    @property
    def target(self) -> TargetPython:
        """What markers are judged for."""
        return target_python(self.interpreter.tag, manifest_machine=self.machine)


@dataclass(frozen=True, slots=True)
class Gathered:
    """Wheels with the packages that they are of, and the versions that are provided."""

    packages: tuple[LockedPackage, ...]
    wheels: tuple[Path, ...]
    provided: Mapping[str, str]
    closure: Closure
    read: tuple[Wheel, ...] = ()  # those of the wheels that had to be read meanwhile

    @property
    def fetched(self) -> Iterator[tuple[LockedPackage, Path]]:
        """Each package with its wheel."""
        return zip(self.packages, self.wheels, strict=True)

    @property
    def expected(self) -> dict[str, str]:
        """The sha256 by file name of what was not built here."""
        return {it.filename: it.sha256 for it in self.packages if it.sha256 and not it.is_source}
