"""Plan: what an installation will write, decided before anything is written."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError, Where
from lls_provider.runtime import messages
from lls_provider.runtime.conflict import Candidate, Decision, decide
from lls_provider.runtime.record import InstalledPackage
from lls_provider.runtime.unpack import Unpacking
from lls_provider.runtime.wheel import Wheel, WheelFile, record_file

if TYPE_CHECKING:
    from lls_provider.runtime.incoming import Incoming
    from lls_provider.runtime.outlook import InstalledDistribution, Outlook


@dataclass(frozen=True, slots=True)
class Plan:
    """The files to write, the distributions to set aside, and what a reader should know."""

    unpackings: tuple[Unpacking, ...] = ()
    packages: tuple[InstalledPackage, ...] = ()
    replaced: tuple[str, ...] = ()  # dist-info folders
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes to write."""
        return sum(file.size for unpacking in self.unpackings for file in unpacking.files)

    @property
    def file_count(self) -> int:
        """Files to write."""
        return sum(len(unpacking.files) for unpacking in self.unpackings)


def make_plan(
    incoming: Incoming,
    installed: Sequence[InstalledDistribution],
    outlook: Outlook,
    container: str,
) -> Plan:
    """Decide (contract decision 1) and lay out.

    Raises SdkError DEPENDENCY_CONFLICT with the layout of contract section 6.
    """
    decision = decide(
        [item.candidate for item in installed],
        incoming.candidates(),
        incoming.target.environments(),
    )
    if decision.conflicts:
        details = "\n".join(conflict.render() for conflict in decision.conflicts)
        raise conflict_error(incoming, container, details)
    chosen = {*decision.install, *decision.replace}
    wheels = [wheel for wheel in incoming.wheels if wheel.name in chosen]
    old = {item.candidate.name: item for item in installed}
    replaced = tuple(old[name].dist_info for name in decision.replace)
    layout = _Layout(incoming, container, outlook, {p for d in replaced for p in outlook.files(d)})
    for wheel in sorted(wheels, key=lambda wheel: (wheel.name != incoming.own.name, wheel.name)):
        layout.add(wheel)
    return Plan(
        unpackings=tuple(layout.unpackings),
        packages=tuple(
            InstalledPackage(wheel.name, str(wheel.version), wheel.dist_info, wheel.filename)
            for wheel in sorted(wheels, key=lambda wheel: wheel.name)
        ),
        replaced=replaced,
        notes=tuple(_notes(decision, incoming, {n: old[n].candidate for n in decision.replace})),
        warnings=tuple(layout.warnings),
    )


def conflict_error(incoming: Incoming, container: str, details: str) -> SdkError:
    """The error of an installation that cannot be, with its fixed layout."""
    layout = messages.conflict(incoming.provider_id, incoming.image, container, details)
    return SdkError(
        Code.DEPENDENCY_CONFLICT,
        f"Cannot install provider '{incoming.provider_id}' due to dependency conflict",
        why=details,
        where=Where(provider=incoming.provider_id, image=incoming.image),
        resolution=layout.rpartition("Resolution: ")[2],
        layout=layout,
    )


def _notes(decision: Decision, incoming: Incoming, old: dict[str, Candidate]) -> list[str]:
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


class _Layout:
    """Which wheel writes which file, when several want to write the same one.

    The rule: equal content is written once; of different content the installed one stays, then
    the provider's own comes before its dependencies', then the first by distribution name. A
    module of the provider itself that is there with other content is a conflict: the provider
    would run somebody else's code.
    """

    def __init__(
        self, incoming: Incoming, container: str, outlook: Outlook, leaving: Collection[str]
    ) -> None:
        self.unpackings: list[Unpacking] = []
        self.warnings: list[str] = []
        self._incoming = incoming
        self._container = container
        self._outlook = outlook
        self._present = outlook.top_levels()
        self._leaving = leaving
        self._owners: dict[str, tuple[Wheel, WheelFile]] = {}

    def add(self, wheel: Wheel) -> None:
        """Add a wheel's files, less those that others write."""
        files = [file for file in wheel.files if self._is_free(wheel, file)]
        own_record = record_file(wheel.dist_info, wheel.files)
        self.unpackings.append(Unpacking(wheel, (*files, own_record)))

    def _is_free(self, wheel: Wheel, file: WheelFile) -> bool:
        if file.path in self._owners:
            other, written = self._owners[file.path]
            if (written.algorithm, written.digest) != (file.algorithm, file.digest):
                self.warnings.append(
                    f"{file.path} comes with {other.name} and {wheel.name} in different content; "
                    f"that of {other.name} is installed"
                )
            return False
        self._owners[file.path] = (wheel, file)
        if file.path.partition("/")[0] not in self._present or file.path in self._leaving:
            return True
        path = self._outlook.find(file.path)
        if path is None:
            return True
        if not _has_digest(path, file):
            self._differs(wheel, file)
        return False

    def _differs(self, wheel: Wheel, file: WheelFile) -> None:
        is_module = file.path.endswith((".py", ".so")) and not file.path.startswith("bin/")
        if wheel.name == self._incoming.own.name and is_module:
            details = (
                f"{file.path}: a different file of this name is installed\n"
                f"  provider '{self._incoming.provider_id}' (image: {self._incoming.image}) "
                f"brings its own in {wheel.filename}"
            )
            raise conflict_error(self._incoming, self._container, details)
        self.warnings.append(
            f"{file.path} of {wheel.name} is installed already in different content, which stays"
        )


def _has_digest(path: Path, file: WheelFile) -> bool:
    try:
        if path.stat().st_size != file.size:
            return False
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, file.algorithm).digest() == file.digest
    except OSError:
        return False
