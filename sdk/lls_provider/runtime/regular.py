"""Reads what a neighbour may have put on the volume: regular files alone, and never waits.

A pipe would be waited for, a link to a device read without end, a linked folder lead elsewhere.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from lls_provider.contract.limits import TEXT_BYTES

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)


def open_regular(path: Path) -> int | None:
    """A descriptor for reading, None when there is no regular file. Raises OSError."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def read_regular(path: Path, limit: int = TEXT_BYTES) -> bytes | None:
    """The content, None when there is no regular file of at most ``limit`` bytes."""
    descriptor = open_regular(path)
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(limit + 1)
    return data if len(data) <= limit else None


class RealFolders:
    """Which folders below ``top`` are folders, and no links that lead out of it."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._known: dict[str, bool] = {"": True}

    def hold(self, path: str) -> bool:
        """Whether every folder on the way to a relative path is one, as far as it is there."""
        folder = path.rpartition("/")[0]
        known = self._known.get(folder)
        if known is None:
            known = self.hold(folder) and not (self._top / folder).is_symlink()
            self._known[folder] = known
        return known
