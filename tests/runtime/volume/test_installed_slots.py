from __future__ import annotations

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.volume.installed import ProviderRecord, SlotDecision, decide_slot


def _record(provider_id: str, order: int, bundle: str = "old") -> ProviderRecord:
    return ProviderRecord(
        provider_id, f"image-{provider_id}", f"c-{provider_id}", order, bundle=bundle
    )


A, B, C = _record("a", 0), _record("b", 1), _record("c", 2)


def _decide(
    provider_id: str, order: int | None, *, container: str | None = None, bundle: str = "old"
) -> SlotDecision:
    return decide_slot(
        [A, B, C],
        provider_id=provider_id,
        image="image-new",
        container=container or f"c-{provider_id}",
        order=order,
        bundle=bundle,
    )


def test_a_new_slot_drops_nothing() -> None:
    assert _decide("d", 3) == SlotDecision(3, None, ())


def test_without_an_order_it_is_the_next() -> None:
    assert _decide("d", None).order == 3
    first = decide_slot([], provider_id="a", image="i", container="c", order=None, bundle="b")
    assert first.order == 0


def test_the_same_content_in_the_same_slot_stays() -> None:
    assert _decide("b", 1) == SlotDecision(1, B, ())
    assert _decide("b", None) == SlotDecision(1, B, ())


def test_other_content_drops_this_slot_and_the_later_ones() -> None:
    assert _decide("b", 1, bundle="new") == SlotDecision(1, None, (B, C))


def test_another_provider_in_the_slot_is_other_content() -> None:
    assert _decide("x", 1, container="c-b") == SlotDecision(1, None, (B, C))


@pytest.mark.parametrize(("order", "container"), [(5, None), (1, "c-other"), (5, "c-other")])
def test_an_id_of_another_slot_is_a_duplicate_with_both_images(
    order: int, container: str | None
) -> None:
    with pytest.raises(SdkError) as caught:
        _decide("b", order, container=container)
    assert caught.value.code is Code.PROVIDER_DUPLICATE
    assert "image-b" in caught.value.why
    assert "image-new" in caught.value.why
