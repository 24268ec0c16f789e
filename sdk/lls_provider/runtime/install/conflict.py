"""Which packages can be installed together (contract decision 1), and whose servers differ.

This module reads no files: installed and new distributions come in, a decision goes out. The
installer calls it with what is on the volume, the author's side before anything is deployed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from lls_provider.runtime.wheelfile.wheel import parse_requirement, parse_version

Versions = tuple[Version, ...]
_EXPLAINED = 64  # more conflicts are reported unexplained: each takes a round


@dataclass(frozen=True, slots=True)
class Source:
    """The provider that a distribution came with.

    ``own`` is the name of the provider's own distribution. ``provided`` is what its build
    assumed the server to have, None if unknown; ``distributions`` names that server. A provider
    that was built for several servers assumes each of their versions of a package.
    ``overrides`` replaces bounds that are wrong upstream.
    """

    provider: str
    image: str = ""
    own: NormalizedName | None = None
    provided: Mapping[NormalizedName, Versions] | None = None
    overrides: Mapping[NormalizedName, tuple[Requirement, ...]] = field(default_factory=dict)
    distributions: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"provider '{self.provider}' (image: {self.image})"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A distribution that is installed or comes with the new image.

    ``source`` is None for an unmanaged one on the volume, which is never replaced.
    """

    name: NormalizedName
    version: Version
    requires: tuple[Requirement, ...] = ()
    source: Source | None = None

    @property
    def is_own(self) -> bool:
        """Whether it is the provider itself and not one of its dependencies."""
        return self.source is not None and self.source.own == self.name


@dataclass(frozen=True, slots=True)
class Demand:
    """A requirement that counts: its markers hold and its requirer is chosen."""

    requirer: Candidate
    name: NormalizedName
    requirement: Requirement

    def accepts(self, version: Version) -> bool:
        """Whether a version satisfies it; pre-releases count, a URL accepts any."""
        return self.requirement.specifier.contains(version, prereleases=True)

    @property
    def wanted(self) -> str:
        """The requirement without its marker: ``dep[fast]>=2``."""
        requirement = self.requirement
        extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        end = f" @ {requirement.url}" if requirement.url else str(requirement.specifier)
        return f"{requirement.name}{extras}{end}"

    def __str__(self) -> str:
        source = self.requirer.source
        requirer = f"{self.requirer.name} {self.requirer.version}"
        if source is None:
            return f"{requirer} (of no provider) needs {self.wanted}"
        if self.requirer.is_own:
            return f"{source} needs {self.wanted}"
        return f"{source} needs {self.wanted} (by {requirer})"


