"""The shared volume: its lock, what is on it, and bringing it back to what the records say.

The state of the volume is declared by the provider records alone. Everything of ours that no
record claims is the rest of an interrupted installation and goes; what such an installation
moved out of the way comes back. So no journal is needed.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from lls_provider.contract.models import provider_id_problem, read_crd_config
from lls_provider.contract.paths import CRD_CONFIG_FILE, VolumeTree
from lls_provider.runtime.archive import name_problem
from lls_provider.runtime.conflict import Candidate, Source, parse_overrides, parse_provided
from lls_provider.runtime.errnos import volume_error
from lls_provider.runtime.headers import Headers
from lls_provider.runtime.record import RECORD_FILE, ProviderRecord
from lls_provider.runtime.unpack import FOLDER_MODE, set_folder_times
from lls_provider.runtime.wheel import INSTALLER

_STAGING = ".staging"
_REPLACED = ".replaced"


@dataclass(frozen=True, slots=True)
class InstalledDistribution:
    """A ``.dist-info`` folder in python-packages."""

    dist_info: str
    candidate: Candidate
    ours: bool


class Volume:
    """The volume below ``root``; every writing method expects the lock to be held."""

    def __init__(self, root: Path) -> None:
        self.tree = VolumeTree(root)
        self.staging = self.tree.external / _STAGING
        self.replaced = self.tree.external / _REPLACED

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the volume's kernel lock; it dies with its owner, however that ends.

        Raises SdkError VOLUME_UNWRITABLE when the folder cannot be made.
        """
        folder = self.tree.external
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise volume_error(error, "preparing the volume", folder) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def records(self) -> list[ProviderRecord]:
        """Every installed provider, by slot.

        A folder that another installer made is known by its ``crd-config.yaml``. Raises
        SdkError DOCUMENT_INVALID, or what reading a ``crd-config.yaml`` raises.
        """
        found = []
        for name in _names(self.tree.metadata):
            folder = self.tree.metadata / name
            if name.startswith(".") or provider_id_problem(name) is not None:
                continue
            path = folder / RECORD_FILE
            if path.is_file():
                found.append(ProviderRecord.load(path.read_bytes(), path))
            elif (folder / CRD_CONFIG_FILE).is_file():
                crd = read_crd_config(folder / CRD_CONFIG_FILE)
                found.append(ProviderRecord(name, crd.image, crd.init_container_name, crd.order))
        return sorted(found, key=lambda record: (record.order, record.container))

    def distributions(self, records: Sequence[ProviderRecord]) -> list[InstalledDistribution]:
        """Everything installed in python-packages, by name.

        What has no readable name and version is no distribution to anybody, and passed over.
        """
        sources = {
            package.dist_info: source_of(record)
            for record in records
            for package in record.packages
        }
        found = []
        for name in self._dist_infos():
            folder = self.tree.python_packages / name
            candidate = _candidate(folder, sources.get(name))
            if candidate is not None:
                found.append(InstalledDistribution(name, candidate, _is_ours(folder)))
        return sorted(found, key=lambda item: item.candidate.name)

    def recover(self, records: Sequence[ProviderRecord]) -> list[str]:
        """Make the volume what the records say; returns the dist-info folders dropped."""
        self.clean_staging()
        claimed = {package.dist_info for record in records for package in record.packages}
        orphans = [
            name
            for name in self._dist_infos()
            if name not in claimed and _is_ours(self.tree.python_packages / name)
        ]
        if orphans:
            self._drop(orphans)
        self._restore(claimed, {record.provider_id for record in records})
        return orphans

    def forget(self, records: Collection[ProviderRecord]) -> None:
        """Take providers off the volume, the last slot first; `recover` drops what they put."""
        for record in sorted(records, key=lambda record: -record.order):
            self.retract(record.provider_id)

    def retract(self, provider_id: str) -> None:
        """Make a provider's folder disappear at once."""
        self.staging.mkdir(mode=FOLDER_MODE, exist_ok=True)
        old = self.staging / f"old-{provider_id}"
        with contextlib.suppress(FileNotFoundError):
            (self.tree.metadata / provider_id).rename(old)
            shutil.rmtree(old)

    def clean_staging(self) -> None:
        """Remove what an interrupted run left in the staging folder, and the folder."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.staging)

    def set_aside(self, provider_id: str, dist_info: str) -> None:
        """Move a distribution out of the tree, for ``provider_id`` which replaces it."""
        stash = self.replaced / provider_id / dist_info
        stash.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        shared = self._files_of_others([dist_info])
        for path in self.files(dist_info):
            source = self.tree.python_packages / path
            if path not in shared and os.path.lexists(source):
                target = stash / path
                target.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
                source.rename(target)
                self._prune(source.parent)
        set_folder_times(stash.parent.parent)

    def files(self, dist_info: str) -> list[str]:
        """What a distribution's RECORD lists, its own dist-info last; unsafe names never."""
        return recorded_files(self.tree.python_packages / dist_info)

    def _dist_infos(self) -> list[str]:
        return [name for name in _names(self.tree.python_packages) if name.endswith(".dist-info")]

    def _files_of_others(self, dist_infos: Collection[str]) -> set[str]:
        others = [name for name in self._dist_infos() if name not in dist_infos]
        return {path for name in others for path in self.files(name)}

    def _drop(self, dist_infos: Sequence[str]) -> None:
        shared = self._files_of_others(dist_infos)
        for dist_info in dist_infos:
            for path in self.files(dist_info):
                if path in shared:
                    continue
                target = self.tree.python_packages / path
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    target.unlink()
                self._prune(target.parent)
            with contextlib.suppress(FileNotFoundError):  # what RECORD does not tell
                shutil.rmtree(self.tree.python_packages / dist_info)
        self._fix_times()

    def _restore(self, claimed: Collection[str], providers: Collection[str]) -> None:
        """Bring back what providers that are no more had replaced, when it is still claimed."""
        for provider in _names(self.replaced):
            if provider in providers:
                continue
            for dist_info in _names(self.replaced / provider):
                stash = self.replaced / provider / dist_info
                if dist_info in claimed:
                    move_tree(stash, self.tree.python_packages)
            shutil.rmtree(self.replaced / provider)
            self._fix_times()
        with contextlib.suppress(OSError):
            self.replaced.rmdir()

    def _prune(self, folder: Path) -> None:
        """Remove a folder and its parents as far as they are empty."""
        top = self.tree.python_packages
        while folder != top and top in folder.parents:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def _fix_times(self) -> None:
        if self.tree.python_packages.is_dir():
            set_folder_times(self.tree.python_packages)


