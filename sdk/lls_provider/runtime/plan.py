"""Plan: what an installation will write, decided before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError, Where
from lls_provider.runtime import messages, shadowing
from lls_provider.runtime.assumptions import differences
from lls_provider.runtime.conflict import Candidate, Decision, decide
from lls_provider.runtime.layout import Layout, Standing
from lls_provider.runtime.record import InstalledPackage
from lls_provider.runtime.unpack import folders_of

if TYPE_CHECKING:
    from lls_provider.runtime.conflict import Source
    from lls_provider.runtime.incoming import Incoming
    from lls_provider.runtime.outlook import InstalledDistribution
    from lls_provider.runtime.unpack import Unpacking
    from lls_provider.runtime.wheel import Wheel


_STRAYS = 10  # told one by one


@dataclass(frozen=True, slots=True)
class Plan:
    """The files to write, the distributions to set aside, and what a reader should know."""

    unpackings: tuple[Unpacking, ...] = ()
    packages: tuple[InstalledPackage, ...] = ()
    replaced: tuple[str, ...] = ()  # dist-info folders
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    folders: frozenset[str] = frozenset()  # to write to, relative to python-packages

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
    standing: Standing,
    container: str,
) -> Plan:
    """Decide (contract decision 1) and lay out.

    Raises SdkError DEPENDENCY_CONFLICT with the layout of contract section 6, VOLUME_UNSAFE when
    something that is of no installation stands in the way.
    """
    decision = decision_on(incoming, installed)
    if decision.conflicts:
        details = "\n".join(conflict.render() for conflict in decision.conflicts)
        raise conflict_error(incoming, container, details)
    chosen = {*decision.install, *decision.replace}
    wheels = [wheel for wheel in incoming.wheels if wheel.name in chosen]
    old = {item.candidate.name: item for item in installed}
    replaced = tuple(old[name].dist_info for name in decision.replace)
    layout = Layout(standing, installed, incoming.own, replaced)
    for wheel in sorted(wheels, key=lambda wheel: (wheel.name != incoming.own.name, wheel.name)):
        layout.add(wheel)
    if incoming.own.name not in chosen:
        layout.keep_own()
    if layout.strays:
        raise _strays_error(incoming, tuple(layout.strays.values()))
    if layout.conflicts:
        raise conflict_error(incoming, container, "\n".join(layout.conflicts))
    return Plan(
        unpackings=tuple(layout.unpackings),
        packages=tuple(
            InstalledPackage(wheel.name, str(wheel.version), wheel.dist_info, wheel.filename)
            for wheel in sorted(wheels, key=lambda wheel: wheel.name)
        ),
        replaced=replaced,
        notes=tuple(_notes(decision, incoming, {n: old[n].candidate for n in decision.replace})),
        warnings=(*layout.warnings, *_warnings(incoming, wheels, standing.sources())),
        folders=folders_of(layout.unpackings),
    )


def decision_on(incoming: Incoming, installed: Sequence[InstalledDistribution]) -> Decision:
    """What the rule of contract decision 1 says about an image, for its target."""
    return decide(
        [item.candidate for item in installed],
        incoming.candidates(),
        incoming.target.environments(),
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


def _strays_error(incoming: Incoming, strays: Sequence[str]) -> SdkError:
    more = f"\nand {len(strays) - _STRAYS:,} more" if len(strays) > _STRAYS else ""
    return SdkError(
        Code.VOLUME_UNSAFE,
        f"What stands on the volume is in the way of provider '{incoming.provider_id}'",
        why="\n".join(strays[:_STRAYS]) + more,
        where=Where(provider=incoming.provider_id, image=incoming.image),
        resolution="Find out which container put it into python-packages. Remove it there, or give "
        "the Pod a new volume.",
    )


def _warnings(
    incoming: Incoming, wheels: Sequence[Wheel], installed: Sequence[Source]
) -> Iterator[str]:
    source = incoming.source
    yield from (found.render() for found in differences(source, installed))
    server = shadowing.assumed_modules([*installed, source])
    yield from shadowing.warnings(wheels, incoming.target.minor, server)


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
