"""Whether a bundle's wheels have all they need: each other, and what the server provides.

It is the installer's rule (`runtime.conflict`) on an empty volume, so that build, check and
init container cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from packaging.utils import NormalizedName
from packaging.version import Version

from lls_provider.runtime.conflict import (
    Candidate,
    Conflict,
    Source,
    decide,
    demands_among,
    parse_overrides,
    parse_provided,
)

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from lls_provider.runtime.target import TargetPython
    from lls_provider.runtime.wheel import Wheel

_ASKING = NormalizedName("-")  # no distribution is named so


def unsatisfied(
    wheels: Sequence[Wheel],
    *,
    own: NormalizedName | None,
    target: TargetPython,
    provided: Mapping[str, str],
    overrides: Sequence[str],
    asked: Requirement | None = None,
) -> tuple[Conflict, ...]:
    """The packages that the wheels need and that nobody has in a version that does.

    ``asked`` is what was asked for, with its extras. Raises InvalidRequirement for an override
    that is none.
    """
    candidates = _candidates(wheels, own, provided, overrides)
    if asked is not None:
        source = _source(own, provided, overrides)
        candidates.append(Candidate(_ASKING, Version("0"), (asked,), source))
    return decide([], candidates, target.environments()).conflicts


def needed_by_each(
    wheels: Sequence[Wheel],
    *,
    own: NormalizedName,
    target: TargetPython,
    provided: Mapping[str, str],
    overrides: Sequence[str],
) -> dict[NormalizedName, set[NormalizedName]]:
    """What each package asks for on the target, whoever has it, by name."""
    found: dict[NormalizedName, set[NormalizedName]] = {wheel.name: set() for wheel in wheels}
    candidates = _candidates(wheels, own, provided, overrides)
    for demand in demands_among(candidates, target.environments()):
        if demand.name != demand.requirer.name:
            found[demand.requirer.name].add(demand.name)
    return found


def _candidates(
    wheels: Sequence[Wheel],
    own: NormalizedName | None,
    provided: Mapping[str, str],
    overrides: Sequence[str],
) -> list[Candidate]:
    source = _source(own, provided, overrides)
    return [Candidate(it.name, it.version, it.requires, source) for it in wheels]


def _source(
    own: NormalizedName | None, provided: Mapping[str, str], overrides: Sequence[str]
) -> Source:
    return Source(
        provider="this bundle",
        own=own,
        provided=parse_provided(provided),
        overrides=parse_overrides(overrides),
    )


def described(conflict: Conflict, provided: Mapping[str, str]) -> str:
    """What is missing or wrong, and who needs it, in one line."""
    wanted = "; ".join(
        f"{demand.requirer.name} {demand.requirer.version} needs {demand.requirement}"
        for demand in conflict.demands
    )
    if conflict.new is not None:
        state = f"the bundle has {conflict.new}"
    elif conflict.provided is not None:
        state = f"the distribution is assumed to provide {conflict.provided}"
    else:
        state = "not in the bundle" + (" nor assumed to be provided" if provided else "")
    return f"{conflict.name}: {state}, but {wanted}"
