"""The sample sqlite-vec-store on both servers, with the embeddings of hashing-embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.samples.conftest import Served

pytestmark = [
    pytest.mark.network,
    pytest.mark.server,
    pytest.mark.engine,
    pytest.mark.xdist_group("samples"),
]

MODEL = "hashing-embeddings/hashing"
TEXTS = ["A heron stands in the water", "Parliament debates the budget", "Bread needs yeast"]


@pytest.fixture
def store(served: Served) -> str:
    """A vector store with the texts."""
    created = served.post("/v1/vector_stores", {"name": "notes", "embedding_model": MODEL})
    store: str = created["id"]
    embedded = served.post("/v1/embeddings", {"model": MODEL, "input": TEXTS})["data"]
    chunks = [
        {
            "content": text,
            "chunk_id": f"chunk-{index}",
            "metadata": {"document_id": f"document-{index}"},
            "chunk_metadata": {},
            "embedding": item["embedding"],
            "embedding_model": MODEL,
            "embedding_dimension": len(item["embedding"]),
        }
        for index, (text, item) in enumerate(zip(TEXTS, embedded, strict=True))
    ]
    reply = served.call("/v1/vector-io/insert", {"vector_store_id": store, "chunks": chunks})
    assert reply.status in (200, 204), reply.text
    return store


def query(store: str, text: str) -> dict[str, Any]:
    return {"vector_store_id": store, "query": text, "params": {"max_chunks": 1}}


def test_a_query_finds_the_nearest_chunk(served: Served, store: str) -> None:
    reply = served.post("/v1/vector-io/query", query(store, "Which birds stand in water?"))

    assert [it["content"] for it in reply["chunks"]] == [TEXTS[0]]
    assert 0 < reply["scores"][0] < 1


def test_a_search_names_the_document(served: Served, store: str) -> None:
    search = {"query": "the budget of parliament", "max_num_results": 1}

    reply = served.post(f"/v1/vector_stores/{store}/search", search)

    assert [it["file_id"] for it in reply["data"]] == ["document-1"]


def test_a_vector_of_another_dimension_is_the_clients_error(served: Served, store: str) -> None:
    chunk = {
        "content": "short",
        "chunk_id": "short",
        "metadata": {},
        "chunk_metadata": {},
        "embedding": [1.0],
        "embedding_model": MODEL,
        "embedding_dimension": 1,
    }

    reply = served.call("/v1/vector-io/insert", {"vector_store_id": store, "chunks": [chunk]})

    assert reply.status == 400
    assert "256 dimensions, not 1" in reply.text


def test_files_are_refused(served: Served, store: str) -> None:
    reply = served.call(f"/v1/vector_stores/{store}/files", {"file_id": "file-1"})

    assert reply.status == 501
    assert "keeps chunks, not files" in reply.text
