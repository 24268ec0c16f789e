"""The server's inference API, of which this provider has the embeddings."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from ._server import api
from .config import HashingConfig
from .hashing import Hashing, words

MODEL = "hashing"


async def get_provider_impl(config: HashingConfig, _deps: Mapping[Any, Any]) -> HashingProvider:
    """Make the provider; the server calls this once, when it starts."""
    return HashingProvider(config)


class HashingProvider:
    """The server's inference API. Names and parameters of the methods are the server's."""

    __provider_id__ = "hashing-embeddings"  # the server replaces it with that of the configuration

    def __init__(self, config: HashingConfig) -> None:
        """Keep the validated configuration."""
        self.config = config
        self._hashing = Hashing(config.dimension, remembered=config.remembered_words)

    async def shutdown(self) -> None:
        """Do nothing: nothing was opened."""

    async def should_refresh_models(self) -> bool:
        """Tell that the list of models never changes."""
        return False

    async def list_models(self) -> list[api.Model] | None:
        """Return the one model."""
        model = api.Model(
            identifier=MODEL,
            provider_resource_id=MODEL,
            provider_id=self.__provider_id__,
            model_type=api.ModelType.embedding,
            metadata={"embedding_dimension": self.config.dimension},
        )
        return [model]

    async def register_model(self, model: api.Model) -> api.Model:
        """Accept another name for the one model."""
        return model

    async def unregister_model(self, model_id: str) -> None:
        """Forget a model."""

    async def openai_embeddings(
        self, params: api.OpenAIEmbeddingsRequestWithExtraBody
    ) -> api.OpenAIEmbeddingsResponse:
        """Return the embeddings of texts. Raises ValueError, for which a server answers 400."""
        texts = _texts(params.input)
        dimension = self.config.dimension
        if params.dimensions not in (None, dimension):
            raise ValueError(f"{MODEL} makes vectors of {dimension} dimensions alone")
        vectors = [self._hashing.embedding(text) for text in texts]
        encode = _in_base64 if params.encoding_format == "base64" else list
        count = sum(len(words(text)) for text in texts)
        return api.OpenAIEmbeddingsResponse(
            data=[
                api.OpenAIEmbeddingData(embedding=encode(vector), index=index)
                for index, vector in enumerate(vectors)
            ],
            model=params.model,
            usage=api.OpenAIEmbeddingUsage(prompt_tokens=count, total_tokens=count),
        )

    async def openai_chat_completion(self, params: Any) -> Any:
        """Refuse."""
        _refuse()

    async def openai_completion(self, params: Any) -> Any:
        """Refuse."""
        _refuse()


def _refuse() -> NoReturn:
    raise NotImplementedError("hashing-embeddings has embeddings alone")


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else list(given)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{MODEL} embeds texts, not tokens")
    return texts


def _in_base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
