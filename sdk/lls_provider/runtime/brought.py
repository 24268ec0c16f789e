"""What installed providers bring, as the rule about hidden modules sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lls_provider.runtime.hiding import Front, Hidden, ServerModules, hidden
from lls_provider.runtime.regular import read_regular
from lls_provider.runtime.volume import recorded_files

if TYPE_CHECKING:
    from lls_provider.runtime.record import ProviderRecord


def hidden_by(
    records: Sequence[ProviderRecord], packages: Path, server: ServerModules, minor: int
) -> Iterator[tuple[ProviderRecord, list[Hidden]]]:
    """What each provider's packages in the folder ``packages`` hide of ``server``, if anything."""
    brought = {record.provider_id: list(_fronts(record, packages)) for record in records}
    fronts = [front for found in brought.values() for front in found]
    found = list(hidden(fronts, server, minor))
    for record in records:
        own = [it for it in found if it.front in brought[record.provider_id]]
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
