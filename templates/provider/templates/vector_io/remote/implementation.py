"""Stores embedded chunks in a service and searches them there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel

from ._server import api
from .config import Config
from .service import Adapter, ServiceError, read_as

NO_FILES = "files are not implemented: insert chunks with POST /v1/vector-io/insert"
NOT_FOUND = 404


class Hit(BaseModel):
    """A chunk that the service found, as it was stored, and its score."""

    chunk: dict[str, Any]
    score: float


class Hits(BaseModel):
    """The service's answer to a search."""

    hits: list[Hit]


async def get_adapter_impl(config: Config, deps: Mapping[Any, Any]) -> IndexAdapter:
    """Make the adapter; the server calls this once, when it starts."""
    return IndexAdapter(config, deps[api.Api.inference])


{% include "vector_io/stores.py" %}

class IndexAdapter(Adapter, VectorStores):
    """The server's vector API. Names and parameters of the methods are the server's."""

    def __init__(self, config: Config, inference: Any) -> None:
        """Keep the validated configuration, and the models that embed queries."""
        Adapter.__init__(self, config)
        VectorStores.__init__(self, inference)

    async def register_vector_store(self, vector_store: api.VectorStore) -> None:
        """Make a store in the service, where it may exist already."""
        body = {"dimension": vector_store.embedding_dimension}
        await self.service.request("PUT", _path(vector_store.identifier), json=body)
        await super().register_vector_store(vector_store)

    async def unregister_vector_store(self, vector_store_id: str) -> None:
        """Delete a store in the service, where it may be gone already."""
        try:
            await self.service.request("DELETE", _path(vector_store_id))
        except ServiceError as error:
            if error.status_code != NOT_FOUND:
                raise
        await super().unregister_vector_store(vector_store_id)

    async def insert_chunks(self, request: api.InsertChunksRequest) -> None:
        """Add embedded chunks; one with the ID of another replaces it."""
        self._store(request.vector_store_id)
        chunks = [
            {"id": it.chunk_id, "vector": it.embedding, "chunk": it.model_dump(mode="json")}
            for it in request.chunks
        ]
        path = f"{_path(request.vector_store_id)}/chunks"
        await self.service.request("POST", path, json={"chunks": chunks})

    async def query_chunks(self, request: api.QueryChunksRequest) -> api.QueryChunksResponse:
        """Return the chunks that are nearest to the query, and how near they are."""
        params = request.params or {}
        asked = {
            "vector": await self._embedded(request.vector_store_id, request.query),
            "limit": params.get("max_chunks", 10),
        }
        path = f"{_path(request.vector_store_id)}/search"
        answer = read_as(Hits, await self.service.json("POST", path, json=asked))
        least = params.get("score_threshold")
        found = [it for it in answer.hits if least is None or it.score >= least]
        return api.QueryChunksResponse(
            chunks=[read_as(api.EmbeddedChunk, it.chunk) for it in found],
            scores=[it.score for it in found],
        )


def _path(vector_store_id: str) -> str:
    return f"/stores/{quote(vector_store_id, safe='')}"
