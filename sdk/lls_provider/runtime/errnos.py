"""What the operating system says about the volume or the image, as our errors."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from lls_provider.errors import Code, SdkError, Where

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOTEMPTY)
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_STORAGE = (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO)
_PROCESS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


def volume_error(
    error: OSError, doing: str, path: str | os.PathLike[str] | None = None
) -> SdkError:
    """The SdkError for a failed write or read on the volume: NO_SPACE or VOLUME_UNWRITABLE.

    ``path`` is the folder that was meant, where the error itself tells less.
    """
    # of a rename it is the second name where something stands in the way
    told = error.filename2 if isinstance(error.filename2, str) else error.filename
    place = os.fspath(path) if path is not None else told
    name = place if isinstance(place, str) else None
    if error.errno in _NO_SPACE:
        return SdkError(
            Code.NO_SPACE,
            f"No space left while {doing}",
            why=error.strerror or str(error),
            where=Where(file=name),
            resolution="Raise the sizeLimit of the volume, or free space on the node.",
        )
    why = error.strerror or str(error)
    if error.errno in _IN_THE_WAY:
        name = _obstacle(told) or _obstacle(place) or name
        why += f": {errno_kind(name)} stands there" if name is not None else ""
    elif error.errno in _FORBIDDEN and name is not None:
        why += _owner(name)
    return SdkError(
        Code.VOLUME_UNWRITABLE,
        f"The volume failed while {doing}",
        why=why,
        where=Where(file=name),
        resolution=_resolution(error.errno),
    )


def image_error(error: OSError) -> SdkError:
    """The SdkError FILE_UNREADABLE for a failed read below ``/lls-provider``."""
    name = error.filename if isinstance(error.filename, str) else None
    resolution = "Build the provider image again with 'lls-provider build'."
    why = error.strerror or str(error)
    if error.errno in _FORBIDDEN:
        why += _owner(name) if name is not None else ""
        resolution = (
            "Build the provider image again so that everybody may read it ('lls-provider build' "
            f"does), or run the container as its owner: now it is {_user()}."
        )
    return SdkError(
        Code.FILE_UNREADABLE,
        "The provider image cannot be read",
        why=why,
        where=Where(file=name),
        resolution=resolution,
    )


def errno_kind(path: str | os.PathLike[str]) -> str:
    """What stands at a path, a link itself and not what it leads to: ``a file``."""
    try:
        return _KINDS.get(stat.S_IFMT(os.lstat(path).st_mode), "a device")
    except OSError:
        return "nothing"


def _resolution(number: int | None) -> str:
    if number in _IN_THE_WAY:
        return (
            "Remove what stands there, or give the Pod a new volume that the user of the "
            f"container may write ({_user()})."
        )
    if number == errno.EROFS:
        return "Mount the volume read-write: this mount is read-only."
    if number in _STORAGE:
        return "The storage below the volume fails: give the Pod a new volume, or another node."
    if number in _PROCESS:
        return "Give the container more memory and open files: the volume itself is fine."
    return f"Mount the volume read-write, writable by the user of the container ({_user()})."


def _obstacle(path: object) -> str | None:
    """The first part of a path that is there and is no folder, or else the path if it is there."""
    if not isinstance(path, str):
        return None
    for part in (*reversed(Path(path).parents), Path(path)):
        if not part.is_dir():
            return str(part) if os.path.lexists(part) else None
    return path


def _user() -> str:
    return f"uid {os.getuid()}, gid {os.getgid()}"


def _owner(path: str) -> str:
    """To whom a path belongs, or the nearest folder above it that can be looked at."""
    while True:
        try:
            state = os.lstat(path)
            break
        except OSError:
            above = os.path.dirname(path)  # noqa: PTH120
            if above == path:
                return ""
            path = above
    mode = stat.S_IMODE(state.st_mode)
    return f": {path} belongs to uid {state.st_uid}, gid {state.st_gid}, with mode {mode:04o}"
