"""Stores the server's chunks with their vectors, and finds those nearest to a text."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ._files import WithoutFiles
from ._server import api
from .config import StoreConfig
from .database import Database, Hit, Store

_CHUNKS = 3  # that a query returns when it does not say how many: the server's own default
_RESULTS = 10  # the same for a search


async def get_provider_impl(config: StoreConfig, deps: Mapping[Any, Any]) -> SqliteVecStore:
    """Make the provider; the server calls this once, when it starts."""
    database = await asyncio.to_thread(Database, config.db_path, busy_timeout=config.busy_timeout)
    return SqliteVecStore(config, database, deps[api.Api.inference])


class SqliteVecStore(WithoutFiles):
    """The server's vector_io API. Names and parameters of the methods are the server's."""

    def __init__(self, config: StoreConfig, database: Database, inference: Any) -> None:
        """Keep the configuration, the database and the API that embeds queries."""
        self.config = config
        self._database = database
        self._inference = inference
        self._lock = asyncio.Lock()

    async def shutdown(self) -> None:
        """Close the database; the server calls this when it stops."""
        await self._run(self._database.close)

    async def health(self) -> api.HealthResponse:
        """Tell whether the database answers and the extension runs."""
        try:
            version = await self._run(self._database.version)
        except (OSError, ValueError) as error:  # a TimeoutError is an OSError
            return api.HealthResponse(status=api.HealthStatus.ERROR, message=str(error))
        return api.HealthResponse(status=api.HealthStatus.OK, message=f"sqlite-vec {version}")

    async def register_vector_store(self, vector_store: api.VectorStore) -> None:
        """Add a store; one that is in the file from an earlier run is kept."""
        known = await self._run(self._database.find_store, vector_store.identifier)
        if known is not None and known.dimension != vector_store.embedding_dimension:
            raise ValueError(
                f"The vector store {known.id} has vectors of {known.dimension} dimensions, not "
                f"{vector_store.embedding_dimension}"
            )
        found = Store(
            vector_store.identifier,
            vector_store.embedding_dimension,
            vector_store.embedding_model,
            known.created_at if known else int(time.time()),
            vector_store.vector_store_name or (known.name if known else ""),
            known.metadata if known else {},
        )
        await self._run(self._database.put_store, found)

    async def unregister_vector_store(self, vector_store_id: str) -> None:
        """Remove a store and its chunks."""
        store = await self._run(self._database.find_store, vector_store_id)
        if store is not None:
            await self._run(self._database.remove_store, store)

    async def insert_chunks(self, request: api.InsertChunksRequest) -> None:
        """Add chunks with their vectors; one with a known ID replaces it."""
        if request.ttl_seconds is not None:
            raise ValueError("sqlite-vec-store keeps chunks until they are deleted: no ttl_seconds")
        store = await self._store(request.vector_store_id)
        chunks = [(it.chunk_id, it.model_dump_json(), it.embedding) for it in request.chunks]
        await self._run(self._database.put_chunks, store, chunks)

    async def delete_chunks(self, request: api.DeleteChunksRequest) -> None:
        """Remove chunks."""
        store = await self._store(request.vector_store_id)
        await self._run(self._database.remove_chunks, store, [it.chunk_id for it in request.chunks])

    async def query_chunks(self, request: api.QueryChunksRequest) -> api.QueryChunksResponse:
        """Find the chunks nearest to a text."""
        params = request.params or {}
        _require_vector_search(params.get("mode"), params.get("filters"))
        hits = await self._nearest(
            await self._store(request.vector_store_id),
            _text(request.query),
            int(params.get("max_chunks") or _CHUNKS),
            float(params.get("score_threshold") or 0),
        )
        return api.QueryChunksResponse(
            chunks=[api.EmbeddedChunk.model_validate_json(hit.content) for hit in hits],
            scores=[hit.score for hit in hits],
        )

    async def openai_create_vector_store(
        self, params: api.OpenAICreateVectorStoreRequestWithExtraBody
    ) -> api.VectorStoreObject:
        """Describe a store that the server has just registered."""
        if params.file_ids:
            await self.openai_attach_file_to_vector_store("", params)
        store = await self._store((params.model_extra or {})["provider_vector_store_id"])
        store = replace(store, name=params.name or store.name, metadata=params.metadata or {})
        await self._run(self._database.put_store, store)
        return _described(store)

    async def openai_list_vector_stores(
        self,
        limit: int | None = 20,
        order: str | None = "desc",
        after: str | None = None,
        before: str | None = None,
    ) -> api.VectorStoreListResponse:
        """List the stores. The server pages over all its providers itself."""
        found = await self._run(self._database.stores)
        data = [_described(it) for it in (found if order == "desc" else reversed(found))]
        return api.VectorStoreListResponse(
            data=data,
            first_id=data[0].id if data else "",
            last_id=data[-1].id if data else "",
            has_more=False,
        )

    async def openai_retrieve_vector_store(self, vector_store_id: str) -> api.VectorStoreObject:
        """Describe a store."""
        return _described(await self._store(vector_store_id))

    async def openai_update_vector_store(
        self, vector_store_id: str, request: api.OpenAIUpdateVectorStoreRequest
    ) -> api.VectorStoreObject:
        """Change the name or the metadata of a store."""
        store = await self._store(vector_store_id)
        metadata = store.metadata if request.metadata is None else request.metadata
        store = replace(store, name=request.name or store.name, metadata=metadata)
        await self._run(self._database.put_store, store)
        return _described(store)

    async def openai_delete_vector_store(
        self, vector_store_id: str
    ) -> api.VectorStoreDeleteResponse:
        """Remove a store and its chunks."""
        await self._run(self._database.remove_store, await self._store(vector_store_id))
        return api.VectorStoreDeleteResponse(id=vector_store_id, deleted=True)

    async def openai_search_vector_store(
        self, vector_store_id: str, request: api.OpenAISearchVectorStoreRequest
    ) -> api.VectorStoreSearchResponsePage:
        """Find the chunks nearest to a text, as the Responses API does for file_search."""
        _require_vector_search(request.search_mode, request.filters)
        texts = [request.query] if isinstance(request.query, str) else request.query
        ranking = request.ranking_options
        hits = await self._nearest(
            await self._store(vector_store_id),
            " ".join(texts),
            request.max_num_results or _RESULTS,
            (ranking.score_threshold if ranking else None) or 0,
        )
        return api.VectorStoreSearchResponsePage(
            search_query=texts, data=[_result(hit) for hit in hits], has_more=False
        )

    async def _store(self, store_id: str) -> Store:
        store: Store | None = await self._run(self._database.find_store, store_id)
        if store is None:
            raise api.VectorStoreNotFoundError(store_id)
        return store

    async def _nearest(self, store: Store, text: str, count: int, threshold: float) -> list[Hit]:
        request = api.OpenAIEmbeddingsRequestWithExtraBody(model=store.model, input=[text])
        async with asyncio.timeout(self.config.embedding_timeout):
            reply = await self._inference.openai_embeddings(request)
        hits: list[Hit] = await self._run(
            self._database.nearest, store, reply.data[0].embedding, count
        )
        return [hit for hit in hits if hit.score >= threshold]

    async def _run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Let the database work in a thread, one call at a time."""
        async with self._lock:
            return await asyncio.to_thread(call, *arguments)


