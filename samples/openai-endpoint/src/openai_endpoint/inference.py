"""Hands the server's inference calls to an OpenAI-compatible endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ._request import NeedsRequestProviderData
from ._server import api
from .config import EndpointConfig
from .endpoint import Endpoint, RefusedRequestError

# less than the second that a server gives the health checks of all its inference providers
_HEALTH_TIMEOUT = 0.8


async def get_adapter_impl(config: EndpointConfig, _deps: Mapping[Any, Any]) -> EndpointAdapter:
    """Make the adapter; the server calls this once, when it starts."""
    return EndpointAdapter(config)


class EndpointAdapter(NeedsRequestProviderData):
    """The server's inference API. Names and parameters of the methods are the server's."""

    __provider_id__ = "openai-endpoint"  # the server replaces it with that of the configuration

    def __init__(self, config: EndpointConfig) -> None:
        """Keep the validated configuration; connections are opened by the first request."""
        self.config = config
        self._endpoint = Endpoint(
            str(config.base_url),
            config.api_key.get_secret_value() if config.api_key else None,
            timeout=config.timeout,
            connect_timeout=config.connect_timeout,
        )

    async def shutdown(self) -> None:
        """Close the connections; the server calls this when it stops."""
        await self._endpoint.close()

    async def health(self) -> api.HealthResponse:
        """Tell whether the endpoint answers in time and accepts the configured key."""
        try:
            await self._endpoint.get("models", timeout=_HEALTH_TIMEOUT)
        except (ConnectionError, TimeoutError, RefusedRequestError) as error:
            return api.HealthResponse(status=api.HealthStatus.ERROR, message=str(error))
        return api.HealthResponse(status=api.HealthStatus.OK)

    async def should_refresh_models(self) -> bool:
        """Tell whether `list_models` should be asked again from time to time."""
        return self.config.refresh_models

    async def list_models(self) -> list[api.Model] | None:
        """Return the models that the endpoint lists."""
        listed = await self._endpoint.get("models", key=self._key())
        names = [str(it["id"]) for it in listed.get("data") or [] if isinstance(it, dict)]
        return [self._model(name) for name in names]

    async def register_model(self, model: api.Model) -> api.Model:
        """Accept a model of the configuration: the endpoint refuses a call for one it lacks."""
        return model

    async def unregister_model(self, model_id: str) -> None:
        """Forget a model."""

    async def openai_chat_completion(
        self, params: api.OpenAIChatCompletionRequestWithExtraBody
    ) -> api.OpenAIChatCompletion | AsyncIterator[api.OpenAIChatCompletionChunk]:
        """Answer a conversation, at once or as a stream."""
        if params.stream:
            return await self._stream("chat/completions", params, api.OpenAIChatCompletionChunk)
        return await self._reply("chat/completions", params, api.OpenAIChatCompletion)

    async def openai_completion(
        self, params: api.OpenAICompletionRequestWithExtraBody
    ) -> api.OpenAICompletion | AsyncIterator[api.OpenAICompletion]:
        """Continue a text, at once or as a stream."""
        if params.stream:
            return await self._stream("completions", params, api.OpenAICompletion)
        return await self._reply("completions", params, api.OpenAICompletion)

    async def openai_embeddings(
        self, params: api.OpenAIEmbeddingsRequestWithExtraBody
    ) -> api.OpenAIEmbeddingsResponse:
        """Return the embeddings of texts."""
        return await self._reply("embeddings", params, api.OpenAIEmbeddingsResponse)

    async def _reply[Reply: BaseModel](
        self, path: str, params: BaseModel, kind: type[Reply]
    ) -> Reply:
        return _valid(kind, await self._endpoint.post(path, _body(params), key=self._key()))

    async def _stream[Reply: BaseModel](
        self, path: str, params: BaseModel, kind: type[Reply]
    ) -> AsyncIterator[Reply]:
        events = await self._endpoint.stream(path, _body(params), key=self._key())
        return _all_valid(kind, events)

    def _key(self) -> str | None:
        """Return the key that this request brings, if it brings one."""
        data = self.get_request_provider_data()
        key = data.openai_endpoint_api_key if data else None
        return key.get_secret_value() if key else None

    def _model(self, name: str) -> api.Model:
        dimension = self.config.embedding_models.get(name)
        return api.Model(
            identifier=name,
            provider_resource_id=name,
            provider_id=self.__provider_id__,
            model_type=api.ModelType.llm if dimension is None else api.ModelType.embedding,
            metadata={} if dimension is None else {"embedding_dimension": dimension},
        )


def _body(params: BaseModel) -> dict[str, Any]:
    # what is None was not said; a default such as a message's role was not either, but is needed
    return params.model_dump(mode="json", exclude_none=True)


def _valid[Reply: BaseModel](kind: type[Reply], reply: Mapping[str, Any]) -> Reply:
    """Return the reply as the server's type, which would answer 400 for a ValidationError."""
    try:
        return kind.model_validate(reply)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(it) for it in first["loc"])
        raise ConnectionError(
            f"the endpoint's reply is no {kind.__name__}: {place}: {first['msg']}"
        ) from error


async def _all_valid[Reply: BaseModel](
    kind: type[Reply], events: AsyncIterator[dict[str, Any]]
) -> AsyncIterator[Reply]:
    async for event in events:
        yield _valid(kind, event)
