"""Which versions can live together: the rule of contract decision 1, and nothing but the rule.

It reads no files: installed and new distributions come in, a decision goes out. The installer
asks it on the volume, the author's side before anything is deployed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version


@dataclass(frozen=True, slots=True)
class Source:
    """The provider that a distribution came with.

    ``own`` is the name of the provider's own distribution. ``provided`` is what its build
    assumed the server to have; None when that is not known. ``overrides`` stand in place of
    bounds that are wrong upstream.
    """

    provider: str
    image: str = ""
    own: NormalizedName | None = None
    provided: Mapping[NormalizedName, Version] | None = None
    overrides: Mapping[NormalizedName, Requirement] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"provider '{self.provider}' (image: {self.image})"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A distribution that is installed or comes with the new image.

    ``source`` is None for what somebody else put on the volume; that is never replaced.
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
        """Whether a version satisfies it; pre-releases count, an URL accepts any."""
        return self.requirement.specifier.contains(version, prereleases=True)

    def __str__(self) -> str:
        source = self.requirer.source
        wanted = f"{self.requirement.name}{self.requirement.specifier}"
        if source is None:
            return f"{self.requirer.name} {self.requirer.version} needs {wanted}"
        if self.requirer.is_own:
            return f"{source} needs {wanted}"
        return f"{source} needs {wanted} (by {self.requirer.name} {self.requirer.version})"


@dataclass(frozen=True, slots=True)
class Conflict:
    """A package of which no version at hand satisfies everyone, and who asks for what."""

    name: NormalizedName
    installed: Version | None
    new: Version | None
    provided: Version | None
    demands: tuple[Demand, ...]

    def render(self) -> str:
        """The lines that the layout of contract section 6 takes."""
        return "\n".join([f"{self.name}: {self._state()}", *(f"  {d}" for d in self.demands)])

    def _state(self) -> str:
        if self.installed is not None and self.new is not None:
            return f"{self.installed} is installed, this image brings {self.new}"
        if self.installed is not None:
            return f"{self.installed} is installed, this image brings none"
        if self.new is not None:
            return f"this image brings {self.new}"
        if self.provided is not None:
            return f"the distribution provides {self.provided}, this image brings none"
        return "neither this image nor the distribution provides it"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with the new distributions, or why nothing can be done.

    ``install`` are new names, ``replace`` takes the place of an installed version, ``keep``
    stays out because the installed one (its value) satisfies everyone.
    """

    install: tuple[NormalizedName, ...] = ()
    replace: tuple[NormalizedName, ...] = ()
    keep: Mapping[NormalizedName, Version] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()
    used_overrides: tuple[str, ...] = ()


def decide(
    installed: Sequence[Candidate], new: Sequence[Candidate], markers: Mapping[str, str]
) -> Decision:
    """Keep, replace or fail, as a fixpoint over all distributions (contract decision 1).

    ``markers`` is the environment of the target. It starts with everything installed kept,
    switches to the new version what is not satisfied, and never switches back; what is then
    unsatisfied is the conflict.
    """
    world = _World(installed, new, markers)
    while True:
        demands = world.demands()
        switch = {
            demand.name
            for demand in demands
            if demand.name in world.waiting
            and not demand.accepts(world.chosen[demand.name].version)
        }
        if not switch:
            break
        for name in switch:
            world.chosen[name] = world.waiting.pop(name)
    conflicts = tuple(world.conflicts(demands))
    if conflicts:
        return Decision(conflicts=conflicts)
    old = {candidate.name: candidate for candidate in installed}
    names = sorted({candidate.name for candidate in new})
    return Decision(
        install=tuple(name for name in names if name not in old),
        replace=tuple(
            name for name in names if name in old and world.chosen[name] is not old[name]
        ),
        keep={
            name: old[name].version
            for name in names
            if name in old and world.chosen[name] is old[name]
        },
        used_overrides=tuple(sorted(world.used_overrides)),
    )