@dataclass(frozen=True, slots=True)
class Conflict:
    """A package of which no version available satisfies everyone, and who requires what."""

    name: NormalizedName
    installed: Version | None
    new: Version | None
    provided: Version | None
    demands: tuple[Demand, ...]
    fixed: bool  # the installed one is unmanaged and never replaced

    def render(self) -> str:
        """The lines for the layout of contract section 6."""
        return "\n".join([f"{self.name}: {self._state()}", *(f"  {d}" for d in self.demands)])

    def _state(self) -> str:
        if self.installed is not None:
            brings = self.new if self.new is not None else "none"
            by = " by no provider and stays" if self.fixed else ""
            return f"{self.installed} is installed{by}, this image brings {brings}"
        if self.new is not None:
            return f"this image brings {self.new}"
        if self.provided is not None:
            return f"the distribution provides {self.provided}, this image brings none"
        return "neither this image nor the distribution provides it"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with the new distributions, or why nothing can be done.

    ``install`` are new names, ``replace`` those that replace an installed version, ``keep`` those
    that are not installed because the installed version (the value) satisfies everyone.
    """

    install: tuple[NormalizedName, ...] = ()
    replace: tuple[NormalizedName, ...] = ()
    keep: Mapping[NormalizedName, Version] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()
    used_overrides: tuple[str, ...] = ()


def decide(
    installed: Sequence[Candidate],
    new: Sequence[Candidate],
    environments: Sequence[Mapping[str, str]],
) -> Decision:
    """Keep, replace or fail, as a fixpoint over all distributions (contract decision 1).

    ``environments`` are the possible environments of the target: a requirement counts if its
    marker holds in all of them. It starts with everything installed kept, switches to the
    new version if a requirement is not satisfied, and never switches back. What is then unsatisfied
    is the conflict, reported without what merely follows from other conflicts.
    """
    world = _World(installed, new, environments)
    demands = world.settle()
    if any(not world.is_satisfied(demand) for demand in demands):
        return Decision(conflicts=tuple(world.conflicts(world.roots())))
    old, chosen = world.old, world.chosen
    names = sorted({candidate.name for candidate in new})
    return Decision(
        install=tuple(name for name in names if name not in old),
        replace=tuple(name for name in names if name in old and chosen[name] is not old[name]),
        keep={
            name: old[name].version for name in names if name in old and chosen[name] is old[name]
        },
        used_overrides=tuple(sorted(world.used_overrides)),
    )


def demands_among(
    candidates: Sequence[Candidate], environments: Sequence[Mapping[str, str]]
) -> list[Demand]:
    """Every requirement that counts among ``candidates``, with extras followed."""
    return _World([], candidates, environments).settle()


class _World:
    """All distributions, the choice among them, and the requirements that follow from it."""

    def __init__(
        self,
        installed: Sequence[Candidate],
        new: Sequence[Candidate],
        environments: Sequence[Mapping[str, str]],
    ) -> None:
        self.old = {candidate.name: candidate for candidate in installed}
        self.new = {candidate.name: candidate for candidate in new}
        self.chosen = {**self.new, **self.old}
        self.used_overrides: set[str] = set()
        self._environments = [dict(environment) for environment in environments]
        self._holds: dict[tuple[str, str], bool] = {}

    def settle(self, ignored: Collection[NormalizedName] = ()) -> list[Demand]:
        """Find the fixpoint; returns the requirements that then count, except on ``ignored``."""
        self.chosen = {**self.new, **self.old}
        waiting = {
            name: candidate
            for name, candidate in self.new.items()
            if name in self.old
            and self.old[name].source is not None
            and self.old[name].version != candidate.version
        }
        while True:
            demands = [demand for demand in self._demands() if demand.name not in ignored]
            switch = {
                demand.name
                for demand in demands
                if demand.name in waiting and not demand.accepts(self.chosen[demand.name].version)
            }
            if not switch:
                return demands
            for name in switch:
                self.chosen[name] = waiting.pop(name)

    def is_satisfied(self, demand: Demand) -> bool:
        """Whether Python will find what is requested, in the tree or in the server behind it."""
        found = self.chosen.get(demand.name)
        if found is not None:
            # what was unsatisfied before, among what stays, is not caused by this provider
            return demand.accepts(found.version) or (
                found is self.old.get(demand.name) and self._key(demand) in self._before
            )
        if not self.new or self._key(demand) in self._before:
            return True  # judged when it was installed
        provided = self._provided_for(demand)
        if provided is None:
            return True  # unknown: no false alarms
        versions = provided.get(demand.name, ())
        return bool(versions) and all(map(demand.accepts, versions))

    def roots(self) -> set[NormalizedName]:
        """The smallest set of names that explains the failure.

        A name is a root if it stays in conflict even with every other one solved. A name that is
        not a root follows from one and is left out; names in conflict only together are kept.
        """
        names = self._unsatisfied()
        if len(names) > _EXPLAINED:
            return names
        found: set[NormalizedName] = set()
        while left := self._unsatisfied(found) & names:
            alone = {name for name in left if name in self._unsatisfied((found | left) - {name})}
            found |= alone or left
        return found

    def conflicts(self, names: Collection[NormalizedName]) -> Iterator[Conflict]:
        """The conflicts, by name, with every requirement that rejects an available version."""
        demands = self.settle()
        for name in sorted(names):
            asking = [demand for demand in demands if demand.name == name]
            old, new = self.old.get(name), self.new.get(name)
            versions = [candidate.version for candidate in (old, new) if candidate is not None]
            provided = None if versions else self._found_behind(asking)
            if provided is not None:
                versions.append(provided)
            rejecting = [
                demand
                for demand in asking
                if not versions or any(not demand.accepts(version) for version in versions)
            ]
            yield Conflict(
                name,
                old.version if old is not None else None,
                new.version if new is not None else None,
                provided,
                tuple(rejecting),
                fixed=old is not None and old.source is None,
            )

    def _unsatisfied(self, ignored: Collection[NormalizedName] = ()) -> set[NormalizedName]:
        demands = self.settle(ignored)
        return {demand.name for demand in demands if not self.is_satisfied(demand)}

    @cached_property
    def _before(self) -> set[tuple[NormalizedName, bool, str]]:
        """What counted among the installed alone, without extras that are requested only now."""
        before = _World(list(self.old.values()), [], self._environments)
        return {self._key(demand) for demand in before.settle()}

    def _key(self, demand: Demand) -> tuple[NormalizedName, bool, str]:
        requirer = demand.requirer
        is_new = requirer is self.new.get(requirer.name)
        return requirer.name, is_new, str(demand.requirement)

    def _demands(self) -> list[Demand]:
        """Every requirement that counts now, with extras followed."""
        self.used_overrides.clear()
        extras: dict[NormalizedName, set[str]] = defaultdict(lambda: {""})
        found: dict[NormalizedName, list[Demand]] = {}
        waiting = set(self.chosen)
        while waiting:
            for name in waiting:
                found[name] = list(self._of(self.chosen[name], extras[name]))
            touched, waiting = waiting, set()
            for name in touched:
                for demand in found[name]:
                    wanted = {canonicalize_name(extra) for extra in demand.requirement.extras}
                    if demand.name in self.chosen and not wanted <= extras[demand.name]:
                        extras[demand.name] |= wanted
                        waiting.add(demand.name)
        own = [
            Demand(candidate, candidate.name, Requirement(f"{candidate.name}=={candidate.version}"))
            for candidate in (*self.old.values(), *self.new.values())
            if candidate.is_own
        ]
        return own + [demand for name in sorted(found) for demand in found[name]]

    def _of(self, requirer: Candidate, extras: set[str]) -> Iterator[Demand]:
        overrides = requirer.source.overrides if requirer.source is not None else {}
        for requirement in requirer.requires:
            if not self._counts(requirement, extras):
                continue
            name = canonicalize_name(requirement.name)
            if name not in overrides:
                yield Demand(requirer, name, requirement)
                continue
            for override in overrides[name]:
                used = f"{override} (instead of {requirement} of {requirer.name})"
                self.used_overrides.add(used)
                if self._counts(override, {""}):
                    yield Demand(requirer, name, _with_extras(override, requirement.extras))

    def _counts(self, requirement: Requirement, extras: set[str]) -> bool:
        if requirement.marker is None:
            return True
        text = str(requirement.marker)
        return any(self._marker_holds(requirement, text, extra) for extra in extras)

    def _marker_holds(self, requirement: Requirement, text: str, extra: str) -> bool:
        key = (text, extra if "extra" in text else "")
        if key not in self._holds:
            assert requirement.marker is not None  # noqa: S101 - `text` is its text
            try:
                self._holds[key] = all(
                    requirement.marker.evaluate({**environment, "extra": extra})
                    for environment in self._environments
                )
            except (UndefinedComparison, UndefinedEnvironmentName):
                self._holds[key] = False  # such as ``os_name ~= 'x'``, which holds nowhere
        return self._holds[key]

    def _provided_for(self, demand: Demand) -> Mapping[NormalizedName, Versions] | None:
        """What the build of the new image assumed the server to have; None if unknown."""
        new = self.new.get(demand.requirer.name)
        asking = demand.requirer if demand.requirer is new else next(iter(self.new.values()))
        return asking.source.provided if asking.source is not None else None

    def _found_behind(self, demands: Sequence[Demand]) -> Version | None:
        """The server's version that some requirement rejects, if any."""
        found = [
            version
            for demand in demands
            for version in (self._provided_for(demand) or {}).get(demand.name, ())
        ]
        return next((it for it in found if not all(demand.accepts(it) for demand in demands)), None)


