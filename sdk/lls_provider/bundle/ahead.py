"""Reads the wheels of a lock while uv builds the provider's own in another process."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.errors import SdkError
from lls_provider.runtime.wheel import Wheel, read_wheel
from lls_provider.wheels.fetch import cached_file
from lls_provider.wheels.selection import select

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.lockfile import LockFile


def read_ahead(
    locked: LockFile, interpreter: Interpreter, machines: Collection[str]
) -> dict[Path, Wheel]:
    """The wheels for those machines that are in the cache already.

    Raises nothing of ours: what is wrong with one is told when it is gathered.
    """
    read: dict[Path, Wheel] = {}
    for machine in machines:
        with contextlib.suppress(SdkError):
            packages = select(
                locked.lock, interpreter=interpreter, machine=machine, pins={}
            ).packages
            for path in filter(None, map(cached_file, packages)):
                if path not in read:
                    read[path] = read_wheel(path)
    return read
