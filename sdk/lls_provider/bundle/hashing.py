"""Hashes of files, and whether one that was taken earlier is still that of its file."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from lls_provider.contract.manifest import FileHash

HASHING = 2  # threads: hashing does without Python's lock, and more would wait for the disk


@dataclass(frozen=True, slots=True)
class Hashed:
    """The hash of a file, and what the file was when its bytes were read."""

    found: FileHash
    state: tuple[int, ...]

    def holds_for(self, path: Path) -> bool:
        """Whether ``path`` is that very file, be it under another name, and was not written to."""
        return _state(path.stat()) == self.state


def hash_file(path: Path) -> Hashed:
    """Read a file and take its hash. Raises OSError."""
    with path.open("rb", buffering=0) as stream:
        status = os.fstat(stream.fileno())
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Hashed(FileHash(digest, status.st_size), _state(status))


def _state(status: os.stat_result) -> tuple[int, ...]:
    # not st_ctime: a hard link moves it
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