class _World:
    """The choice at one moment, and the requirements that follow from it."""

    def __init__(
        self, installed: Sequence[Candidate], new: Sequence[Candidate], markers: Mapping[str, str]
    ) -> None:
        self.old = {candidate.name: candidate for candidate in installed}
        self.new = {candidate.name: candidate for candidate in new}
        self.chosen = {**self.new, **self.old}
        self.waiting = {
            name: candidate
            for name, candidate in self.new.items()
            if name in self.old
            and self.old[name].source is not None
            and self.old[name].version != candidate.version
        }
        self.sources = {
            id(candidate.source): candidate.source
            for candidate in (*installed, *new)
            if candidate.source is not None
        }
        self.used_overrides: set[str] = set()
        self._markers = dict(markers)
        self._holds: dict[tuple[str, str], bool] = {}

    def demands(self) -> list[Demand]:
        """Every requirement that counts now, extras followed as far as they lead."""
        self.used_overrides.clear()
        extras: dict[NormalizedName, set[str]] = defaultdict(lambda: {""})
        found: dict[NormalizedName, list[Demand]] = {}
        waiting = set(self.chosen)
        while waiting:
            for name in sorted(waiting):
                found[name] = list(self._of(self.chosen[name], extras[name]))
            touched = waiting
            waiting = set()
            for name in sorted(touched):
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
            override = overrides.get(name)
            if override is not None:
                self.used_overrides.add(f"{override} (instead of {requirement} of {requirer.name})")
                if not self._counts(override, {""}):
                    continue
                override = _with_extras(override, requirement.extras)
            yield Demand(requirer, name, override or requirement)

    def _counts(self, requirement: Requirement, extras: set[str]) -> bool:
        if requirement.marker is None:
            return True
        text = str(requirement.marker)
        return any(self._marker_holds(requirement, text, extra) for extra in extras)

    def _marker_holds(self, requirement: Requirement, text: str, extra: str) -> bool:
        key = (text, extra if "extra" in text else "")
        if key not in self._holds:
            assert requirement.marker is not None  # noqa: S101 - `text` is its text
            self._holds[key] = requirement.marker.evaluate({**self._markers, "extra": extra})
        return self._holds[key]

    def conflicts(self, demands: Sequence[Demand]) -> Iterator[Conflict]:
        """What is unsatisfied, by name, with everyone who has a say in it."""
        names = {demand.name for demand in demands if not self._satisfied(demand)}
        for name in sorted(names):
            old, new = self.old.get(name), self.new.get(name)
            rejected = [c.version for c in (old, new) if c is not None]
            provided = None if rejected else self._provided(name, demands)
            if provided is not None:
                rejected.append(provided)
            parties = [
                demand
                for demand in demands
                if demand.name == name
                and (not rejected or any(not demand.accepts(version) for version in rejected))
            ]
            yield Conflict(
                name,
                old.version if old is not None else None,
                new.version if new is not None else None,
                provided,
                tuple(parties),
            )

    def _satisfied(self, demand: Demand) -> bool:
        """Whether Python will find what is asked for: in the tree, behind it in the server."""
        source = demand.requirer.source
        found = self.chosen.get(demand.name)
        is_new = demand.requirer is self.new.get(demand.requirer.name)
        if found is not None:
            # what was unsatisfied before, among what stays, is not this provider's doing
            untouched = not is_new and found is self.old.get(demand.name)
            return untouched or demand.accepts(found.version)
        if not is_new or source is None or source.provided is None:
            return True  # not known, or judged when it was installed: no false alarms
        version = source.provided.get(demand.name)
        return version is not None and demand.accepts(version)

    def _provided(self, name: NormalizedName, demands: Sequence[Demand]) -> Version | None:
        for demand in demands:
            source = demand.requirer.source
            if demand.name == name and source is not None and source.provided:
                version = source.provided.get(name)
                if version is not None:
                    return version
        return None


def _with_extras(override: Requirement, extras: set[str]) -> Requirement:
    """An override changes the bound; the extras that were asked for stay."""
    if extras <= override.extras:
        return override
    found = Requirement(str(override))
    found.extras = override.extras | extras
    return found


def parse_overrides(texts: Sequence[str]) -> dict[NormalizedName, Requirement]:
    """The overrides of a manifest by name. Raises InvalidRequirement."""
    found = (Requirement(text) for text in texts)
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def parse_provided(versions: Mapping[str, str]) -> dict[NormalizedName, Version]:
    """The provided versions of a manifest; one that is no version is left out."""
    found = {}
    for name, text in versions.items():
        try:
            found[canonicalize_name(name)] = Version(text)
        except InvalidVersion:
            continue
    return found
