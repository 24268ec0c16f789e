"""Plans an installation: which files it will write, decided before anything is written.

When several wheels bring a file for the same path, the rule is (contract/README.md, "One path,
several distributions"): equal content is written once and belongs to all. If the content differs,
an installed file stays; otherwise the provider's own comes before its dependencies', then the first
by the distribution's name. If a module of the provider itself would not be its own, that is a
conflict: the provider would run third-party code.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lls_provider.errors import Code, SdkError, Where
from lls_provider.runtime import messages
from lls_provider.runtime.install import shadowing
from lls_provider.runtime.install.conflict import (
    Candidate,
    Decision,
    decide,
    provided_differences,
)
from lls_provider.runtime.volume.installed import InstalledPackage, open_regular, read_regular
from lls_provider.runtime.wheelfile.archive import read_member
from lls_provider.runtime.wheelfile.contents import WheelFile, record_file
from lls_provider.runtime.wheelfile.unpack import Unpacking, directories_of
from lls_provider.runtime.wheelfile.wheel import is_empty_init, same_init_meaning
from lls_provider.system.files import path_kind

if TYPE_CHECKING:
    from lls_provider.runtime.install.conflict import Source
    from lls_provider.runtime.install.provider_image import ProviderImage
    from lls_provider.runtime.volume.reconcile import InstalledDistribution
    from lls_provider.runtime.wheelfile.wheel import Wheel

_STRAYS = 10  # reported one by one
_MODULES = (".py", ".so")
_INIT_BYTES = 64 * 1024  # a larger file does more than declare a namespace, and is not compared
_NOBODY = "someone else"
_NONE = "none"
_ELSEWHERE = ("bin/", "include/", "share/")  # from .data: nothing that is imported


class InstalledFiles(Protocol):
    """What is on the volume when an installation begins."""

    def sources(self) -> Sequence[Source]:
        """The installed providers, by slot."""
        ...

    def distributions(self) -> Sequence[InstalledDistribution]:
        """The distributions in python-packages."""
        ...

    def top_levels(self) -> Collection[str]:
        """The names that may exist directly in python-packages."""
        ...

    def find(self, path: str) -> Path | None:
        """The file or directory at a path relative to python-packages, where it can be read."""
        ...

    def files(self, dist_info: str) -> Collection[str]:
        """What a distribution's RECORD lists."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """The files to write, the distributions to set aside, and the notes and warnings."""

    unpackings: tuple[Unpacking, ...] = ()
    packages: tuple[InstalledPackage, ...] = ()
    replaced: tuple[str, ...] = ()  # dist-info directories
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    directories: frozenset[str] = frozenset()  # to write to, relative to python-packages

    @property
    def size(self) -> int:
        """Bytes to write."""
        return sum(file.size for unpacking in self.unpackings for file in unpacking.files)

    @property
    def file_count(self) -> int:
        """Files to write."""
        return sum(len(unpacking.files) for unpacking in self.unpackings)


def make_plan(
    incoming: ProviderImage,
    installed: Sequence[InstalledDistribution],
    volume: InstalledFiles,
    container: str,
) -> Plan:
    """Decide (contract decision 1) and plan the files.

    Raises SdkError DEPENDENCY_CONFLICT with the layout of contract section 6, VOLUME_UNSAFE if
    something that no installation owns is in the way.
    """
    decision = decision_on(incoming, installed)
    if decision.conflicts:
        details = "\n".join(conflict.render() for conflict in decision.conflicts)
        raise conflict_error(incoming, container, details)
    chosen = {*decision.install, *decision.replace}
    wheels = [wheel for wheel in incoming.wheels if wheel.name in chosen]
    old = {item.candidate.name: item for item in installed}
    replaced = tuple(old[name].dist_info for name in decision.replace)
    files = _FilePlan(volume, installed, incoming.own, replaced)
    for wheel in sorted(wheels, key=lambda wheel: (wheel.name != incoming.own.name, wheel.name)):
        files.add(wheel)
    if incoming.own.name not in chosen:
        files.keep_own()
    if files.strays:
        raise _strays_error(incoming, tuple(files.strays.values()))
    if files.conflicts:
        raise conflict_error(incoming, container, "\n".join(files.conflicts))
    return Plan(
        unpackings=tuple(files.unpackings),
        packages=tuple(
            InstalledPackage(wheel.name, str(wheel.version), wheel.dist_info, wheel.filename)
            for wheel in sorted(wheels, key=lambda wheel: wheel.name)
        ),
        replaced=replaced,
        notes=tuple(_notes(decision, incoming, {n: old[n].candidate for n in decision.replace})),
        warnings=(*files.warnings, *_warnings(incoming, wheels, volume.sources())),
        directories=directories_of(files.unpackings),
    )


def decision_on(incoming: ProviderImage, installed: Sequence[InstalledDistribution]) -> Decision:
    """The decision of the rule (contract decision 1) about an image, for its target."""
    return decide(
        [item.candidate for item in installed],
        incoming.candidates(),
        incoming.target.environments(),
    )


