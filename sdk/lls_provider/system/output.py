"""Publishes directories and files by rename: whole under the name asked for, or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lls_provider.errors import Code, SdkError
from lls_provider.system.files import atomic_file, staging_path
from lls_provider.system.os_errors import OsCause, free_space, os_cause, os_error

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextlib.contextmanager
def output_directory(directory: Path, what: str) -> Iterator[Path]:
    """A new empty folder beside ``directory`` that takes its place when the block ends well.

    What stood there before is replaced in one step (whether it may be is the caller's
    decision). When the block fails, ``directory`` stays as it was and nothing is left beside it.
    ``what`` names the thing written in error messages (``the bundle``). Raises SdkError
    NO_SPACE, OUTPUT_UNWRITABLE.
    """
    directory = _end_of_links(directory, what)  # a link to a folder stays a link
    staging = staging_path(directory)  # no mkdtemp: the umask gives the permissions
    with wrapping_write_errors(directory, what):
        staging.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir()
        try:
            yield staging
            if os.path.lexists(directory):
                _exchange(staging, directory)
            else:
                staging.rename(directory)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def output_file(path: Path, what: str) -> Iterator[BinaryIO]:
    """A new file beside ``path`` that takes its place when the block ends well.

    Otherwise as `publishing`.
    """
    path = _end_of_links(path, what)
    with wrapping_write_errors(path, what):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as stream:
            yield stream


def _end_of_links(place: Path, what: str) -> Path:
    """Where links at a place lead to, which may not be there. Raises SdkError for a loop."""
    end = Path(os.path.realpath(place))
    if end.is_symlink():
        error = OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(place))
        raise _unwritable(error, place, what)
    return end


@contextlib.contextmanager
def wrapping_write_errors(place: Path, what: str) -> Iterator[None]:
    """Turns an OSError of the block into an SdkError that tells what could not be written."""
    try:
        yield
    except OSError as error:
        raise _unwritable(error, place, what) from error


def _unwritable(error: OSError, place: Path, what: str) -> SdkError:
    file = str(error.filename or place)
    if os_cause(error) is OsCause.NO_SPACE:
        free = free_space(place)
        return os_error(
            error,
            Code.NO_SPACE,
            f"No space to write {what}",
            detail=f"{free and '; '}{free}. Nothing was left behind at {place}.",
            file=file,
            resolution="Free space on this file system or write to another one.",
        )
    return os_error(
        error,
        Code.OUTPUT_UNWRITABLE,
        f"Cannot write {what} to {place}",
        file=file,
        resolution="Choose a place that can be written, or make this one readable and writable.",
    )


def _exchange(new: Path, old: Path) -> None:
    """Swap two paths; ``new`` then names what stood at ``old``, for the caller to remove."""
    if _renameat2(new, old):
        return
    # a file system that cannot swap: two renames, undone when the second fails
    aside = new.with_name(new.name + ".old")
    old.rename(aside)
    try:
        new.rename(old)
    except OSError:
        aside.rename(old)
        raise
    aside.rename(new)


def _renameat2(new: Path, old: Path) -> bool:
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    result = call(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _RENAME_EXCHANGE)
    return bool(result == 0)
