class VectorStores:
    """What the server's vector API needs besides chunks: the stores, and OpenAI's names for all."""

    def __init__(self, inference: Any) -> None:
        """Embed queries with the server's own models."""
        self._inference = inference
        self._registered: dict[str, api.VectorStore] = {}
        self._described: dict[str, api.VectorStoreObject] = {}

    async def register_vector_store(self, vector_store: api.VectorStore) -> None:
        """Make a store, also one that the server knows from its last run."""
        self._registered[vector_store.identifier] = vector_store

    async def unregister_vector_store(self, vector_store_id: str) -> None:
        """Forget a store; its chunks go with it."""
        self._registered.pop(vector_store_id, None)
        self._described.pop(vector_store_id, None)

    async def insert_chunks(self, request: api.InsertChunksRequest) -> None:
        """Add embedded chunks; one with the ID of another replaces it."""
        raise NotImplementedError

    async def query_chunks(self, request: api.QueryChunksRequest) -> api.QueryChunksResponse:
        """Return the chunks that are nearest to the query, and how near they are."""
        raise NotImplementedError

    async def openai_create_vector_store(
        self, params: api.OpenAICreateVectorStoreRequestWithExtraBody
    ) -> api.VectorStoreObject:
        """Describe a store that the server has registered before."""
        if params.file_ids:
            raise NotImplementedError(NO_FILES)
        store_id = (params.model_extra or {}).get("provider_vector_store_id")
        if store_id not in self._registered:
            raise ValueError(f"the vector store {store_id} is not registered")
        self._described[store_id] = _described(store_id, params.name, params.metadata)
        return self._described[store_id]

    async def openai_list_vector_stores(
        self,
        limit: int | None = 20,
        order: str | None = "desc",
        after: str | None = None,
        before: str | None = None,
    ) -> api.VectorStoreListResponse:
        """List the stores of this provider; the server itself pages through those of all."""
        stores = [self._described_or_new(store_id) for store_id in self._registered]
        ids = [store.id for store in stores] or [""]
        return api.VectorStoreListResponse(
            data=stores, first_id=ids[0], last_id=ids[-1], has_more=False
        )

    async def openai_retrieve_vector_store(self, vector_store_id: str) -> api.VectorStoreObject:
        """Describe one store."""
        return self._described_or_new(vector_store_id)

    async def openai_update_vector_store(
        self, vector_store_id: str, request: api.OpenAIUpdateVectorStoreRequest
    ) -> api.VectorStoreObject:
        """Change a store's name and metadata."""
        found = self._described_or_new(vector_store_id)
        changes = request.model_dump(include={"name", "metadata"}, exclude_none=True)
        self._described[vector_store_id] = found.model_copy(update=changes)
        return self._described[vector_store_id]

    async def openai_delete_vector_store(
        self, vector_store_id: str
    ) -> api.VectorStoreDeleteResponse:
        """Delete a store."""
        self._store(vector_store_id)
        await self.unregister_vector_store(vector_store_id)
        return api.VectorStoreDeleteResponse(id=vector_store_id, deleted=True)

    async def openai_search_vector_store(
        self, vector_store_id: str, request: api.OpenAISearchVectorStoreRequest
    ) -> api.VectorStoreSearchResponsePage:
        """Search as OpenAI's clients do."""
        if request.filters:
            raise NotImplementedError("filters are not implemented")
        queries = [request.query] if isinstance(request.query, str) else request.query
        options = request.ranking_options
        params = {
            "max_chunks": request.max_num_results or 10,
            "score_threshold": (options.score_threshold if options else None) or 0.0,
        }
        asked = api.QueryChunksRequest(
            vector_store_id=vector_store_id, query=" ".join(queries), params=params
        )
        found = await self.query_chunks(asked)
        data = [_result(*it) for it in zip(found.chunks, found.scores, strict=True)]
        return api.VectorStoreSearchResponsePage(search_query=queries, data=data, has_more=False)

