"""Brings the packages on the volume to the state that the records declare, by renames and removals.

An update is planned against the desired state, without what it replaces, while the old state is
still in place and working.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from lls_provider.runtime.install.conflict import Candidate, Source, parse_overrides, parse_provided
from lls_provider.runtime.volume.installed import RealDirectories, read_regular
from lls_provider.runtime.volume.volume import (
    Volume,
    make_directory,
    names,
    recorded_files,
    restore_zipapp,
)
from lls_provider.runtime.wheelfile.contents import INSTALLER, Headers
from lls_provider.runtime.wheelfile.unpack import set_directory_times
from lls_provider.runtime.wheelfile.wheel import parse_requirement, parse_version

if TYPE_CHECKING:
    from lls_provider.runtime.volume.installed import ProviderRecord


_BLOCK = 512  # what `st_blocks` counts, in bytes


@dataclass(frozen=True, slots=True)
class InstalledDistribution:
    """A ``.dist-info`` directory in python-packages."""

    dist_info: str
    candidate: Candidate
    ours: bool


@dataclass(frozen=True)
class DesiredState:
    """The state that ``records`` declare, and what is to be done to reach it.

    ``leaving`` are the dist-info directories that no record claims, ``leaving_files`` the files to
    remove with them. ``stashes`` are the directories of packages that were replaced by providers
    that are gone; of these, ``returning`` (a dist-info directory to its stash) are moved back.
    """

    packages: Path
    records: tuple[ProviderRecord, ...]
    leaving: tuple[str, ...]
    leaving_files: tuple[str, ...]
    stashes: tuple[Path, ...]
    returning: Mapping[str, Path]

    def sources(self) -> list[Source]:
        """The providers that stay, by slot, as the conflict rule sees them."""
        return [source_of(record) for record in self.records]

    def find(self, path: str) -> Path | None:
        """The file that will be at a path relative to python-packages, where it is now."""
        present = self.packages / path
        if path not in self._gone and os.path.lexists(present):
            return present
        for stash in self.returning.values():
            if os.path.lexists(stash / path):
                return stash / path
        return None

    def top_levels(self) -> set[str]:
        """The names that may be directly in python-packages."""
        directories = (self.packages, *self.returning.values())
        return {name for directory in directories for name in names(directory)}

    def files(self, dist_info: str) -> list[str]:
        """What a distribution's RECORD lists, its own dist-info last, without unsafe names."""
        return recorded_files(self._directory(dist_info))

    def distributions(self) -> list[InstalledDistribution]:
        """Everything that will be installed in python-packages, by name.

        A directory without a readable name and version is not a distribution and is skipped.
        """
        sources = {
            package.dist_info: source_of(record)
            for record in self.records
            for package in record.packages
        }
        staying = {*dist_infos(self.packages), *self.returning} - {*self.leaving}
        found = []
        for name in sorted(staying):
            candidate = _candidate(self._directory(name), sources.get(name))
            if candidate is not None:
                ours = is_managed(self._directory(name))
                found.append(InstalledDistribution(name, candidate, ours))
        return sorted(found, key=lambda item: item.candidate.name)

    def freed(self) -> int:
        """Bytes on the volume that the removals will free."""
        return sum(_blocks(self.packages / path) for path in self.leaving_files) + sum(
            _blocks(path) for stash in self.stashes for path in _dropped(stash, self.returning)
        )

    @cached_property
    def _gone(self) -> frozenset[str]:
        return frozenset(self.leaving_files)

    def _directory(self, dist_info: str) -> Path:
        return self.returning.get(dist_info, self.packages) / dist_info


def desired_state(volume: Volume, records: Sequence[ProviderRecord]) -> DesiredState:
    """Find what to remove and what to move back so that the volume is what ``records`` declare."""
    packages = volume.tree.python_packages
    claimed = {package.dist_info for record in records for package in record.packages}
    present = dist_infos(packages)
    leaving = [n for n in present if n not in claimed and is_managed(packages / n)]
    providers = {record.provider_id for record in records}
    stashes = [volume.replaced / n for n in names(volume.replaced) if n not in providers]
    return DesiredState(
        packages=packages,
        records=tuple(records),
        leaving=tuple(leaving),
        leaving_files=tuple(files_of(packages, leaving)),
        stashes=tuple(stashes),
        returning={
            name: stash / name for stash in stashes for name in names(stash) if name in claimed
        },
    )


def files_of(packages: Path, leaving: Sequence[str]) -> Iterator[str]:
    """The files of distributions, without those that others share or that are below a link."""
    if not leaving:
        return
    directories = RealDirectories(packages)
    others = {name for name in dist_infos(packages) if name not in leaving}
    shared = {path for name in others for path in recorded_files(packages / name)}
    for name in leaving:
        for path in recorded_files(packages / name):
            if path not in shared and directories.hold(path):
                yield path


def dist_infos(packages: Path) -> list[str]:
    """The dist-info directories in python-packages."""
    return [name for name in names(packages) if name.endswith(".dist-info")]


def is_managed(dist_info: Path) -> bool:
    """Whether this installer installed the distribution; unmanaged ones are never touched."""
    return read_regular(dist_info / "INSTALLER") == INSTALLER


def source_of(record: ProviderRecord) -> Source:
    """An installed provider as the conflict rule sees it."""
    try:
        overrides = parse_overrides(record.overrides)
    except InvalidRequirement:
        overrides = {}
    return Source(
        provider=record.provider_id,
        image=record.image,
        own=canonicalize_name(record.own) if record.own else None,
        provided=parse_provided(record.provided) if record.provided is not None else None,
        overrides=overrides,
        distributions=record.distributions,
    )


