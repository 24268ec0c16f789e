"""The slot of a provider, (init container name, order), and what a run in it means (decision 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError, Where

if TYPE_CHECKING:
    from lls_provider.runtime.record import ProviderRecord


@dataclass(frozen=True, slots=True)
class SlotDecision:
    """Where a provider goes. ``same`` is its record when its packages stay as they are.

    ``forget`` are the providers that must go first: the one that stood in the slot with other
    content, and all of later slots, which run again after this one.
    """

    order: int
    same: ProviderRecord | None
    forget: tuple[ProviderRecord, ...]


def decide_slot(
    records: Sequence[ProviderRecord],
    *,
    provider_id: str,
    image: str,
    container: str,
    order: int | None,
    bundle: str,
) -> SlotDecision:
    """Compare the volume's records with what is to be installed.

    An ``order`` that was not told is that of the container's earlier run, else the next one.
    Raises SdkError PROVIDER_DUPLICATE when the ID stands in another slot.
    """
    before = next(
        (r for r in records if r.container == container and order in (None, r.order)), None
    )
    duplicate = next((r for r in records if r.provider_id == provider_id and r is not before), None)
    if duplicate is not None:
        raise _duplicate(duplicate, image, container)
    if before is None:
        next_order = max((record.order for record in records), default=-1) + 1
        return SlotDecision(next_order if order is None else order, None, ())
    if before.provider_id == provider_id and before.bundle == bundle:
        return SlotDecision(before.order, before, ())
    later = tuple(record for record in records if record.order > before.order)
    return SlotDecision(before.order, None, (before, *later))


def _duplicate(found: ProviderRecord, image: str, container: str) -> SdkError:
    return SdkError(
        Code.PROVIDER_DUPLICATE,
        f"Provider '{found.provider_id}' is installed twice",
        why=(
            f"It was installed from image {found.image} by init container {found.container} "
            f"(order {found.order}),\nand is to be installed from image {image} "
            f"by init container {container}."
        ),
        where=Where(provider=found.provider_id, image=image),
        resolution="Give each provider of the CR a providerId of its own.",
    )
