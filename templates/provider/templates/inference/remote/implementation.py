"""Passes chat completions and embeddings to an OpenAI-compatible service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from ._server import api
from .config import Config
from .service import Adapter, read_as, started


async def get_adapter_impl(config: Config, _deps: Mapping[Any, Any]) -> InferenceAdapter:
    """Make the adapter; the server calls this once, when it starts."""
    return InferenceAdapter(config)


class InferenceAdapter(Adapter):
    """The server's inference API. Names and parameters of the methods are the server's."""

    async def should_refresh_models(self) -> bool:
        """Tell whether `list_models` should be asked again from time to time."""
        return False

    async def list_models(self) -> list[api.Model] | None:
        """Return the models to offer; None leaves it to the server's configuration."""
        return None

    async def register_model(self, model: api.Model) -> api.Model:
        """Accept a model of the configuration; raise ValueError for one you do not have."""
        return model

    async def unregister_model(self, model_id: str) -> None:
        """Forget a model."""

    async def openai_chat_completion(
        self, params: api.OpenAIChatCompletionRequestWithExtraBody
    ) -> api.OpenAIChatCompletion | AsyncIterator[api.OpenAIChatCompletionChunk]:
        """Answer a conversation, at once or as a stream."""
        body = _body(params)
        if params.stream:
            # an error before the first chunk then has a status of its own
            return await started(self._chunks(body))
        answer = await self.service.json("POST", "/chat/completions", json=body)
        return read_as(api.OpenAIChatCompletion, answer)

    async def openai_completion(self, params: api.OpenAICompletionRequestWithExtraBody) -> Any:
        """Refuse: most services have chat completions only."""
        raise NotImplementedError("only chat completions and embeddings are implemented")

    async def openai_embeddings(
        self, params: api.OpenAIEmbeddingsRequestWithExtraBody
    ) -> api.OpenAIEmbeddingsResponse:
        """Return an embedding for each input."""
        answer = await self.service.json("POST", "/embeddings", json=_body(params))
        return read_as(api.OpenAIEmbeddingsResponse, answer)

    async def _chunks(
        self, body: Mapping[str, Any]
    ) -> AsyncIterator[api.OpenAIChatCompletionChunk]:
        async for event in self.service.events("POST", "/chat/completions", json=body):
            yield read_as(api.OpenAIChatCompletionChunk, event)


def _body(params: Any) -> dict[str, Any]:
    """Return the request as the service takes it, with the extra fields that a caller added."""
    body: dict[str, Any] = params.model_dump(mode="json", exclude_none=True)
    return body
