"""The cache on this machine: downloads by hash, environments by content."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lls_provider.errors import Code, SdkError, Where

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def cache_root() -> Path:
    """``$LLS_PROVIDER_CACHE``, else ``lls-provider`` in the user's cache directory (XDG)."""
    told = os.environ.get("LLS_PROVIDER_CACHE")
    if told:
        return Path(told).absolute()
    base = Path(os.environ.get("XDG_CACHE_HOME") or "")
    # the XDG specification: a relative path is to be ignored
    return (base if base.is_absolute() else user_home() / ".cache") / "lls-provider"


def user_home() -> Path:
    """The user's home folder; ``/`` for a user id without account, as container runtimes say."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the kernel lock of ``path``, made if it is not there; it dies with its owner."""
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        with writing(path):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turns an OSError of the block into the SdkError NO_SPACE or OUTPUT_UNWRITABLE."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, place) from error


def keep(place: Path, data: bytes) -> None:
    """Put a file into the cache, whole or not at all; it replaces the one that is there.

    Raises SdkError NO_SPACE or OUTPUT_UNWRITABLE.
    """
    with writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=place.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            Path(name).replace(place)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def storage_error(error: OSError, place: Path) -> SdkError:
    """What a failed write to the cache or to a temporary folder means to the user."""
    reason = error.strerror or str(error)
    where = Where(file=str(error.filename or place))
    if error.errno in _NO_SPACE:
        free = ""
        with contextlib.suppress(OSError, StopIteration):
            there = next(path for path in (place, *place.parents) if path.exists())
            free = f": {shutil.disk_usage(there).free:,} bytes are free"
        return SdkError(
            Code.NO_SPACE,
            "No space left on this machine",
            why=f"{reason}{free}",
            where=where,
            resolution="Free space on this file system, or set LLS_PROVIDER_CACHE and TMPDIR to "
            "places on a larger one.",
        )
    return SdkError(
        Code.OUTPUT_UNWRITABLE,
        f"Cannot write {place}",
        why=reason,
        where=where,
        resolution="Make it writable, or set LLS_PROVIDER_CACHE to a folder that is.",
    )