def conflict_error(incoming: ProviderImage, container: str, details: str) -> SdkError:
    """The error of a conflict, with its fixed layout."""
    layout = messages.conflict(incoming.provider_id, incoming.image, container, details)
    return SdkError(
        Code.DEPENDENCY_CONFLICT,
        f"Cannot install provider '{incoming.provider_id}' due to dependency conflict",
        why=details,
        where=Where(provider=incoming.provider_id, image=incoming.image),
        resolution=layout.rpartition("Resolution: ")[2],
        layout=layout,
    )


def _strays_error(incoming: ProviderImage, strays: Sequence[str]) -> SdkError:
    more = f"\nand {len(strays) - _STRAYS:,} more" if len(strays) > _STRAYS else ""
    return SdkError(
        Code.VOLUME_UNSAFE,
        f"What is on the volume is in the way of provider '{incoming.provider_id}'",
        why="\n".join(strays[:_STRAYS]) + more,
        where=Where(provider=incoming.provider_id, image=incoming.image),
        resolution="Find out which container put it into python-packages. Remove it there, or give "
        "the Pod a new volume.",
    )


def _warnings(
    incoming: ProviderImage, wheels: Sequence[Wheel], installed: Sequence[Source]
) -> Iterator[str]:
    source = incoming.source
    yield from (found.render() for found in provided_differences(source, installed))
    server = shadowing.assumed_modules([*installed, source])
    yield from shadowing.shadowing_warnings(wheels, incoming.target.minor, server)


def _notes(decision: Decision, incoming: ProviderImage, old: dict[str, Candidate]) -> list[str]:
    new = {wheel.name: wheel.version for wheel in incoming.wheels}
    notes = [
        f"kept {name} {version}, which satisfies everyone; this image brings {new[name]}"
        for name, version in sorted(decision.keep.items())
        if version != new[name]
    ]
    notes += [
        f"replaced {name} {candidate.version} by {new[candidate.name]}, which satisfies everyone"
        for name, candidate in sorted(old.items())
    ]
    notes += [f"override in use: {text}" for text in decision.used_overrides]
    return notes


