"""Contract decision 1 written again, naively, over versions that are small numbers.

It shares nothing with the rule that it is compared with: no specifiers and no markers are
evaluated. What each requirement accepts is a set of numbers; its text is made for the rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from lls_provider.runtime.install.conflict import Candidate, Source, parse_overrides

VERSIONS = frozenset({1, 2, 3})


@dataclass(frozen=True)
class Need:
    """A requirement: on ``name`` in one of ``allowed``, with ``extras``.

    It is there only for who requires the extra ``guard``, if there is one; where ``holds`` is
    false its marker is for another platform.
    """

    name: str
    allowed: frozenset[int]
    extras: frozenset[str] = frozenset()
    guard: str = ""
    holds: bool | None = None

    def text(self) -> str:
        markers = [f"extra == '{self.guard}'"] if self.guard else []
        if self.holds is not None:
            markers.append(f"sys_platform == '{'linux' if self.holds else 'win32'}'")
        end = f"; {' and '.join(markers)}" if markers else ""
        return wanted(self.name, self.allowed, self.extras) + end


def wanted(name: str, allowed: Iterable[int], extras: Iterable[str]) -> str:
    bounds = ",".join(f"!={it}" for it in sorted(VERSIONS - set(allowed)))
    asked = f"[{','.join(sorted(extras))}]" if extras else ""
    return f"{name}{asked}{bounds}"


@dataclass(frozen=True)
class Image:
    """A provider's image: its own distribution, and what its build assumed and overrode."""

    provider: str
    own: str
    provided: Mapping[str, frozenset[int]] | None = None
    overrides: Mapping[str, frozenset[int]] = field(default_factory=dict)

    def source(self) -> Source:
        return Source(
            self.provider,
            own=canonicalize_name(self.own),
            provided=None
            if self.provided is None
            else {
                canonicalize_name(name): tuple(Version(str(it)) for it in sorted(versions))
                for name, versions in self.provided.items()
            },
            overrides=parse_overrides([wanted(*it, ()) for it in self.overrides.items()]),
        )


@dataclass(frozen=True)
class Package:
    """A distribution; of no image: a stranger's."""

    name: str
    version: int
    needs: tuple[Need, ...] = ()
    image: Image | None = None

    def candidate(self, sources: Mapping[str, Source]) -> Candidate:
        return Candidate(
            canonicalize_name(self.name),
            Version(str(self.version)),
            tuple(Requirement(it.text()) for it in self.needs),
            sources[self.image.provider] if self.image else None,
        )


@dataclass(frozen=True)
class Ask:
    """A need that counts, with its override applied; ``age`` is whether the requirer is new."""

    requirer: str
    age: str
    name: str
    allowed: frozenset[int]
    text: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.requirer, self.age, self.text


class Oracle:
    """What becomes of ``new`` beside ``old``."""

    def __init__(self, old: Sequence[Package], new: Sequence[Package]) -> None:
        self.old = {it.name: it for it in old}
        self.new = {it.name: it for it in new}

    def asks(self, chosen: Mapping[str, Package]) -> list[Ask]:
        """All that counts: extras are requested until nothing is added."""
        extras: dict[str, set[str]] = {name: set() for name in chosen}
        while True:
            found: list[Ask] = []
            before = {name: set(asked) for name, asked in extras.items()}
            for package in chosen.values():
                for need in package.needs:
                    if need.holds is False or need.guard not in {"", *extras[package.name]}:
                        continue
                    override = package.image.overrides.get(need.name) if package.image else None
                    allowed = need.allowed if override is None else override
                    text = (
                        need.text() if override is None else wanted(need.name, allowed, need.extras)
                    )
                    found.append(Ask(package.name, self._age(package), need.name, allowed, text))
                    if need.name in chosen:
                        extras[need.name] |= need.extras
            if extras == before:
                break
        for package in (*self.old.values(), *self.new.values()):
            if package.image is not None and package.image.own == package.name:
                only = frozenset({package.version})
                found.append(
                    Ask(package.name, self._age(package), package.name, only, "its own version")
                )
        return found

    def _age(self, package: Package) -> str:
        return "new" if package is self.new.get(package.name) else "old"

    def choose(self, ignored: Iterable[str] = ()) -> dict[str, Package]:
        """All kept; then what is not satisfied is switched, in rounds, and never back."""
        chosen = {**self.new, **self.old}
        while True:
            switch = {
                ask.name
                for ask in self.asks(chosen)
                if ask.name not in ignored
                and ask.name in self.old
                and ask.name in self.new
                and chosen[ask.name] is self.old[ask.name]
                and self.old[ask.name].image is not None
                and self.old[ask.name].version != self.new[ask.name].version
                and self.old[ask.name].version not in ask.allowed
            }
            if not switch:
                return chosen
            chosen |= {name: self.new[name] for name in switch}

    def unsatisfied(self, chosen: Mapping[str, Package]) -> set[str]:
        alone = Oracle(list(self.old.values()), [])
        before = {ask.key for ask in alone.asks(self.old)}
        return {ask.name for ask in self.asks(chosen) if not self._is_met(ask, chosen, before)}

    def _is_met(
        self, ask: Ask, chosen: Mapping[str, Package], before: set[tuple[str, str, str]]
    ) -> bool:
        found = chosen.get(ask.name)
        excused = ask.key in before
        if found is not None:
            return found.version in ask.allowed or (excused and found is self.old.get(ask.name))
        if excused:
            return True
        asking = self.new[ask.requirer] if ask.age == "new" else next(iter(self.new.values()))
        provided = asking.image.provided if asking.image else None
        if provided is None:
            return True
        versions = provided.get(ask.name, frozenset())
        return bool(versions) and versions <= ask.allowed

    def rejected(self, ignored: Iterable[str] = ()) -> set[str]:
        """The names in conflict when no one requires ``ignored``."""
        chosen = self.choose(ignored)
        return self.unsatisfied(chosen) - set(ignored)
