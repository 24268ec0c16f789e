"""What can be done when a provider does not resolve beside a server: each way is tried.

An author who reads "--override" needs to know whether it would help here and what it costs.
Resolving once more takes a fraction of a second, because uv has the metadata by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.version import Version

from lls_provider.errors import Code, SdkError
from lls_provider.wheels.resolve import provided_in
from lls_provider.wheels.servers import LINES
from lls_provider.wheels.several import shared_versions

if TYPE_CHECKING:
    from lls_provider.wheels.closure import Closure
    from lls_provider.wheels.distribution import Distribution

_SERVERS = frozenset(line.name for line in LINES)
_FIRST = "Change the requirement that the explanation names in the provider's dependencies"


@dataclass(frozen=True, slots=True)
class Change:
    """A build that differs in what its options would make of it."""

    overrides: tuple[str, ...] = ()
    bundle: frozenset[str] = frozenset()
    servers: tuple[Distribution, ...] | None = None  # instead of those that were named


Attempt = Callable[[Change], Sequence["Closure"]]
"""Resolves beside each server with a change; raises SdkError RESOLUTION_FAILED."""


def tell_ways_out(
    error: SdkError,
    servers: Sequence[Distribution],
    attempt: Attempt,
    alternatives: Sequence[Distribution] = (),
) -> None:
    """Write into a RESOLUTION_FAILED which ways out apply, each with its consequence.

    ``alternatives`` are distributions that could be built for instead.
    """
    versions = shared_versions(servers)
    named = [name for name in provided_in(error.why, versions) if name not in _SERVERS]
    applying: list[str] = []
    tried: list[str] = []
    for way in (
        *_groups(named, lambda names: _override(names, versions, attempt)),
        *_groups(named, lambda names: _bundle(names, versions, attempt)),
        *(_other(server, servers, attempt) for server in alternatives),
    ):
        option, consequence = way
        if consequence is None:
            tried.append(option)
        else:
            applying.append(f"  {option}: {consequence}")
    lines = [f"{_FIRST}, or build with" if applying else f"{_FIRST}."]
    lines += applying
    if tried:
        lines.append(f"These do not help: {'; '.join(tried)}.")
    if not named:
        lines.append(
            "It is not about what the server provides, so --bundle does not apply; when a bound is "
            "wrong upstream, --override 'NAME==VERSION' replaces it everywhere in the image, which "
            "records it."
        )
    error.resolution = "\n".join(lines)


_Way = tuple[str, str | None]  # the option, and its consequence where it helps


def _groups(names: Sequence[str], way: Callable[[Sequence[str]], _Way]) -> Iterator[_Way]:
    """The way for each name alone; when none helps, for all of them together."""
    alone = [way([name]) for name in names]
    yield from alone
    if len(names) > 1 and all(consequence is None for _, consequence in alone):
        yield way(names)


def _override(names: Sequence[str], versions: dict[str, tuple[str, ...]], attempt: Attempt) -> _Way:
    texts = tuple(
        f"{name}=={found[0]}" if len(found) == 1 else f"{name}>={min(found, key=Version)}"
        for name, found in ((name, versions[name]) for name in names)
    )
    option = " ".join(f"--override '{text}'" for text in texts)
    if _closures(attempt, Change(overrides=texts)) is None:
        return option, None
    return option, (
        f"every bound on {_and(names)} is replaced and the image records it; what set the bound "
        "runs with a version that it does not claim to support."
    )


def _bundle(names: Sequence[str], versions: dict[str, tuple[str, ...]], attempt: Attempt) -> _Way:
    option = " ".join(f"--bundle {name}" for name in names)
    closures = _closures(attempt, Change(bundle=frozenset(names)))
    if closures is None:
        return option, None
    brought = {it.name: it.version for it in closures[0].packages if it.name in names}
    told = ", ".join(f"{name} {version}" for name, version in sorted(brought.items()))
    behind = ", ".join(" and ".join(versions[name]) for name in sorted(brought))
    return option, (
        f"{told} goes into the image and stands in front of the server's {behind}, for the "
        "server itself and for other providers too."
    )


def _other(server: Distribution, servers: Sequence[Distribution], attempt: Attempt) -> _Way:
    option = f"--distribution {server.label}"
    if _closures(attempt, Change(servers=(server,))) is None:
        return option, None
    return option, f"the image is then for that server and not for {_labels(servers)}."


def _closures(attempt: Attempt, change: Change) -> Sequence[Closure] | None:
    try:
        return attempt(change)
    except SdkError as error:
        if error.code not in (Code.RESOLUTION_FAILED, Code.WHEEL_INCOMPATIBLE):
            raise
        return None


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)


def _labels(servers: Sequence[Distribution]) -> str:
    return _and([server.label for server in servers])
