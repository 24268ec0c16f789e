"""Stores embedded chunks in memory and searches them by cosine, in yours in your own index."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ._server import api
from .config import Config

NO_FILES = "files are not implemented: insert chunks with POST /v1/vector-io/insert"


async def get_provider_impl(config: Config, deps: Mapping[Any, Any]) -> MemoryIndex:
    """Make the index; the server calls this once, when it starts."""
    return MemoryIndex(config, deps[api.Api.inference])


{% include "vector_io/stores.py" %}

class MemoryIndex(VectorStores):
    """The server's vector API. Names and parameters of the methods are the server's."""

    def __init__(self, config: Config, inference: Any) -> None:
        """Keep the validated configuration; open your index here."""
        super().__init__(inference)
        self.config = config
        self._chunks: dict[str, dict[str, api.EmbeddedChunk]] = {}

    async def shutdown(self) -> None:
        """Close what was opened; the server calls this when it stops."""

    async def health(self) -> api.HealthResponse:
        """Tell whether there is room for more; servers list it with the providers."""
        if self._count() >= self.config.max_chunks:
            return api.HealthResponse(status=api.HealthStatus.ERROR, message="the memory is full")
        return api.HealthResponse(status=api.HealthStatus.OK)

    async def unregister_vector_store(self, vector_store_id: str) -> None:
        """Forget a store and its chunks."""
        await super().unregister_vector_store(vector_store_id)
        self._chunks.pop(vector_store_id, None)

    async def insert_chunks(self, request: api.InsertChunksRequest) -> None:
        """Add embedded chunks; one with the ID of another replaces it."""
        dimension = self._store(request.vector_store_id).embedding_dimension
        for chunk in request.chunks:
            if len(chunk.embedding) != dimension:
                raise ValueError(f"chunk {chunk.chunk_id} does not have {dimension} numbers")
        chunks = self._chunks.setdefault(request.vector_store_id, {})
        added = {chunk.chunk_id: chunk for chunk in request.chunks}
        if self._count() + len(added.keys() - chunks.keys()) > self.config.max_chunks:
            raise ValueError(f"there is no room for more than {self.config.max_chunks} chunks")
        chunks.update(added)

    async def query_chunks(self, request: api.QueryChunksRequest) -> api.QueryChunksResponse:
        """Return the chunks that are nearest to the query, and their cosines."""
        params = request.params or {}
        vector = await self._embedded(request.vector_store_id, request.query)
        chunks = self._chunks.get(request.vector_store_id, {}).values()
        scored = [(cosine(vector, chunk.embedding), chunk) for chunk in chunks]
        least = params.get("score_threshold", -math.inf)
        found = sorted((it for it in scored if it[0] >= least), key=lambda it: -it[0])
        found = found[: params.get("max_chunks", 10)]
        return api.QueryChunksResponse(
            chunks=[chunk for _, chunk in found], scores=[score for score, _ in found]
        )

    def _count(self) -> int:
        return sum(len(chunks) for chunks in self._chunks.values())


def cosine(left: Sequence[float], right: Sequence[float]) -> float:
    """Return how alike the directions of two vectors are, from -1 to 1; 0 if one has no length."""
    lengths = math.hypot(*left) * math.hypot(*right)
    return sum(a * b for a, b in zip(left, right, strict=True)) / lengths if lengths else 0.0
