"""Apply: unpack into a staging folder of the same volume, then take the place of what was there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import counted
from lls_provider.runtime.settle import move_tree, set_aside
from lls_provider.runtime.unpack import set_folder_times, set_times, unpack
from lls_provider.runtime.volume import make_folder

if TYPE_CHECKING:
    from lls_provider.runtime.plan import Plan
    from lls_provider.runtime.volume import Volume

_BLOCK = 4096


def stage(plan: Plan, volume: Volume, *, workers: int) -> None:
    """Write and verify every file of the plan; nothing that is installed is touched by that.

    Raises what `unpack` raises.
    """
    staged = volume.staging / "packages"
    make_folder(staged)
    if plan.unpackings:
        unpack(plan.unpackings, staged, workers=workers)
        set_times(f"{staged}/{folder}" for folder in plan.folders)


def swap(plan: Plan, volume: Volume, provider_id: str) -> None:
    """Put what was staged in its place; the provider is not visible by that yet.

    A run that ends half-way leaves what `recover` takes back. Raises OSError.
    """
    packages = volume.tree.python_packages
    make_folder(packages)
    set_aside(volume, provider_id, plan.replaced)
    move_tree(volume.staging / "packages", packages)
    set_folder_times(packages, below=bool(plan.replaced))


def check_space(plan: Plan, volume: Volume, *, to_be_freed: int = 0) -> None:
    """Raise SdkError NO_SPACE, with the numbers, when the plan's files do not fit.

    ``to_be_freed`` are bytes that are not free yet but will be.
    """
    state = os.statvfs(volume.tree.external)
    files = plan.file_count + len(plan.folders)
    needed = sum(_blocks(plan)) + _BLOCK * (files - plan.file_count)
    free = state.f_bavail * state.f_frsize
    # a file system that tells no number of inodes has no limit on them
    room = state.f_favail if state.f_files else None
    if needed <= free + to_be_freed and (room is None or to_be_freed or files <= room):
        return
    told = f"{free:,} bytes are free"
    if room is not None:
        told += f", and room for {counted(room, 'file')}"
    raise SdkError(
        Code.NO_SPACE,
        "Not enough space on the volume",
        why=f"{counted(files, 'file')} of {needed:,} bytes in all are to be written; {told}",
        where=Where(file=str(volume.tree.external)),
        resolution="Raise the sizeLimit of the volume, or free space on the node.",
    )


def _blocks(plan: Plan) -> Iterator[int]:
    for unpacking in plan.unpackings:
        for file in unpacking.files:
            yield -(-file.size // _BLOCK) * _BLOCK
