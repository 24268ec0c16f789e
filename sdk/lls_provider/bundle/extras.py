"""Which extra of a package brings a module that is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lls_provider.bundle import declared

if TYPE_CHECKING:
    from lls_provider.runtime.wheel import Wheel


def extras_that_bring(own: Wheel, module: str) -> list[tuple[str, str]]:
    """The extras of a wheel that ask for a package of a module's name, each with what it asks.

    Those that ask for just that name come first, of these the ones that ask for least: ``dev`` and
    ``all`` bring much else. An extra that names another of the same package brings what that one
    does.
    """
    name = canonicalize_name(module.partition(".")[0])
    found = []
    for extra in declared.declared_extras(own.path):
        asked = _asked_by(own, extra, frozenset())
        near = [it for it in asked if name in canonicalize_name(it.name)]
        if near:
            nearest = min(near, key=lambda it: canonicalize_name(it.name) != name)
            found.append((canonicalize_name(nearest.name) != name, len(asked), extra, nearest))
    # sorting keeps the order of those that are alike
    return [(it[2], _unmarked(it[3])) for it in sorted(found, key=lambda it: it[:2])]


def _asked_by(own: Wheel, extra: str, seen: frozenset[str]) -> list[Requirement]:
    """All that an extra asks for, with what it asks by way of other extras of the package."""
    asked: list[Requirement] = []
    for it in own.requires:
        if not _is_of_extra(it, extra):
            continue
        if canonicalize_name(it.name) == own.name:
            for other in sorted(it.extras - seen - {extra}):
                asked += _asked_by(own, other, seen | {extra})
        else:
            asked.append(it)
    return asked


def _unmarked(requirement: Requirement) -> str:
    asked = Requirement(str(requirement))
    asked.marker = None
    return str(asked)


def _is_of_extra(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return (
        marker is not None
        and marker.evaluate({"extra": extra})
        and not marker.evaluate({"extra": ""})
    )