def _candidate(dist_info: Path, source: Source | None) -> Candidate | None:
    data = read_regular(dist_info / "METADATA")
    if data is None:
        return None
    try:
        headers = Headers(data)
        name = canonicalize_name(headers.one("Name"))
        version = parse_version(headers.one("Version"))
    except (ValueError, InvalidVersion):
        return None
    requires = []
    for text in headers.all("Requires-Dist"):
        with contextlib.suppress(InvalidRequirement):
            requires.append(parse_requirement(text))
    return Candidate(name, version, tuple(requires), source)


def _dropped(stash: Path, returning: Mapping[str, Path]) -> Iterator[Path]:
    for name in names(stash):
        if returning.get(name) != stash / name:
            for directory, _, files in os.walk(stash / name):
                yield from (Path(directory, file) for file in files)


def _blocks(path: Path) -> int:
    try:
        return path.lstat().st_blocks * _BLOCK
    except OSError:
        return 0


def recover_interrupted(volume: Volume, records: Sequence[ProviderRecord]) -> list[str]:
    """Bring the volume to what the records declare; returns the removed dist-info directories."""
    volume.clean_staging()
    desired = desired_state(volume, records)
    reconcile(volume, desired)
    volume.resume()
    volume.clean_staging()
    return list(desired.leaving)


def remove_record(volume: Volume, records: Sequence[ProviderRecord]) -> None:
    """Remove providers from the volume, the last slot first; `reconcile` removes their packages.

    If they had replaced packages of others, all providers are suspended; the caller resumes them.
    """
    if any(record.replaced for record in records):
        volume.suspend()
    for record in sorted(records, key=lambda record: -record.order):
        volume.retract(record.provider_id)


def reconcile(volume: Volume, desired: DesiredState) -> None:
    """Bring the volume to the desired state.

    If packages that visible providers rely on are moved back, the providers are suspended; the
    caller resumes them.
    """
    if desired.returning:
        volume.suspend()
    _drop(volume, desired)
    for stash in desired.stashes:
        for name in names(stash):
            if desired.returning.get(name) == stash / name:
                move_tree(stash / name, desired.packages)
    if desired.leaving or desired.stashes:
        restore_zipapp(volume, desired.records)
    for stash in desired.stashes:
        if stash.is_dir() and not stash.is_symlink():
            shutil.rmtree(stash)
        else:
            stash.unlink()
    if volume.replaced.is_dir() and not names(volume.replaced):
        volume.replaced.rmdir()
    if (desired.leaving or desired.stashes) and desired.packages.is_dir():
        set_directory_times(desired.packages)


def set_aside(volume: Volume, provider_id: str, dist_infos: Sequence[str]) -> None:
    """Move distributions out of the tree, for ``provider_id``, which replaces them.

    This suspends every provider; the caller resumes them.
    """
    if not dist_infos:
        return
    volume.suspend()
    packages, stashes = volume.tree.python_packages, volume.replaced / provider_id
    leaving = set(files_of(packages, dist_infos))
    for dist_info in dist_infos:
        stash = stashes / dist_info
        make_directory(stash)
        for path in recorded_files(packages / dist_info):
            source, target = packages / path, stash / path
            if path in leaving and os.path.lexists(source):
                remove_bytecode(source)
                make_directory(target.parent)
                source.rename(target)
                _prune(source.parent, packages)
    set_directory_times(volume.replaced)


def move_tree(source: Path, target: Path) -> None:
    """Move everything below ``source`` into ``target`` by rename, merging directories.

    A file that already exists stays. Directories named ``*.dist-info`` are moved first, so that it
    is known from then on what the other files belong to.
    """
    for name in sorted(names(source), key=lambda name: not name.endswith(".dist-info")):
        here, there = source / name, target / name
        if not os.path.lexists(there):
            here.rename(there)
        elif here.is_dir() and not here.is_symlink() and there.is_dir() and not there.is_symlink():
            move_tree(here, there)
            set_directory_times(there, below=False)


def _drop(volume: Volume, desired: DesiredState) -> None:
    own = tuple(f"{dist_info}/" for dist_info in desired.leaving)
    for path in desired.leaving_files:
        if path.startswith(own):
            continue
        target = desired.packages / path
        remove_bytecode(target)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            target.unlink()
        _prune(target.parent, desired.packages)
    for dist_info in desired.leaving:
        # in one step: half of it would not be recognised as ours
        volume.discard(desired.packages / dist_info)


def remove_bytecode(source: Path) -> None:
    """Remove the bytecode of a module, before the module itself is removed or moved.

    Python takes bytecode for current if time and size of the source are those it was compiled from,
    and both are equal in builds of two versions of a package.
    """
    cache = source.parent / "__pycache__"
    if source.suffix != ".py" or cache.is_symlink():
        return
    present = names(cache)
    gone = [it for it in present if it.startswith(f"{source.stem}.") and it.endswith(".pyc")]
    for name in gone:
        (cache / name).unlink(missing_ok=True)
    if gone and gone == present:
        cache.rmdir()


def _prune(directory: Path, top: Path) -> None:
    """Remove a directory and its parents as far as they are empty."""
    while top in directory.parents:
        try:
            directory.rmdir()
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                return
            raise
        directory = directory.parent
