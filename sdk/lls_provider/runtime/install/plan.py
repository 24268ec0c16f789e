"""Plans an installation: what it will write, decided before anything is written.

Two images that assume different packages of the server cannot be installed together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError, Where
from lls_provider.runtime import messages
from lls_provider.runtime.install import shadowing
from lls_provider.runtime.install.conflict import Candidate, Decision, decide, shown_versions
from lls_provider.runtime.install.file_plan import FilePlan, InstalledFiles
from lls_provider.runtime.volume.installed import InstalledPackage
from lls_provider.runtime.wheelfile.unpack import folders_of

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from lls_provider.runtime.install.conflict import Source, Versions
    from lls_provider.runtime.install.provider_image import ProviderImage
    from lls_provider.runtime.volume.reconcile import InstalledDistribution
    from lls_provider.runtime.wheelfile.unpack import Unpacking
    from lls_provider.runtime.wheelfile.wheel import Wheel


_SHOWN = 10  # packages in one warning; there may be a hundred


@dataclass(frozen=True, slots=True)
class ProvidedDifference:
    """Two providers that were built for different servers.

    ``distributions`` is reported where they have none in common, ``packages`` are those that both
    assume, with no version in common.
    """

    first: Source
    second: Source
    distributions: tuple[str, str] | None
    packages: tuple[tuple[NormalizedName, Versions, Versions], ...]

    def render(self) -> str:
        """A warning of several lines."""
        lines = [f"{self.first} and {self.second} were built for different servers"]
        if self.distributions is not None:
            lines.append(f"  distribution: {self.distributions[0]} and {self.distributions[1]}")
        lines += [
            f"  {name}: {shown_versions(one)} and {shown_versions(two)}"
            for name, one, two in self.packages[:_SHOWN]
        ]
        if len(self.packages) > _SHOWN:
            lines.append(f"  and {len(self.packages) - _SHOWN} more")
        return "\n".join(lines)

    def to_document(self) -> dict[str, object]:
        """The difference as plain data."""
        return {
            "providers": [self.first.provider, self.second.provider],
            "images": [self.first.image, self.second.image],
            "distributions": list(self.distributions) if self.distributions else None,
            "packages": [
                {"package": name, "provided": [shown_versions(one), shown_versions(two)]}
                for name, one, two in self.packages
            ],
        }


def provided_difference(first: Source, second: Source) -> ProvidedDifference | None:
    """How two providers' servers differ; None where nothing says that they do."""
    one, two = first.provided or {}, second.provided or {}
    packages = tuple(
        (name, one[name], two[name])
        for name in sorted(one.keys() & two.keys())
        if not {*one[name]} & {*two[name]}
    )
    apart = (
        first.distributions
        and second.distributions
        and not {*first.distributions} & {*second.distributions}
    )
    if not packages and not apart:
        return None
    named = (", ".join(first.distributions), ", ".join(second.distributions))
    return ProvidedDifference(first, second, named if apart else None, packages)


def provided_differences(source: Source, others: Sequence[Source]) -> Iterator[ProvidedDifference]:
    """How a provider's server differs from each of the servers that others were built for."""
    told: list[Source] = []
    for other in others:
        if any(_same(other, before) for before in told):
            continue
        told.append(other)
        found = provided_difference(other, source)
        if found is not None:
            yield found


def all_provided_differences(sources: Sequence[Source]) -> Iterator[ProvidedDifference]:
    """How the servers that providers were built for differ, each pair of servers once."""
    for number, source in enumerate(sources):
        before = sources[:number]
        if not any(_same(source, other) for other in before):
            yield from provided_differences(source, before)


def _same(one: Source, other: Source) -> bool:
    return one.distributions == other.distributions and one.provided == other.provided


_STRAYS = 10  # reported one by one


@dataclass(frozen=True, slots=True)
class Plan:
    """The files to write, the distributions to set aside, and what a reader should know."""

    unpackings: tuple[Unpacking, ...] = ()
    packages: tuple[InstalledPackage, ...] = ()
    replaced: tuple[str, ...] = ()  # dist-info directories
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
    incoming: ProviderImage,
    installed: Sequence[InstalledDistribution],
    standing: InstalledFiles,
    container: str,
) -> Plan:
    """Decide (contract decision 1) and lay out.

    Raises SdkError DEPENDENCY_CONFLICT with the layout of contract section 6, VOLUME_UNSAFE when
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
    layout = FilePlan(standing, installed, incoming.own, replaced)
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


def decision_on(incoming: ProviderImage, installed: Sequence[InstalledDistribution]) -> Decision:
    """What the rule of contract decision 1 says about an image, for its target."""
    return decide(
        [item.candidate for item in installed],
        incoming.candidates(),
        incoming.target.environments(),
    )


def conflict_error(incoming: ProviderImage, container: str, details: str) -> SdkError:
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