def move_tree(source: Path, target: Path) -> None:
    """Move all that lies below ``source`` into ``target`` by rename, merging folders.

    A file that is there already stays. Folders named ``*.dist-info`` go first: from then on
    the volume knows what the files that follow belong to.
    """
    for name in sorted(_names(source), key=lambda name: not name.endswith(".dist-info")):
        here, there = source / name, target / name
        if not os.path.lexists(there):
            here.rename(there)
        elif here.is_dir() and not here.is_symlink() and there.is_dir():
            move_tree(here, there)
            set_folder_times(there, below=False)


def source_of(record: ProviderRecord) -> Source:
    """What the conflict rule has to know about an installed provider."""
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
    )


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_ours(dist_info: Path) -> bool:
    """Whether this installer put the distribution there: strangers' are never touched."""
    try:
        return (dist_info / "INSTALLER").read_bytes() == INSTALLER
    except OSError:
        return False


def _candidate(dist_info: Path, source: Source | None) -> Candidate | None:
    try:
        headers = Headers((dist_info / "METADATA").read_bytes())
        name, version = canonicalize_name(headers.one("Name")), Version(headers.one("Version"))
    except (OSError, ValueError, InvalidVersion):
        return None
    requires = []
    for text in headers.all("Requires-Dist"):
        with contextlib.suppress(InvalidRequirement):
            requires.append(Requirement(text))
    return Candidate(name, version, tuple(requires), source)


def recorded_files(dist_info: Path) -> list[str]:
    """What the RECORD of a dist-info folder lists, its own files last; unsafe names never."""
    try:
        with (dist_info / "RECORD").open(encoding="utf-8", newline="") as stream:
            paths = [row[0] for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
    prefix = dist_info.name + "/"
    safe = [path for path in paths if name_problem(path) is None]
    # RECORD itself comes last, so that an interrupted removal still knows the rest
    return sorted(safe, key=lambda path: (path.startswith(prefix), path == prefix + "RECORD", path))
