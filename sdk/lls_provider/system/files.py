"""Atomic files: the one writer of a file that appears whole under its name, or not at all.

The data is written to a new file beside the target, which a rename then puts in its place.
Nothing is synchronised to the disk: what has to survive the loss of power is not kept here.

The runtime uses this module: it imports the standard library alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

# another process of the same user may prepare a link under any name that it can guess
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SUFFIX = ".tmp"


@contextlib.contextmanager
def staged_file(
    target: Path, *, mode: int | None = None, prefix: str = "."
) -> Iterator[tuple[BinaryIO, Callable[[], None]]]:
    """A new file beside ``target`` to write to, and the function that puts it in its place.

    The new file is removed at the end of the block unless it was put in its place. Its name
    begins with ``prefix``. It gets exactly ``mode``, by default what the umask gives. A target
    that is a link is replaced, not followed. Raises OSError.
    """
    path = staging_path(target, prefix)
    descriptor = os.open(path, _FLAGS, 0o666 if mode is None else 0o600)
    published = False
    try:
        with os.fdopen(descriptor, "w+b") as stream:
            if mode is not None:
                os.fchmod(descriptor, mode)

            def publish() -> None:
                nonlocal published
                stream.close()
                path.replace(target)
                published = True

            yield stream, publish
    finally:
        if not published:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_file(target: Path, *, mode: int | None = None, prefix: str = ".") -> Iterator[BinaryIO]:
    """A new file that takes the place of ``target`` when the block ends well; see `staged_file`."""
    with staged_file(target, mode=mode, prefix=prefix) as (stream, publish):
        yield stream
        publish()


def write_atomically(
    target: Path, data: bytes, *, mode: int | None = None, prefix: str = "."
) -> None:
    """Make ``data`` the content of ``target``, whole or not at all; see `staged_file`."""
    with atomic_file(target, mode=mode, prefix=prefix) as stream:
        stream.write(data)


def staging_path(target: Path, prefix: str = ".") -> Path:
    """A new name beside ``target`` that nobody can guess."""
    return target.with_name(f"{prefix}{os.urandom(8).hex()}{_SUFFIX}")