def _with_extras(override: Requirement, extras: set[str]) -> Requirement:
    """An override changes the bound; the extras that were requested stay."""
    if extras <= override.extras:
        return override
    found = Requirement(str(override))
    found.extras = override.extras | extras
    return found


def parse_overrides(texts: Sequence[str]) -> dict[NormalizedName, tuple[Requirement, ...]]:
    """The overrides of a manifest by name; several of one name differ in their markers.

    Raises InvalidRequirement.
    """
    found: dict[NormalizedName, tuple[Requirement, ...]] = {}
    for text in texts:
        requirement = parse_requirement(text)
        name = canonicalize_name(requirement.name)
        found[name] = (*found.get(name, ()), requirement)
    return found


def parse_provided(versions: Mapping[str, str]) -> dict[NormalizedName, Versions]:
    """The provided versions of a manifest; one that is not a version is left out.

    If the servers that an image is for have different versions, they are one text, separated by
    commas.
    """
    found = {}
    for name, text in versions.items():
        try:
            found[canonicalize_name(name)] = tuple(
                parse_version(part.strip()) for part in text.split(",")
            )
        except InvalidVersion:
            continue
    return found


def shown_versions(versions: Versions) -> str:
    """Provided versions as a manifest writes them."""
    return ", ".join(map(str, versions))


_SHOWN = 10  # packages in one warning; there may be a hundred


@dataclass(frozen=True, slots=True)
class ProvidedDifference:
    """Two providers that were built for different servers.

    ``distributions`` are given if they have none in common; ``packages`` are those that both assume
    to be provided, with no version in common.
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
    """How two providers' servers differ; None if nothing says that they do."""
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
    compared: list[Source] = []
    for other in others:
        if any(_same(other, earlier) for earlier in compared):
            continue
        compared.append(other)
        found = provided_difference(other, source)
        if found is not None:
            yield found


def all_provided_differences(sources: Sequence[Source]) -> Iterator[ProvidedDifference]:
    """How the servers that providers were built for differ, each pair of servers once."""
    for number, source in enumerate(sources):
        earlier = sources[:number]
        if not any(_same(source, other) for other in earlier):
            yield from provided_differences(source, earlier)


def _same(one: Source, other: Source) -> bool:
    return one.distributions == other.distributions and one.provided == other.provided
