"""What an OSError means, and the SdkError for it: the one place that reads errno.

The runtime uses this module: it imports the standard library and our errors alone.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import stat
from pathlib import Path

from lls_provider.errors import Code, SdkError, Where

_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


class OsCause(enum.Enum):
    """Why the operating system refused, as far as the resolution differs."""

    NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    OBSTACLE = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOTEMPTY)
    FORBIDDEN = (errno.EACCES, errno.EPERM)
    READ_ONLY = (errno.EROFS,)
    STORAGE = (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO)
    PROCESS_LIMIT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
    OTHER = ()


def os_cause(error: OSError) -> OsCause:
    """The cause that the number of an OSError stands for."""
    return next((cause for cause in OsCause if error.errno in cause.value), OsCause.OTHER)


def os_reason(error: OSError) -> str:
    """The reason in the system's words; never empty for an error that has any text."""
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
    """``1,234 bytes are free`` on the file system of a place; empty where that is not known."""
    with contextlib.suppress(OSError, StopIteration):
        there = next(path for path in (place, *place.parents) if path.exists())
        state = os.statvfs(there)
        return f"{state.f_bavail * state.f_frsize:,} bytes are free"
    return ""


def path_kind(path: str | os.PathLike[str]) -> str:
    """What is at a path, a link itself and not what it leads to: ``a file``."""
    try:
        return _KINDS.get(stat.S_IFMT(os.lstat(path).st_mode), "a device")
    except OSError:
        return "nothing"
