"""What images assume of the server that they do not bring; whether they assume the same one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lls_provider.runtime.conflict import shown_versions

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from lls_provider.runtime.conflict import Source, Versions

_SHOWN = 10  # packages in one warning; there may be a hundred


@dataclass(frozen=True, slots=True)
class Difference:
    """Two providers that were built for different servers.

    ``distributions`` is told where they have none in common, ``packages`` are those that both
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


def difference(first: Source, second: Source) -> Difference | None:
    """How two providers' servers differ; None where nothing tells that they do."""
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
    return Difference(first, second, named if apart else None, packages)


def differences(source: Source, others: Sequence[Source]) -> Iterator[Difference]:
    """How a provider's server differs from each of the servers that others were built for."""
    told: list[Source] = []
    for other in others:
        if any(_same(other, before) for before in told):
            continue
        told.append(other)
        found = difference(other, source)
        if found is not None:
            yield found


def all_differences(sources: Sequence[Source]) -> Iterator[Difference]:
    """How the servers that providers were built for differ, each pair of servers once."""
    for number, source in enumerate(sources):
        before = sources[:number]
        if not any(_same(source, other) for other in before):
            yield from differences(source, before)


def _same(one: Source, other: Source) -> bool:
    return one.distributions == other.distributions and one.provided == other.provided
