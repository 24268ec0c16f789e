"""The adapter against a real service: what is stored, what is found, what fails."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from stand_in import KEY, StandIn

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.service import ServiceError
from {{ cookiecutter.__package }}.vector_io import (
    IndexAdapter,
    get_adapter_impl,
)


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn() as running:
        yield running


{% include "vector_io/checks.py" %}

def run(stand_in: StandIn, call: Any) -> Any:
    """Return what ``call`` makes of an adapter with a store of three chunks."""

    async def called() -> Any:
        config = Config.model_validate({"url": stand_in.url, "api_key": KEY})
        adapter: IndexAdapter = await get_adapter_impl(config, {api.Api.inference: Model()})
        try:
            await adapter.register_vector_store(STORE)
            await adapter.insert_chunks(inserting(chunk("aaa"), chunk("bb"), chunk("ab")))
            return await call(adapter)
        finally:
            await adapter.shutdown()

    return asyncio.run(called())


def test_the_nearest_chunks_come_first(stand_in: StandIn) -> None:
    found = run(stand_in, lambda it: it.query_chunks(querying("a", max_chunks=2)))

    assert [it.chunk_id for it in found.chunks] == ["aaa", "ab"]
    assert found.scores == [3, 1]


def test_chunks_that_are_too_far_away_are_left_out(stand_in: StandIn) -> None:
    found = run(stand_in, lambda it: it.query_chunks(querying("a", score_threshold=2)))

    assert [it.chunk_id for it in found.chunks] == ["aaa"]


def test_a_search_names_the_document(stand_in: StandIn) -> None:
    page = run(stand_in, lambda it: it.openai_search_vector_store("notes", searching("bb")))

    assert page.data[0].file_id == "about bb"
    assert page.data[0].content[0].text == "bb"


def test_a_store_is_deleted_in_the_service_even_if_it_is_gone_there(stand_in: StandIn) -> None:
    async def work(adapter: IndexAdapter) -> None:
        assert "notes" in stand_in.stored
        await adapter.openai_delete_vector_store("notes")
        assert "notes" not in stand_in.stored
        await adapter.unregister_vector_store("notes")
        await adapter.openai_retrieve_vector_store("notes")

    with pytest.raises(api.VectorStoreNotFoundError):
        run(stand_in, work)


def test_a_failure_of_the_service_is_told(stand_in: StandIn) -> None:
    async def work(adapter: IndexAdapter) -> None:
        stand_in.fail_with = 500
        await adapter.query_chunks(querying("a"))

    with pytest.raises(ServiceError, match="status 500"):
        run(stand_in, work)
