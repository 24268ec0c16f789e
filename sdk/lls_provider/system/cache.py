"""The caches and temporary directories on this machine, and the user's home.

Our cache holds downloads by hash and environments by content; uv has its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from lls_provider.errors import Code, SdkError, Where
from lls_provider.system.files import (
    OsCause,
    free_space,
    os_cause,
    os_error,
    os_reason,
    write_atomically,
)


def user_home() -> Path:
    """The user's home directory; ``/`` for a user id without an account."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def is_enabled(environ: Mapping[str, str], name: str) -> bool:
    """Whether a boolean variable is on, by the values that uv accepts."""
    return environ.get(name, "").lower() in {"1", "true", "yes", "on", "t", "y"}


_OURS, _UVS = "LLS_PROVIDER_CACHE", "UV_CACHE_DIR"


def cache_root() -> Path:
    """``$LLS_PROVIDER_CACHE``, else ``lls-provider`` in the user's cache directory (XDG)."""
    path = os.environ.get(_OURS)
    return Path(path).absolute() if path else _user_caches() / "lls-provider"


def uv_cache_root() -> Path:
    """``$UV_CACHE_DIR``, else below ``$LLS_PROVIDER_CACHE``, else uv's default."""
    path = os.environ.get(_UVS)
    if path:
        return Path(path).absolute()
    return cache_root() / "uv" if os.environ.get(_OURS) else _user_caches() / "uv"


def uv_cache_variables() -> dict[str, str]:
    """The variables that set uv's cache; empty if uv's own settings decide.

    Without a home directory uv would use the working directory, which is the project.
    """
    if os.environ.get(_OURS) or not os.environ.get("HOME"):
        return {_UVS: str(uv_cache_root())}
    return {}


def _user_caches() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or "")
    # the XDG specification: a relative path must be ignored
    return base if base.is_absolute() else user_home() / ".cache"


@contextlib.contextmanager
def locked(
    path: Path, *, shared: bool = False, waiting: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Hold the kernel lock of the file ``path``, which is created if needed.

    The lock ends with its process. Several processes may hold a ``shared`` lock, as long as none
    holds an exclusive one. ``waiting`` is called before another process is waited for.
    """
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        with writing(path):
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(handle, kind)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn an OSError of the block into the SdkError that `storage_error` makes of it."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, place) from error


def keep(place: Path, data: bytes) -> None:
    """Put a file into the cache, atomically; it replaces an existing one.

    Raises SdkError NO_SPACE or CACHE_UNWRITABLE.
    """
    with writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, data, mode=0o600)


def storage_error(error: OSError, place: Path) -> SdkError:
    """What a failed write to a cache or another path means to the user.

    The SdkError is NO_SPACE, CACHE_UNWRITABLE or OUTPUT_UNWRITABLE.
    """
    file = str(error.filename or place)
    if os_cause(error) is OsCause.NO_SPACE:
        free = free_space(place)
        return os_error(
            error,
            Code.NO_SPACE,
            "No space left on this machine",
            detail=f": {free}" if free else "",
            file=file,
            resolution="Free space on this file system, or set LLS_PROVIDER_CACHE and TMPDIR to "
            "places on a larger one.",
        )
    if (cache := cache_of(place)) is not None:
        return unwritable_cache(cache, os_reason(error), Where(file=file))
    return os_error(
        error,
        Code.OUTPUT_UNWRITABLE,
        f"Cannot write {place}",
        file=file,
        resolution="Make it writable, or choose another place.",
    )


def cache_of(place: Path) -> Path | None:
    """The cache that a path belongs to, uv's or ours; None for any other path."""
    roots = (uv_cache_root(), cache_root())
    return next((root for root in roots if place.is_relative_to(root)), None)


def unwritable_cache(cache: Path, reason: str, where: Where) -> SdkError:
    """The error of a cache that cannot be written, with the variables to set."""
    if os.environ.get(_UVS) and cache == uv_cache_root():
        resolution = (
            f"Set {_UVS}, which names it, to a directory that you can write; or unset it and set "
            f"{_OURS}, below which uv's cache goes then."
        )
    else:
        resolution = (
            f"Set {_OURS} to a directory that you can write. uv's cache goes below it, unless "
            f"{_UVS} names another."
        )
    return SdkError(
        Code.CACHE_UNWRITABLE,
        f"Cannot write the cache {cache}",
        why=reason,
        where=where,
        resolution=resolution,
    )


@contextlib.contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """A temporary directory that is always removed at the end.

    Raises SdkError NO_SPACE or OUTPUT_UNWRITABLE if it cannot be made.
    """
    with making_temporary():
        directory = Path(tempfile.mkdtemp(prefix=f"lls-provider-{purpose}-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def making_temporary() -> Iterator[None]:
    """Turn an OSError of the block into the SdkError NO_SPACE or OUTPUT_UNWRITABLE."""
    try:
        yield
    except OSError as error:
        # if no directory is usable, the error names none
        place = Path(error.filename or tempfile.tempdir or os.environ.get("TMPDIR") or "/tmp")  # noqa: S108
        if os_cause(error) is OsCause.NO_SPACE:
            raise storage_error(error, place) from error
        raise os_error(
            error,
            Code.OUTPUT_UNWRITABLE,
            "Cannot make a temporary directory",
            file=str(place),
            resolution="Set TMPDIR to a directory that you can write.",
        ) from error
