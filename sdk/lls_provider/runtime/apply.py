"""Apply: unpack into a staging folder of the same volume, then publish by rename."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError, Where
from lls_provider.runtime.signals import check_stopped
from lls_provider.runtime.unpack import FOLDER_MODE, set_folder_times, unpack
from lls_provider.runtime.volume import Volume, move_tree

if TYPE_CHECKING:
    from lls_provider.runtime.plan import Plan

_BLOCK = 4096


def apply(plan: Plan, volume: Volume, provider_id: str, *, workers: int) -> None:
    """Make the volume's packages what the plan says; the provider is not visible by that yet.

    A run that ends half-way leaves what `Volume.recover` takes back. Raises SdkError
    NO_SPACE, VOLUME_UNWRITABLE or WHEEL_INVALID, OSError from renames.
    """
    packages = volume.tree.python_packages
    packages.mkdir(mode=FOLDER_MODE, exist_ok=True)
    if plan.unpackings:
        _check_space(plan, volume)
        staged = volume.staging / "packages"
        staged.mkdir(mode=FOLDER_MODE, parents=True)
        unpack(plan.unpackings, staged, workers=workers)
        set_folder_times(staged)
        check_stopped()
        for dist_info in plan.replaced:
            volume.set_aside(provider_id, dist_info)
        move_tree(staged, packages)
    set_folder_times(packages, below=bool(plan.replaced))


def _check_space(plan: Plan, volume: Volume) -> None:
    state = os.statvfs(volume.tree.external)
    needed = sum(_blocks(plan))
    free = state.f_bavail * state.f_frsize
    # a file system that tells no number of inodes has no limit on them
    files = state.f_favail if state.f_files else None
    if needed <= free and (files is None or plan.file_count <= files):
        return
    raise SdkError(
        Code.NO_SPACE,
        "Not enough space on the volume",
        why=f"{plan.file_count:,} files of {needed:,} bytes are to be written; "
        f"{free:,} bytes are free" + (f", for {files:,} files" if files is not None else ""),
        where=Where(file=str(volume.tree.external)),
        resolution="Raise the sizeLimit of the volume, or free space on the node.",
    )


def _blocks(plan: Plan) -> Iterator[int]:
    for unpacking in plan.unpackings:
        for file in unpacking.files:
            yield -(-file.size // _BLOCK) * _BLOCK
