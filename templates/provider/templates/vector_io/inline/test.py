import asyncio
from typing import Any

import pytest

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.vector_io import (
    MemoryIndex,
    cosine,
    get_provider_impl,
)


{% include "vector_io/checks.py" %}

async def made(**config: Any) -> MemoryIndex:
    index: MemoryIndex = await get_provider_impl(
        Config.model_validate(config), {api.Api.inference: Model()}
    )
    await index.register_vector_store(STORE)
    return index


async def filled() -> MemoryIndex:
    index = await made()
    await index.insert_chunks(inserting(chunk("aaa"), chunk("bb"), chunk("ab")))
    return index


def test_the_nearest_chunks_come_first() -> None:
    async def query() -> Any:
        return await (await filled()).query_chunks(querying("a", max_chunks=2))

    found = asyncio.run(query())

    assert [it.chunk_id for it in found.chunks] == ["aaa", "ab"]
    assert found.scores == [pytest.approx(1), pytest.approx(0.5**0.5)]


def test_chunks_that_are_too_far_away_are_left_out() -> None:
    async def query() -> Any:
        return await (await filled()).query_chunks(querying("a", score_threshold=0.9))

    assert [it.chunk_id for it in asyncio.run(query()).chunks] == ["aaa"]


def test_a_chunk_replaces_the_one_with_its_id() -> None:
    async def query() -> Any:
        index = await filled()
        await index.insert_chunks(inserting(chunk("aaa", [0.0, 0.0, 1.0])))
        return await index.query_chunks(querying("c", max_chunks=1))

    assert [it.chunk_id for it in asyncio.run(query()).chunks] == ["aaa"]


def test_a_search_names_the_document() -> None:
    async def search() -> Any:
        return await (await filled()).openai_search_vector_store("notes", searching("bb"))

    page = asyncio.run(search())

    assert page.data[0].file_id == "about bb"
    assert page.data[0].content[0].text == "bb"


def test_chunks_of_another_size_are_refused() -> None:
    async def insert() -> None:
        await (await made()).insert_chunks(inserting(chunk("a", [1.0])))

    with pytest.raises(ValueError, match="chunk a does not have 3 numbers"):
        asyncio.run(insert())


def test_memory_has_an_end() -> None:
    async def insert() -> Any:
        index = await made(max_chunks=1)
        await index.insert_chunks(inserting(chunk("a")))
        assert (await index.health())["status"] == api.HealthStatus.ERROR
        await index.insert_chunks(inserting(chunk("a")))  # the same again
        await index.insert_chunks(inserting(chunk("b")))

    with pytest.raises(ValueError, match="no room for more than 1 chunks"):
        asyncio.run(insert())


def test_a_store_is_described_changed_and_deleted() -> None:
    async def work() -> None:
        index = await made()
        asked = api.OpenAICreateVectorStoreRequestWithExtraBody.model_validate(
            {"name": "Notes", "provider_vector_store_id": "notes"}
        )
        assert (await index.openai_create_vector_store(asked)).name == "Notes"
        change = api.OpenAIUpdateVectorStoreRequest(name="Other")
        await index.openai_update_vector_store("notes", change)
        (listed,) = (await index.openai_list_vector_stores()).data
        assert listed.name == "Other"
        assert (await index.openai_delete_vector_store("notes")).deleted
        await index.openai_retrieve_vector_store("notes")

    with pytest.raises(api.VectorStoreNotFoundError):
        asyncio.run(work())


def test_files_are_refused() -> None:
    async def attach() -> None:
        request = api.OpenAIAttachFileRequest(file_id="f")
        await (await made()).openai_attach_file_to_vector_store("notes", request)

    with pytest.raises(NotImplementedError, match="files are not implemented"):
        asyncio.run(attach())


def test_a_vector_without_length_is_like_no_other() -> None:
    assert cosine([0.0, 0.0], [1.0, 0.0]) == 0.0
