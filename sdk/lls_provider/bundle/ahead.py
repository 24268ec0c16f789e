"""Reads and hashes the wheels of a lock while uv builds the provider's own in another process."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.bundle.hashing import HASHING, Hashed, hash_file
from lls_provider.errors import SdkError
from lls_provider.runtime.wheel import Wheel, read_wheel
from lls_provider.wheels.fetch import cached_file
from lls_provider.wheels.selection import select

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.lockfile import LockFile


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is known of wheels before they are gathered."""

    wheels: Mapping[Path, Wheel] = field(default_factory=dict)
    hashes: Mapping[Path, Hashed] = field(default_factory=dict)


def read_ahead(locked: LockFile, interpreter: Interpreter, machines: Collection[str]) -> Ahead:
    """The wheels for those machines that are in the cache already.

    Raises nothing of ours: what is wrong with one is told when it is gathered.
    """
    wheels: dict[Path, Wheel] = {}
    paths = _cached(locked, interpreter, machines)
    for path in paths:
        with contextlib.suppress(SdkError):
            wheels[path] = read_wheel(path)
    with ThreadPoolExecutor(HASHING) as pool:
        hashes = dict(zip(paths, pool.map(_hash, paths), strict=True))
    return Ahead(wheels, {path: found for path, found in hashes.items() if found is not None})


def _cached(
    locked: LockFile, interpreter: Interpreter, machines: Collection[str]
) -> dict[Path, None]:
    found: dict[Path, None] = {}
    for machine in machines:
        with contextlib.suppress(SdkError):
            chosen = select(locked.lock, interpreter=interpreter, machine=machine, pins={})
            found |= dict.fromkeys(filter(None, map(cached_file, chosen.packages)))
    return found


def _hash(path: Path) -> Hashed | None:
    try:
        return hash_file(path)
    except OSError:
        return None