class _FilePlan:
    """Collects what is to be written, wheel by wheel, the provider's own first."""

    def __init__(
        self,
        volume: InstalledFiles,
        installed: Sequence[InstalledDistribution],
        own: Wheel,
        replaced: Collection[str],
    ) -> None:
        self.unpackings: list[Unpacking] = []
        self.warnings: list[str] = []
        self.conflicts: list[str] = []
        self.strays: dict[str, str] = {}
        """What is in the way of a file and belongs to no installation, by path."""
        self._volume = volume
        self._staying = [item for item in installed if item.dist_info not in replaced]
        self._own = own
        self._leaving = {path for name in replaced for path in volume.files(name)}
        if self._leaving:
            self._leaving -= self._files_of_staying.keys()
        self._present = set(volume.top_levels())
        self._written: dict[str, tuple[Wheel, WheelFile]] = {}
        self._directories: dict[str, Wheel] = {}

    def add(self, wheel: Wheel) -> None:
        """Add a wheel: the files that it writes, and a RECORD of those and of what it shares."""
        files, shared = [], []
        for file in wheel.files:
            found = self._find(file.path)
            if not self._fits(wheel, file, found):
                continue
            if file.path in self._written:
                shared += self._beside(wheel, file, *self._written[file.path])
                continue
            if found is not None:
                shared += self._behind(wheel, file, found)
                continue
            self._written[file.path] = (wheel, file)
            files.append(file)
        record = wheel.record
        if len(files) < len(wheel.files):
            record = record_file(wheel.dist_info, [*files, *shared])
        self.unpackings.append(Unpacking(wheel, (*files, record)))

    def keep_own(self) -> None:
        """Check that the provider's own wheel, already installed, has the same code."""
        own = self._own
        for file in own.files:
            if file.path.startswith(f"{own.dist_info}/"):
                continue
            found = self._find(file.path)
            if found is not None:
                self._behind(own, file, found)
            elif _is_module(file.path):
                self._miss(own, file, self._owner(f"{own.dist_info}/METADATA"), _NONE)

    def _miss(self, wheel: Wheel, file: WheelFile, owner: str, what: str) -> None:
        if owner == _NOBODY and what != _NONE:
            self._stray(wheel, file, file.path)
            return
        self.conflicts.append(
            f"{file.path}: {_named(wheel)} is the provider itself and brings this module, "
            f"{owner} has installed {what}"
        )

    def _stray(self, wheel: Wheel, file: WheelFile, path: str) -> None:
        there = self._find(path)
        kind = path_kind(there) if there is not None else "something"
        self.strays.setdefault(
            path,
            f"{path} is {kind} that no installation has put there; {_named(wheel)} brings "
            f"{file.path}",
        )

    def _find(self, path: str) -> Path | None:
        if not self._present or path.partition("/")[0] not in self._present:
            return None
        if path in self._leaving:
            return None
        return self._volume.find(path)

    def _beside(
        self, wheel: Wheel, file: WheelFile, other: Wheel, written: WheelFile
    ) -> list[WheelFile]:
        """A file that another wheel of the image writes, if it belongs to this wheel too."""
        if _digest(file) == _digest(written):
            return [file]
        if _same_init(file, _content(wheel, file), _content(other, written)):
            return [written._replace(path=file.path)]
        self.warnings.append(
            f"{file.path} comes with {_named(other)} and {_named(wheel)} in different content; "
            f"that of {other.name} is installed"
        )
        return []

    def _behind(self, wheel: Wheel, file: WheelFile, path: Path) -> list[WheelFile]:
        """A file that is on the volume, if it belongs to this wheel too."""
        if _has_digest(path, file):
            return [file]
        content = read_regular(path, _INIT_BYTES) if _is_init(file.path) else None
        if content is not None and _same_init(file, _content(wheel, file), content):
            digest = hashlib.sha256(content).digest()
            return [file._replace(algorithm="sha256", digest=digest, size=len(content))]
        owner = self._owner(file.path)
        will_do = content is not None and _is_nothing(wheel, file, content)
        if wheel is self._own and _is_module(file.path) and not will_do:
            self._miss(wheel, file, owner, "another one")
        else:
            self.warnings.append(
                f"{file.path} of {_named(wheel)} is not installed: {owner} has installed it in "
                "different content, which stays"
            )
        return []

    def _fits(self, wheel: Wheel, file: WheelFile, found: Path | None) -> bool:
        """Whether a path with ``found`` on the volume is not a file here and a directory there."""
        clash = ""
        if file.path in self._directories:
            clash = f"{file.path} is a directory of {_named(self._directories[file.path])}"
        elif found is not None and found.is_dir() and not found.is_symlink():
            if not self._holds(file.path):
                self._stray(wheel, file, file.path)
                return False
            clash = f"{file.path} is a directory on the volume"
        directory = file.path.rpartition("/")[0]
        while directory and directory not in self._directories and not clash:
            if self._is_stray(directory):
                self._stray(wheel, file, directory)
                return False
            clash = self._file_at(directory)
            self._directories[directory] = wheel
            directory = directory.rpartition("/")[0]
        if clash:
            self.conflicts.append(f"{file.path} of {_named(wheel)}: {clash}")
        return not clash

    def _is_stray(self, directory: str) -> bool:
        """Whether a link, or something of no distribution, is where a directory goes."""
        found = None if directory in self._written else self._find(directory)
        if found is None:
            return False
        return found.is_symlink() or not (found.is_dir() or directory in self._files_of_staying)

    def _holds(self, directory: str) -> bool:
        """Whether a distribution has files in a directory of the volume."""
        return any(path.startswith(f"{directory}/") for path in self._files_of_staying)

    def _file_at(self, path: str) -> str:
        if path in self._written:
            return f"{path} is a file of {_named(self._written[path][0])}"
        found = self._find(path)
        if found is not None and not found.is_dir():
            return f"{path} is a file that {self._owner(path)} has installed"
        return ""

    def _owner(self, path: str) -> str:
        """The owner of a file on the volume, as a message names it."""
        item = self._files_of_staying.get(path)
        if item is None:
            return _NOBODY
        candidate = item.candidate
        by = f" of {candidate.source}" if candidate.source is not None else " of no provider"
        return f"{candidate.name} {candidate.version}{by}"

    @cached_property
    def _files_of_staying(self) -> dict[str, InstalledDistribution]:
        found: dict[str, InstalledDistribution] = {}
        for item in self._staying:
            for path in self._volume.files(item.dist_info):
                found.setdefault(path, item)
        return found


def _named(wheel: Wheel) -> str:
    return f"{wheel.name} {wheel.version}"


def _is_module(path: str) -> bool:
    return path.endswith(_MODULES) and not path.startswith(_ELSEWHERE)


def _is_init(path: str) -> bool:
    return path.endswith("/__init__.py")


def _same_init(file: WheelFile, one: bytes | None, other: bytes | None) -> bool:
    if one is None or other is None or not _is_init(file.path):
        return False
    return same_init_meaning(one, other)


def _is_nothing(wheel: Wheel, file: WheelFile, content: bytes) -> bool:
    """Whether neither ``__init__.py`` defines a name, so that one can replace the other."""
    bundled = _content(wheel, file)
    if bundled is None:
        return False
    return is_empty_init(content) and is_empty_init(bundled)


def _digest(file: WheelFile) -> tuple[str, bytes]:
    return file.algorithm, file.digest


def _content(wheel: Wheel, file: WheelFile) -> bytes | None:
    """A wheel's ``__init__.py``; None for other files, and for a large one."""
    if not _is_init(file.path) or file.member is None or file.size > _INIT_BYTES:
        return None
    descriptor = os.open(wheel.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return b"".join(read_member(wheel.path, descriptor, file.member))
    finally:
        os.close(descriptor)


def _has_digest(path: Path, file: WheelFile) -> bool:
    descriptor = open_regular(path)
    if descriptor is None:
        return False
    with os.fdopen(descriptor, "rb") as stream:
        if os.fstat(descriptor).st_size != file.size:
            return False
        return hashlib.file_digest(stream, file.algorithm).digest() == file.digest
