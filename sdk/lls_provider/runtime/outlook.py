"""What the volume's packages will be once they are what given records say.

An update is planned against the volume as it will be without what it takes the place of, while
all of that is still there and working.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from lls_provider.runtime.conflict import Candidate, Source, parse_overrides, parse_provided
from lls_provider.runtime.contents import INSTALLER
from lls_provider.runtime.headers import Headers
from lls_provider.runtime.regular import RealFolders, read_regular
from lls_provider.runtime.requirements import parse_requirement, parse_version
from lls_provider.runtime.volume import Volume, names, recorded_files

if TYPE_CHECKING:
    from lls_provider.runtime.record import ProviderRecord

_BLOCK = 512  # what `st_blocks` counts, in bytes


@dataclass(frozen=True, slots=True)
class InstalledDistribution:
    """A ``.dist-info`` folder in python-packages."""

    dist_info: str
    candidate: Candidate
    ours: bool


@dataclass(frozen=True)
class Outlook:
    """How the volume gets to what ``records`` say.

    ``leaving`` are the dist-info folders that no record claims, ``leaving_files`` what goes
    with them. ``stashes`` are the folders of packages that were replaced by providers that are
    no more; of these, ``returning`` (a dist-info folder to its stash) come back.
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
        """The file that will stand at a path relative to python-packages, where it is now."""
        present = self.packages / path
        if path not in self._gone and os.path.lexists(present):
            return present
        for stash in self.returning.values():
            if os.path.lexists(stash / path):
                return stash / path
        return None

    def top_levels(self) -> set[str]:
        """The names that may stand directly in python-packages."""
        folders = (self.packages, *self.returning.values())
        return {name for folder in folders for name in names(folder)}

    def files(self, dist_info: str) -> list[str]:
        """What a distribution's RECORD lists, its own dist-info last; unsafe names never."""
        return recorded_files(self._folder(dist_info))

    def distributions(self) -> list[InstalledDistribution]:
        """Everything that will be installed in python-packages, by name.

        What has no readable name and version is no distribution to anybody, and passed over.
        """
        sources = {
            package.dist_info: source_of(record)
            for record in self.records
            for package in record.packages
        }
        staying = {*dist_infos(self.packages), *self.returning} - {*self.leaving}
        found = []
        for name in sorted(staying):
            candidate = _candidate(self._folder(name), sources.get(name))
            if candidate is not None:
                ours = is_ours(self._folder(name))
                found.append(InstalledDistribution(name, candidate, ours))
        return sorted(found, key=lambda item: item.candidate.name)

    def freed(self) -> int:
        """Bytes on the volume that removing what leaves will set free."""
        return sum(_blocks(self.packages / path) for path in self.leaving_files) + sum(
            _blocks(path) for stash in self.stashes for path in _dropped(stash, self.returning)
        )

    @cached_property
    def _gone(self) -> frozenset[str]:
        return frozenset(self.leaving_files)

    def _folder(self, dist_info: str) -> Path:
        return self.returning.get(dist_info, self.packages) / dist_info


def look_ahead(volume: Volume, records: Sequence[ProviderRecord]) -> Outlook:
    """Find what has to go and to come back for the volume to be what ``records`` say."""
    packages = volume.tree.python_packages
    claimed = {package.dist_info for record in records for package in record.packages}
    present = dist_infos(packages)
    leaving = [n for n in present if n not in claimed and is_ours(packages / n)]
    providers = {record.provider_id for record in records}
    stashes = [volume.replaced / n for n in names(volume.replaced) if n not in providers]
    return Outlook(
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
    """The files of distributions, without those that others share or that lie behind a link."""
    if not leaving:
        return
    folders = RealFolders(packages)
    others = {name for name in dist_infos(packages) if name not in leaving}
    shared = {path for name in others for path in recorded_files(packages / name)}
    for name in leaving:
        for path in recorded_files(packages / name):
            if path not in shared and folders.hold(path):
                yield path


def dist_infos(packages: Path) -> list[str]:
    """The dist-info folders in python-packages."""
    return [name for name in names(packages) if name.endswith(".dist-info")]


def is_ours(dist_info: Path) -> bool:
    """Whether this installer put the distribution there: strangers' are never touched."""
    return read_regular(dist_info / "INSTALLER") == INSTALLER


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
            for folder, _, files in os.walk(stash / name):
                yield from (Path(folder, file) for file in files)


def _blocks(path: Path) -> int:
    try:
        return path.lstat().st_blocks * _BLOCK
    except OSError:
        return 0
