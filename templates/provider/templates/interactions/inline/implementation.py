"""Answers with the Interactions API of Google, by asking a model of the server.

A skeleton in one respect: it passes texts only. Conversations are kept in memory.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from ._server import api
from .config import Config

if TYPE_CHECKING:
    from ogx_api.interactions import models

_ROLES = {"user": "user", "model": "assistant"}


async def get_provider_impl(config: Config, deps: Mapping[Any, Any]) -> ModelInteractions:
    """Make the implementation; the server calls this once, when it starts."""
    return ModelInteractions(config, deps[api.Api.inference])


class ModelInteractions:
    """The server's interactions API. Names and parameters of the methods are the server's."""

    def __init__(self, config: Config, inference: Any) -> None:
        """Keep the validated configuration and the server's models."""
        self.config = config
        self._inference = inference
        self._kept: dict[str, list[dict[str, str]]] = {}

    async def shutdown(self) -> None:
        """Release what was opened; the server calls this when it stops."""

    async def health(self) -> api.HealthResponse:
        """Tell whether requests can be answered; servers list it with the providers."""
        return api.HealthResponse(status=api.HealthStatus.OK)

    async def create_interaction(
        self, request: models.GoogleCreateInteractionRequest
    ) -> models.GoogleInteractionResponse | AsyncIterator[models.GoogleStreamEvent]:
        """Answer, at once or as a stream of events."""
        if request.tools:
            raise NotImplementedError("tools are not implemented")
        turns = [*self._before(request.previous_interaction_id), *_turns(request.input)]
        async with asyncio.timeout(self.config.timeout):
            completion = await self._inference.openai_chat_completion(_asked(request, turns))
        text = completion.choices[0].message.content or ""
        response = _response(request.model, text, completion.usage)
        self._keep(response.id, [*turns, {"role": "assistant", "content": text}])
        return _events(response, text) if request.stream else response

    def _before(self, interaction_id: str | None) -> list[dict[str, str]]:
        if interaction_id is None:
            return []
        if interaction_id not in self._kept:
            raise ValueError(f"there is no interaction {interaction_id}")
        return self._kept[interaction_id]

    def _keep(self, interaction_id: str, turns: list[dict[str, str]]) -> None:
        while len(self._kept) >= self.config.kept:
            del self._kept[next(iter(self._kept))]
        self._kept[interaction_id] = turns


def _turns(given: Any) -> list[dict[str, str]]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return [{"role": _ROLES[it.role], "content": text_of(it.content)} for it in given]


def text_of(content: Any) -> str:
    """Return the text of a content. Raises NotImplementedError for anything but texts."""
    if isinstance(content, str):
        return content
    if any(item.type != "text" for item in content):
        raise NotImplementedError("only texts are implemented")
    return "".join(item.text for item in content)


def _asked(
    request: models.GoogleCreateInteractionRequest, turns: list[dict[str, str]]
) -> api.OpenAIChatCompletionRequestWithExtraBody:
    messages = list(turns)
    if request.system_instruction:
        messages.insert(0, {"role": "system", "content": request.system_instruction})
    params: dict[str, Any] = {"model": request.model, "messages": messages}
    if request.generation_config is not None:
        params["temperature"] = request.generation_config.temperature
        params["top_p"] = request.generation_config.top_p
        params["max_tokens"] = request.generation_config.max_output_tokens
    return api.OpenAIChatCompletionRequestWithExtraBody.model_validate(params)


def _response(model: str, text: str, usage: Any) -> models.GoogleInteractionResponse:
    from ogx_api.interactions.models import GoogleInteractionResponse

    counted = {}
    if usage is not None:
        counted = {
            "total_input_tokens": usage.prompt_tokens,
            "total_output_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        }
    return GoogleInteractionResponse.model_validate(
        {
            "id": f"interaction-{uuid.uuid4().hex}",
            "model": model,
            "outputs": [{"type": "text", "text": text}],
            "usage": counted,
        }
    )


async def _events(
    response: models.GoogleInteractionResponse, text: str
) -> AsyncIterator[models.GoogleStreamEvent]:
    from ogx_api.interactions import models as events

    reference = {"id": response.id, "model": response.model}
    yield events.InteractionStartEvent.model_validate({"interaction": reference})
    yield events.ContentStartEvent(index=0)
    for piece in text.splitlines(keepends=True):
        delta = {"type": "text", "text": piece}
        yield events.ContentDeltaEvent.model_validate({"index": 0, "delta": delta})
    yield events.ContentStopEvent(index=0)
    ended = {**reference, "usage": response.usage.model_dump()}
    yield events.InteractionCompleteEvent.model_validate({"interaction": ended})
