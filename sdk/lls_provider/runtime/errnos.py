"""What the operating system says about the volume, as our errors."""

from __future__ import annotations

import errno
import os

from lls_provider.errors import Code, SdkError, Where

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def volume_error(
    error: OSError, doing: str, path: str | os.PathLike[str] | None = None
) -> SdkError:
    """The SdkError for a failed write or read on the volume: NO_SPACE or VOLUME_UNWRITABLE."""
    place = os.fspath(path) if path is not None else error.filename
    name = place if isinstance(place, str) else None
    if error.errno in _NO_SPACE:
        return SdkError(
            Code.NO_SPACE,
            f"No space left while {doing}",
            why=error.strerror or str(error),
            where=Where(file=name),
            resolution="Raise the sizeLimit of the volume, or free space on the node.",
        )
    return SdkError(
        Code.VOLUME_UNWRITABLE,
        f"The volume failed while {doing}",
        why=error.strerror or str(error),
        where=Where(file=name),
        resolution="Mount the volume read-write, writable by the user of the container "
        f"(uid {os.getuid()}, gid {os.getgid()}).",
    )
