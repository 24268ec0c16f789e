"""Which wheels a bundle brings: files of the bundle itself, whatever their names lead to."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError, Where
from lls_provider.runtime.archive import wheel_error

if TYPE_CHECKING:
    from lls_provider.contract.paths import BundleTree

_RESOLUTION = "Copy the wheels themselves into packages, and build the provider image again."


def wheel_paths(tree: BundleTree) -> list[Path]:
    """The wheels under ``packages``, sorted by name.

    A link may lead to another file of the bundle, never out of it. Raises SdkError
    BUNDLE_INVALID for a folder, WHEEL_NOT_FILE for a wheel that is none of the bundle's files,
    FILE_UNREADABLE when the folder cannot be read.
    """
    folder = tree.packages
    root = tree.root.resolve()
    found = Path(os.path.realpath(folder))
    if not found.is_relative_to(root):
        raise SdkError(
            Code.BUNDLE_INVALID,
            "The folder of wheels is a link out of the bundle",
            why=f"it leads to {found}",
            where=Where(file=str(folder)),
            resolution=_RESOLUTION,
        )
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".whl")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SdkError(
            Code.FILE_UNREADABLE,
            "Cannot read the folder of wheels",
            why=error.strerror or str(error),
            where=Where(file=str(folder)),
            resolution="Make it a folder that the user of the container may read.",
        ) from error
    for path in paths:
        if not _is_file(path):  # resolving each takes as long as reading it
            check_inside(path, root)
    return paths


def _is_file(path: Path) -> bool:
    """Whether a file itself stands there, and no link."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def check_inside(path: Path, root: Path) -> None:
    """Raise SdkError WHEEL_NOT_FILE unless a wheel is a regular file below the resolved root."""
    try:
        found = path.resolve(strict=True)
        if not found.is_relative_to(root):
            why = f"it is a link out of the bundle, to {found}"
        elif found.is_file():
            return
        else:
            why = "it is no regular file"
    except (OSError, RuntimeError) as error:
        why = f"it is a link that leads nowhere ({error})"
    raise wheel_error(Code.WHEEL_NOT_FILE, path, why, resolution=_RESOLUTION)
