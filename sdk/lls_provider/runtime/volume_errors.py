"""What the operating system says about the volume or the image, as our errors."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lls_provider.errors import Code, SdkError
from lls_provider.system.os_errors import OsCause, os_cause, os_error, path_kind


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
    cause = os_cause(error)
    if cause is OsCause.NO_SPACE:
        return os_error(
            error,
            Code.NO_SPACE,
            f"No space left while {doing}",
            file=name,
            resolution="Raise the sizeLimit of the volume, or free space on the node.",
        )
    detail = ""
    if cause is OsCause.OBSTACLE:
        name = _obstacle(told) or _obstacle(place) or name
        detail = f": {path_kind(name)} stands there" if name is not None else ""
    elif cause is OsCause.FORBIDDEN and name is not None:
        detail = _owner(name)
    return os_error(
        error,
        Code.VOLUME_UNWRITABLE,
        f"The volume failed while {doing}",
        detail=detail,
        file=name,
        resolution=_resolution(cause),
    )


def image_error(error: OSError) -> SdkError:
    """The SdkError FILE_UNREADABLE for a failed read below ``/lls-provider``."""
    name = error.filename if isinstance(error.filename, str) else None
    resolution = "Build the provider image again with 'lls-provider build'."
    detail = ""
    if os_cause(error) is OsCause.FORBIDDEN:
        detail = _owner(name) if name is not None else ""
        resolution = (
            "Build the provider image again so that everybody may read it ('lls-provider build' "
            f"does), or run the container as its owner: now it is {_user()}."
        )
    return os_error(
        error,
        Code.FILE_UNREADABLE,
        "The provider image cannot be read",
        detail=detail,
        file=name,
        resolution=resolution,
    )


def _resolution(cause: OsCause) -> str:
    if cause is OsCause.OBSTACLE:
        return (
            "Remove what stands there, or give the Pod a new volume that the user of the "
            f"container may write ({_user()})."
        )
    if cause is OsCause.READ_ONLY:
        return "Mount the volume read-write: this mount is read-only."
    if cause is OsCause.STORAGE:
        return "The storage below the volume fails: give the Pod a new volume, or another node."
    if cause is OsCause.PROCESS_LIMIT:
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
