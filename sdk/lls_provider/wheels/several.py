"""Several distributions at once: one image for all of them (contract decision 3)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from packaging.version import Version

from lls_provider.errors import Code, SdkError
from lls_provider.progress import SILENT, Progress
from lls_provider.wheels.distribution import ENVIRONMENT_PREFIX, Distribution
from lls_provider.wheels.interpreter import OLDEST
from lls_provider.wheels.loading import load_distribution

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter


class Loader(Protocol):
    """Makes distributions of their names; one that also reads images lies above this room."""

    def __call__(
        self,
        named: Sequence[str | Distribution],
        /,
        *,
        python: str | None = None,
        at_least: tuple[int, int] = OLDEST,
        progress: Progress = SILENT,
    ) -> tuple[Distribution, ...]:
        """As `load_distributions`."""
        ...


def load_distributions(
    named: Sequence[str | Distribution],
    *,
    python: str | None = None,
    at_least: tuple[int, int] = OLDEST,
    known: Callable[[str], Mapping[str, str] | None] = lambda _spec: None,
    progress: Progress = SILENT,
) -> tuple[Distribution, ...]:
    """The distributions that were named, each once, all on one minor version of Python.

    Where they choose different ones, all get the newest; a version ``at_least``, where ``python``
    does not name one. ``known`` has the pins of what need not be resolved. Raises SdkError USAGE
    when they cannot have the same, and what `load_distribution` raises.
    """
    found: dict[str, Distribution] = {}
    for item in named:
        if isinstance(item, str):
            if item not in found:
                found[item] = load_distribution(
                    item,
                    python=python,
                    at_least=at_least,
                    known=known(item),
                    progress=progress,
                )
        else:
            found[item.label] = item
    newest = max((it.interpreter.minor for it in found.values()), default=(3, 0))
    for spec, server in found.items():
        chosen = spec in named and not spec.startswith(ENVIRONMENT_PREFIX)  # by us, so not fixed
        if chosen and server.interpreter.minor != newest:
            version = ".".join(map(str, newest))
            found[spec] = load_distribution(
                spec, python=version, known=known(spec), progress=progress
            )
    servers = tuple(found.values())
    if len({it.interpreter.minor for it in servers}) > 1:
        raise SdkError(
            Code.USAGE,
            "The distributions run on different Pythons",
            why="\n".join(f"{it.label}: {it.interpreter}" for it in servers),
            resolution="Build one image for each Python, or choose one with --python that all "
            "of them run on.",
        )
    return servers


def shared_versions(servers: Sequence[Distribution]) -> dict[str, tuple[str, ...]]:
    """What every distribution has: by name its versions, each once, lowest first."""
    names = set.intersection(*(set(server.pins) for server in servers)) if servers else set()
    return {
        name: tuple(sorted({server.pins[name] for server in servers}, key=Version))
        for name in sorted(names)
    }


def agreed_versions(servers: Sequence[Distribution], names: Collection[str]) -> dict[str, str]:
    """The version of each name that all distributions which have it agree on."""
    found = {
        name: {server.pins[name] for server in servers if name in server.pins} for name in names
    }
    return {name: min(versions) for name, versions in found.items() if len(versions) == 1}


def joined(versions: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Versions by name as a manifest writes them."""
    return {name: ", ".join(found) for name, found in versions.items()}


def interpreter_of(servers: Sequence[Distribution]) -> Interpreter | None:
    """The Python that the distributions run on; None without one."""
    return servers[0].interpreter if servers else None