def _require_vector_search(mode: str | None, filters: Any) -> None:
    if mode not in (None, "vector"):
        raise ValueError(f"sqlite-vec-store finds by vector alone, not by {mode}")
    if filters:
        raise ValueError("sqlite-vec-store has no filters")


def _text(content: Any) -> str:
    """Return the text of what a query says: a text, an item, or a list of items."""
    if isinstance(content, str):
        return content
    items = content if isinstance(content, list) else [content]
    return " ".join(it.text for it in items if it.type == "text")


def _described(store: Store) -> api.VectorStoreObject:
    counts = dict.fromkeys(("completed", "cancelled", "failed", "in_progress", "total"), 0)
    return api.VectorStoreObject.model_validate(
        {
            "id": store.id,
            "created_at": store.created_at,
            "name": store.name,
            "file_counts": counts,
            "status": "completed",
            "metadata": dict(store.metadata),
        }
    )


def _result(hit: Hit) -> api.VectorStoreSearchResponse:
    chunk = api.EmbeddedChunk.model_validate_json(hit.content)
    document = str(chunk.document_id or chunk.chunk_id)
    attributes = {
        name: value
        for name, value in chunk.metadata.items()
        if isinstance(value, str | int | float)
    }
    return api.VectorStoreSearchResponse(
        file_id=document,
        filename=str(chunk.metadata.get("filename") or document),
        score=hit.score,
        attributes=attributes,
        content=[api.VectorStoreContent(type="text", text=_text(chunk.content))],
    )
