"""Brings the packages on the volume to what the records say, by renames and removals."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.runtime.carry import restore_zipapp
from lls_provider.runtime.outlook import Outlook, files_of, look_ahead
from lls_provider.runtime.unpack import set_folder_times
from lls_provider.runtime.volume import Volume, make_folder, names, recorded_files

if TYPE_CHECKING:
    from lls_provider.runtime.record import ProviderRecord


def recover(volume: Volume, records: Sequence[ProviderRecord]) -> list[str]:
    """Make the volume what the records say; gives the dist-info folders removed."""
    volume.clean_staging()
    outlook = look_ahead(volume, records)
    settle(volume, outlook)
    volume.resume()
    volume.clean_staging()
    return list(outlook.leaving)


def forget(volume: Volume, records: Sequence[ProviderRecord]) -> None:
    """Take providers off the volume, the last slot first; `settle` drops what they put.

    Where they had replaced packages of others, all are suspended; the caller resumes them.
    """
    if any(record.replaced for record in records):
        volume.suspend()
    for record in sorted(records, key=lambda record: -record.order):
        volume.retract(record.provider_id)


def settle(volume: Volume, outlook: Outlook) -> None:
    """Carry out an outlook.

    Where packages come back that visible providers rely on, the providers are suspended; the
    caller resumes them.
    """
    if outlook.returning:
        volume.suspend()
    _drop(volume, outlook)
    for stash in outlook.stashes:
        for name in names(stash):
            if outlook.returning.get(name) == stash / name:
                move_tree(stash / name, outlook.packages)
    if outlook.leaving or outlook.stashes:
        restore_zipapp(volume, outlook.records)
    for stash in outlook.stashes:
        if stash.is_dir() and not stash.is_symlink():
            shutil.rmtree(stash)
        else:
            stash.unlink()
    if volume.replaced.is_dir() and not names(volume.replaced):
        volume.replaced.rmdir()
    if (outlook.leaving or outlook.stashes) and outlook.packages.is_dir():
        set_folder_times(outlook.packages)


def set_aside(volume: Volume, provider_id: str, dist_infos: Sequence[str]) -> None:
    """Move distributions out of the tree, for ``provider_id`` which replaces them.

    Every provider is suspended by that; the caller resumes them.
    """
    if not dist_infos:
        return
    volume.suspend()
    packages, stashes = volume.tree.python_packages, volume.replaced / provider_id
    leaving = set(files_of(packages, dist_infos))
    for dist_info in dist_infos:
        stash = stashes / dist_info
        make_folder(stash)
        for path in recorded_files(packages / dist_info):
            source, target = packages / path, stash / path
            if path in leaving and os.path.lexists(source):
                make_folder(target.parent)
                source.rename(target)
                _prune(source.parent, packages)
    set_folder_times(volume.replaced)


def move_tree(source: Path, target: Path) -> None:
    """Move all that lies below ``source`` into ``target`` by rename, merging folders.

    A file that is there already stays. Folders named ``*.dist-info`` go first: from then on
    the volume knows what the files that follow belong to.
    """
    for name in sorted(names(source), key=lambda name: not name.endswith(".dist-info")):
        here, there = source / name, target / name
        if not os.path.lexists(there):
            here.rename(there)
        elif here.is_dir() and not here.is_symlink() and there.is_dir() and not there.is_symlink():
            move_tree(here, there)
            set_folder_times(there, below=False)


def _drop(volume: Volume, outlook: Outlook) -> None:
    own = tuple(f"{dist_info}/" for dist_info in outlook.leaving)
    for path in outlook.leaving_files:
        if path.startswith(own):
            continue
        target = outlook.packages / path
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            target.unlink()
        _prune(target.parent, outlook.packages)
    for dist_info in outlook.leaving:
        # in one step: half of it would not be known as ours
        volume.discard(outlook.packages / dist_info)


def _prune(folder: Path, top: Path) -> None:
    """Remove a folder and its parents as far as they are empty."""
    while folder != top and top in folder.parents:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                return
            raise
        folder = folder.parent