{%- for name, parameters in [
    ("openai_attach_file_to_vector_store", "vector_store_id: str, request: api.OpenAIAttachFileRequest"),
    ("openai_list_files_in_vector_store", "vector_store_id: str, limit: int | None = 20, order: str | None = \"desc\", after: str | None = None, before: str | None = None, filter: str | None = None"),
    ("openai_retrieve_vector_store_file", "vector_store_id: str, file_id: str"),
    ("openai_retrieve_vector_store_file_contents", "vector_store_id: str, file_id: str, include_embeddings: bool | None = False, include_metadata: bool | None = False"),
    ("openai_update_vector_store_file", "vector_store_id: str, file_id: str, request: api.OpenAIUpdateVectorStoreFileRequest"),
    ("openai_delete_vector_store_file", "vector_store_id: str, file_id: str"),
    ("openai_create_vector_store_file_batch", "vector_store_id: str, params: Any"),
    ("openai_retrieve_vector_store_file_batch", "batch_id: str, vector_store_id: str"),
    ("openai_list_files_in_vector_store_file_batch", "batch_id: str, vector_store_id: str, after: str | None = None, before: str | None = None, filter: str | None = None, limit: int | None = 20, order: str | None = \"desc\""),
    ("openai_cancel_vector_store_file_batch", "batch_id: str, vector_store_id: str"),
] %}
{%- set line = "    async def " ~ name ~ "(self, " ~ parameters ~ ") -> Any:" %}
{%- if line | length <= 100 %}

{{ line }}
{%- else %}

    async def {{ name }}(
{%- if parameters | length < 80 %}
        self, {{ parameters }}
{%- else %}
        self,
{%- for parameter in parameters.split(", ") %}
        {{ parameter }},
{%- endfor %}
{%- endif %}
    ) -> Any:
{%- endif %}
        """Refuse: files are not taken apart here."""
        raise NotImplementedError(NO_FILES)
{%- endfor %}

    def _store(self, vector_store_id: str) -> api.VectorStore:
        """Return a registered store. Raises the server's error for one that is not there."""
        if vector_store_id not in self._registered:
            raise api.VectorStoreNotFoundError(vector_store_id)
        return self._registered[vector_store_id]

    def _described_or_new(self, vector_store_id: str) -> api.VectorStoreObject:
        name = self._store(vector_store_id).vector_store_name
        return self._described.setdefault(vector_store_id, _described(vector_store_id, name, None))

    async def _embedded(self, vector_store_id: str, query: Any) -> list[float]:
        """Return a query as a vector of the model that the store's chunks were embedded with."""
        store = self._store(vector_store_id)
        params = api.OpenAIEmbeddingsRequestWithExtraBody(
            model=store.embedding_model, input=_text(query)
        )
        answer = await self._inference.openai_embeddings(params)
        vector: list[float] = answer.data[0].embedding
        if len(vector) != store.embedding_dimension:
            raise ValueError(
                f"{store.embedding_model} made {len(vector)} numbers, and the vector store has "
                f"{store.embedding_dimension}"
            )
        return vector


def _described(store_id: str, name: str | None, metadata: Any) -> api.VectorStoreObject:
    counts = dict.fromkeys(("completed", "cancelled", "failed", "in_progress", "total"), 0)
    return api.VectorStoreObject.model_validate(
        {
            "id": store_id,
            "created_at": int(time.time()),
            "name": name or "",
            "file_counts": counts,
            "status": "completed",
            "metadata": metadata or {},
        }
    )


def _result(chunk: api.EmbeddedChunk, score: float) -> api.VectorStoreSearchResponse:
    document = chunk.metadata.get("document_id") or chunk.chunk_id
    return api.VectorStoreSearchResponse.model_validate(
        {
            "file_id": chunk.metadata.get("file_id") or document,
            "filename": chunk.metadata.get("filename") or document,
            "score": score,
            "content": [{"type": "text", "text": _text(chunk.content)}],
        }
    )


def _text(content: Any) -> str:
    """Return the text of a content: a text, a part, or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    return " ".join(part.text for part in parts if part.type == "text")
