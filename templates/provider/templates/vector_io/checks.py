class Model:
    """An embedding model: a text becomes how often it has an "a", a "b" and a "c"."""

    async def openai_embeddings(self, params: Any) -> Any:
        vector = [float(params.input.count(letter)) for letter in "abc"]
        data = [api.OpenAIEmbeddingData(embedding=vector, index=0)]
        usage = api.OpenAIEmbeddingUsage(prompt_tokens=1, total_tokens=1)
        return api.OpenAIEmbeddingsResponse(data=data, model=params.model, usage=usage)


STORE = api.VectorStore(
    identifier="notes",
    provider_id="any",
    provider_resource_id="notes",
    embedding_model="letters",
    embedding_dimension=3,
)


def chunk(text: str, embedding: list[float] | None = None) -> dict[str, Any]:
    return {
        "content": text,
        "chunk_id": text,
        "metadata": {"document_id": f"about {text}"},
        "chunk_metadata": {"chunk_id": text},
        "embedding": embedding or [float(text.count(letter)) for letter in "abc"],
        "embedding_model": "letters",
        "embedding_dimension": 3,
    }


def inserting(*chunks: dict[str, Any]) -> Any:
    return api.InsertChunksRequest.model_validate({"vector_store_id": "notes", "chunks": chunks})


def querying(query: Any, **params: Any) -> Any:
    return api.QueryChunksRequest(vector_store_id="notes", query=query, params=params)


def searching(query: str) -> Any:
    return api.OpenAISearchVectorStoreRequest(query=query)
