import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from sqlite_vec_store._server import api
from sqlite_vec_store.config import StoreConfig
from sqlite_vec_store.vector_io import SqliteVecStore, get_provider_impl


class Letters:
    """An inference API whose embeddings count the letters a and e."""

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent

    async def openai_embeddings(self, params: Any) -> Any:
        assert params.model == "letters"
        if self.silent:
            await asyncio.sleep(60)
        (text,) = params.input
        return SimpleNamespace(data=[SimpleNamespace(embedding=vector(text))])


def vector(text: str) -> list[float]:
    return [float(text.count("a")), float(text.count("e"))]


def with_store(call: Callable[[SqliteVecStore], Any], *, silent: bool = False, **more: Any) -> Any:
    """Run a coroutine with a provider that has the store ``notes``."""

    async def run() -> Any:
        deps = {api.Api.inference: Letters(silent=silent)}
        store = await get_provider_impl(StoreConfig(**more), deps)
        await store.register_vector_store(resource())
        try:
            return await call(store)
        finally:
            await store.shutdown()

    return asyncio.run(run())


def resource(dimension: int = 2) -> Any:
    return api.VectorStore(
        identifier="notes",
        provider_id="sqlite-vec-store",
        provider_resource_id="notes",
        embedding_model="letters",
        embedding_dimension=dimension,
        vector_store_name="Notes",
    )


def inserted(*texts: str, store: str = "notes", **more: Any) -> Any:
    chunks = [
        {
            "content": text,
            "chunk_id": text,
            "metadata": {"document_id": f"about {text}", "year": 2026},
            "chunk_metadata": {},
            "embedding": vector(text),
            "embedding_model": "letters",
            "embedding_dimension": 2,
        }
        for text in texts
    ]
    return api.InsertChunksRequest.model_validate(
        {"vector_store_id": store, "chunks": chunks, **more}
    )


def query(text: Any, **params: Any) -> Any:
    return api.QueryChunksRequest(vector_store_id="notes", query=text, params=params)


def searched(text: str, **more: Any) -> Any:
    return api.OpenAISearchVectorStoreRequest(query=text, **more)


def test_a_query_finds_the_nearest_chunks() -> None:
    async def call(store: SqliteVecStore) -> Any:
        await store.insert_chunks(inserted("banana", "cheese", "apple"))
        return await store.query_chunks(query("aaa", max_chunks=2))

    reply = with_store(call)

    assert [it.content for it in reply.chunks] == ["banana", "apple"]
    assert reply.scores[0] == pytest.approx(1)
    assert reply.chunks[0].embedding == [3, 0]
    assert reply.chunks[0].metadata == {"document_id": "about banana", "year": 2026}


def test_a_threshold_leaves_out_what_is_far() -> None:
    async def call(store: SqliteVecStore) -> Any:
        await store.insert_chunks(inserted("banana", "cheese", "apple"))
        return await store.query_chunks(query("aaa", score_threshold=0.9))

    assert [it.content for it in with_store(call).chunks] == ["banana"]


def test_a_query_may_be_an_item_or_a_list() -> None:
    item = api.TextContentItem(text="eee")

    async def call(store: SqliteVecStore) -> Any:
        await store.insert_chunks(inserted("banana", "cheese"))
        one = await store.query_chunks(query(item, max_chunks=1))
        return one, await store.query_chunks(query([item], max_chunks=1))

    assert [[it.content for it in reply.chunks] for reply in with_store(call)] == [["cheese"]] * 2


def test_a_search_tells_the_document() -> None:
    async def call(store: SqliteVecStore) -> Any:
        await store.insert_chunks(inserted("banana", "cheese"))
        return await store.openai_search_vector_store("notes", searched("eee", max_num_results=1))

    (result,) = with_store(call).data

    assert (result.file_id, result.filename) == ("about cheese", "about cheese")
    assert result.content[0].text == "cheese"
    assert result.attributes == {"document_id": "about cheese", "year": 2026}


