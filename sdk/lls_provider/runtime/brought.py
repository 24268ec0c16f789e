"""What installed providers bring, as the rule about hidden modules sees it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lls_provider.runtime.hiding import Front, Hidden, ServerModules, hidden
from lls_provider.runtime.regular import read_regular
from lls_provider.runtime.volume import recorded_files

if TYPE_CHECKING:
    from lls_provider.runtime.record import ProviderRecord


Brought = Sequence[tuple["ProviderRecord", Sequence[Front]]]
"""Each installed provider with its distributions."""


def brought_by(records: Iterable[ProviderRecord], packages: Path) -> Brought:
    """What the providers have in the folder ``packages``, as their RECORD files list it."""
    return [(record, list(_fronts(record, packages))) for record in records]


def hidden_by(
    brought: Brought, server: ServerModules, minor: int
) -> Iterator[tuple[ProviderRecord, list[Hidden]]]:
    """What each provider hides of ``server``, if anything."""
    found = list(hidden([front for _, fronts in brought for front in fronts], server, minor))
    for record, fronts in brought:
        own = [it for it in found if it.front in fronts]
        if own:
            yield record, own


def _fronts(record: ProviderRecord, packages: Path) -> Iterator[Front]:
    for package in record.packages:
        paths = recorded_files(packages / package.dist_info)
        yield Front(
            canonicalize_name(package.name),
            package.version,
            paths,
            lambda path: read_regular(packages / path) or b"",
        )
