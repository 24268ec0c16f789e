"""The adapter against a real service: what is asked for, what comes back, what fails."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from stand_in import KEY, StandIn

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.datasetio import (
    RowsAdapter,
    get_adapter_impl,
)
from {{ cookiecutter.__package }}.service import ServiceError

pytestmark = pytest.mark.skipif(
    not hasattr(api.Api, "datasetio"), reason=f"{api.__name__} has no datasetio API"
)


{% include "datasetio/checks.py" %}
{% include "remote/run.py" %}

def page(stand_in: StandIn, **asked: Any) -> tuple[list[Any], bool]:
    async def work(adapter: RowsAdapter) -> Any:
        await adapter.register_dataset(dataset(type="uri", uri="rows://capitals"))
        return await adapter.iterrows(dataset_id="capitals", **asked)

    found = run(stand_in, work, page=2)
    return found.data, found.has_more


def test_rows_come_in_pages(stand_in: StandIn) -> None:
    stand_in.stored["capitals"] = list(ROWS)

    assert page(stand_in, start_index=0, limit=1) == (ROWS[:1], True)
    assert page(stand_in, start_index=2, limit=2) == (ROWS[2:], False)
    assert page(stand_in, start_index=9, limit=2) == ([], False)


@pytest.mark.parametrize("limit", [None, -1])
def test_all_rows_are_asked_for_page_by_page(stand_in: StandIn, limit: int | None) -> None:
    stand_in.stored["capitals"] = list(ROWS)

    assert page(stand_in, limit=limit) == (ROWS, False)
    assert len(stand_in.requests) == 2


def test_rows_are_appended(stand_in: StandIn) -> None:
    async def work(adapter: RowsAdapter) -> None:
        await adapter.register_dataset(dataset(type="uri", uri="rows://capitals"))
        await adapter.append_rows(dataset_id="capitals", rows=ROWS)

    run(stand_in, work)

    assert stand_in.stored["capitals"][1:] == ROWS


def test_a_failure_of_the_service_is_told(stand_in: StandIn) -> None:
    stand_in.fail_with = 500

    with pytest.raises(ServiceError, match="status 500"):
        page(stand_in)


@pytest.mark.parametrize(
    "source",
    [
        {"type": "uri", "uri": "rows://../admin"},
        {"type": "uri", "uri": "https://elsewhere"},
        {"type": "rows", "rows": ROWS},
    ],
)
def test_a_source_that_is_not_the_services_is_refused(
    stand_in: StandIn, source: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="has to be rows://NAME"):
        run(stand_in, lambda it: it.register_dataset(dataset(**source)))


def test_a_dataset_that_was_forgotten_is_not_there(stand_in: StandIn) -> None:
    async def work(adapter: RowsAdapter) -> None:
        await adapter.register_dataset(dataset(type="uri", uri="rows://capitals"))
        await adapter.unregister_dataset("capitals")
        await adapter.iterrows(dataset_id="capitals")

    with pytest.raises(api.DatasetNotFoundError):
        run(stand_in, work)
