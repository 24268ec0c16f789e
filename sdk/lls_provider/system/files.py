"""Atomic files and directories, and what an OSError means.

Data is written to a new file or directory beside the target, which a rename then puts in its place.
Nothing is synced to disk: nothing written here has to survive a power failure.

The runtime uses this module, so it imports only the standard library and our errors.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from lls_provider.errors import Code, SdkError, Where

# another process of the same user may create a link under any name that it can guess
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SUFFIX = ".tmp"


@contextlib.contextmanager
def staged_file(
    target: Path, *, mode: int | None = None, prefix: str = "."
) -> Iterator[tuple[BinaryIO, Callable[[], None]]]:
    """A new file beside ``target`` to write to, and the function that puts it in its place.

    The new file is removed at the end of the block unless it was put in its place. Its name
    begins with ``prefix``. It gets exactly ``mode``, by default what the umask allows. A target
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
    """A new file that replaces ``target`` if the block succeeds; see `staged_file`."""
    with staged_file(target, mode=mode, prefix=prefix) as (stream, publish):
        yield stream
        publish()


def write_atomically(
    target: Path, data: bytes, *, mode: int | None = None, prefix: str = "."
) -> None:
    """Make ``data`` the content of ``target``, atomically; see `staged_file`."""
    with atomic_file(target, mode=mode, prefix=prefix) as stream:
        stream.write(data)


def staging_path(target: Path, prefix: str = ".") -> Path:
    """An unguessable new name beside ``target``."""
    return target.with_name(f"{prefix}{os.urandom(8).hex()}{_SUFFIX}")


_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


class OsCause(enum.Enum):
    """Why the operating system refused, one cause for each resolution."""

    NO_SPACE = enum.auto()
    OBSTACLE = enum.auto()
    FORBIDDEN = enum.auto()
    READ_ONLY = enum.auto()
    STORAGE = enum.auto()
    PROCESS_LIMIT = enum.auto()
    OTHER = enum.auto()


# a table: Python 3.11.2 gives an enum member with an empty tuple another value
_NUMBERS = {
    OsCause.NO_SPACE: (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    OsCause.OBSTACLE: (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOTEMPTY),
    OsCause.FORBIDDEN: (errno.EACCES, errno.EPERM),
    OsCause.READ_ONLY: (errno.EROFS,),
    OsCause.STORAGE: (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO),
    OsCause.PROCESS_LIMIT: (errno.EMFILE, errno.ENFILE, errno.ENOMEM),
}


def os_cause(error: OSError) -> OsCause:
    """The cause that an OSError's number stands for."""
    found = (cause for cause, numbers in _NUMBERS.items() if error.errno in numbers)
    return next(found, OsCause.OTHER)


def os_reason(error: OSError) -> str:
    """The reason in the system's words; only empty if the error has no text."""
    return error.strerror or str(error)


def os_error(
    error: OSError, code: Code, what: str, *, file: str | None, resolution: str, detail: str = ""
) -> SdkError:
    """The SdkError for an OSError at ``file``; ``detail`` follows the system's reason."""
    return SdkError(
        code,
        what,
        why=os_reason(error) + detail,
        where=Where(file=file),
        resolution=resolution,
    )


def free_space(place: Path) -> str:
    """``1,234 bytes are free`` on the file system of a path; empty if that is unknown."""
    with contextlib.suppress(OSError, StopIteration):
        there = next(path for path in (place, *place.parents) if path.exists())
        state = os.statvfs(there)
        return f"{state.f_bavail * state.f_frsize:,} bytes are free"
    return ""


def path_kind(path: str | os.PathLike[str]) -> str:
    """What is at a path, such as ``a file``; links are not followed."""
    try:
        return _KINDS.get(stat.S_IFMT(os.lstat(path).st_mode), "a device")
    except OSError:
        return "nothing"


_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextlib.contextmanager
def output_directory(directory: Path, what: str) -> Iterator[Path]:
    """A new empty directory beside ``directory`` that replaces it if the block succeeds.

    What was there before is replaced in one step (whether it may be is the caller's
    decision). If the block fails, ``directory`` stays as it was and nothing is left beside it.
    ``what`` names the thing written in error messages (``the bundle``). Raises SdkError
    NO_SPACE, OUTPUT_UNWRITABLE.
    """
    directory = _end_of_links(directory, what)  # a link to a directory stays a link
    staging = staging_path(directory)  # no mkdtemp: the umask sets the permissions
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
    """A new file beside ``path`` that replaces it if the block succeeds.

    Otherwise like `output_directory`.
    """
    path = _end_of_links(path, what)
    with wrapping_write_errors(path, what):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as stream:
            yield stream


def _end_of_links(place: Path, what: str) -> Path:
    """Where links at a path lead to, which may not exist. Raises SdkError for a loop."""
    end = Path(os.path.realpath(place))
    if end.is_symlink():
        error = OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(place))
        raise _unwritable(error, place, what)
    return end


@contextlib.contextmanager
def wrapping_write_errors(place: Path, what: str) -> Iterator[None]:
    """Turn an OSError of the block into an SdkError that reports what could not be written."""
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
    """Swap two paths; ``new`` then names what was at ``old``, for the caller to remove."""
    if _renameat2(new, old):
        return
    # a file system that cannot swap: two renames, the first undone if the second fails
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
        import ctypes  # heavy, and not needed at start

        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    result = call(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _RENAME_EXCHANGE)
    return bool(result == 0)