def test_chunks_are_deleted() -> None:
    request = api.DeleteChunksRequest.model_validate(
        {
            "vector_store_id": "notes",
            "chunks": [{"chunk_id": "banana", "document_id": "about banana"}],
        }
    )

    async def call(store: SqliteVecStore) -> Any:
        await store.insert_chunks(inserted("banana", "cheese"))
        await store.delete_chunks(request)
        return await store.query_chunks(query("aaa"))

    assert [it.content for it in with_store(call).chunks] == ["cheese"]


def test_a_store_is_described_changed_listed_and_deleted() -> None:
    async def call(store: SqliteVecStore) -> Any:
        created = api.OpenAICreateVectorStoreRequestWithExtraBody.model_validate(
            {"metadata": {"owner": "me"}, "provider_vector_store_id": "notes"}
        )
        seen = [await store.openai_create_vector_store(created)]
        changed = api.OpenAIUpdateVectorStoreRequest(name="Remarks")
        seen.append(await store.openai_update_vector_store("notes", changed))
        seen.append(await store.openai_retrieve_vector_store("notes"))
        listed = await store.openai_list_vector_stores()
        deleted = await store.openai_delete_vector_store("notes")
        return seen, listed, deleted, await store.openai_list_vector_stores()

    (created, changed, retrieved), listed, deleted, left = with_store(call)

    assert (created.name, created.metadata, created.status) == (
        "Notes",
        {"owner": "me"},
        "completed",
    )
    assert (changed.name, changed.metadata) == ("Remarks", {"owner": "me"})
    assert retrieved == changed
    assert [it.id for it in listed.data] == ["notes"]
    assert deleted.deleted
    assert left.data == []


def test_a_store_that_is_not_there_is_reported() -> None:
    async def call(store: SqliteVecStore) -> Any:
        await store.unregister_vector_store("notes")
        await store.unregister_vector_store("notes")
        await store.insert_chunks(inserted("banana"))

    with pytest.raises(api.VectorStoreNotFoundError, match="notes"):
        with_store(call)


def test_a_store_keeps_its_dimension() -> None:
    with pytest.raises(ValueError, match="vectors of 2 dimensions, not 3"):
        with_store(lambda store: store.register_vector_store(resource(dimension=3)))


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (query("a", mode="keyword"), "not by keyword"),
        (query("a", filters={"type": "eq", "key": "year", "value": 1}), "no filters"),
    ],
)
def test_what_it_does_not_do_is_refused(request_: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        with_store(lambda store: store.query_chunks(request_))


def test_chunks_that_expire_are_refused() -> None:
    with pytest.raises(ValueError, match="no ttl_seconds"):
        with_store(lambda store: store.insert_chunks(inserted("a", ttl_seconds=1)))


def test_files_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="chunks, not files"):
        with_store(lambda store: store.openai_retrieve_vector_store_file("notes", "file"))
    created = api.OpenAICreateVectorStoreRequestWithExtraBody(file_ids=["file"])
    with pytest.raises(NotImplementedError, match="chunks, not files"):
        with_store(lambda store: store.openai_create_vector_store(created))


def test_an_embedding_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(TimeoutError):
        with_store(
            lambda store: store.query_chunks(query("a")), silent=True, embedding_timeout=0.05
        )


def test_health_is_that_of_the_database() -> None:
    assert with_store(lambda store: store.health())["status"] == api.HealthStatus.OK

    async def closed(store: SqliteVecStore) -> Any:
        await store.shutdown()
        return await store.health()

    assert with_store(closed)["status"] == api.HealthStatus.ERROR


def test_every_method_of_the_api_is_there() -> None:
    wanted = {name for name, it in vars(api.VectorIO).items() if asyncio.iscoroutinefunction(it)}

    assert wanted <= set(dir(SqliteVecStore))
