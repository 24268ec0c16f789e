"""Answers with the Messages API of Anthropic, by asking a model of the server.

A skeleton in two respects: it passes texts only, and counts words in place of tokens.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from ._server import api
from .config import Config

if TYPE_CHECKING:
    from ogx_api.messages import models

NO_BATCHES = "batches of messages are not implemented"
_REASONS = {"length": "max_tokens", "stop": "end_turn"}


async def get_provider_impl(config: Config, deps: Mapping[Any, Any]) -> ModelMessages:
    """Make the implementation; the server calls this once, when it starts."""
    return ModelMessages(config, deps[api.Api.inference])


class ModelMessages:
    """The server's messages API. Names and parameters of the methods are the server's."""

    def __init__(self, config: Config, inference: Any) -> None:
        """Keep the validated configuration and the server's models."""
        self.config = config
        self._inference = inference

    async def shutdown(self) -> None:
        """Release what was opened; the server calls this when it stops."""

    async def health(self) -> api.HealthResponse:
        """Tell whether requests can be answered; servers list it with the providers."""
        return api.HealthResponse(status=api.HealthStatus.OK)

    async def create_message(
        self, request: models.AnthropicCreateMessageRequest
    ) -> models.AnthropicMessageResponse | AsyncIterator[models.AnthropicStreamEvent]:
        """Answer, at once or as a stream of events."""
        if request.tools:
            raise NotImplementedError("tools are not implemented")
        messages = [{"role": it.role, "content": text_of(it.content)} for it in request.messages]
        if request.system:
            messages.insert(0, {"role": "system", "content": text_of(request.system)})
        params = {
            "model": request.model,
            "messages": messages,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stop": request.stop_sequences,
        }
        asked = api.OpenAIChatCompletionRequestWithExtraBody.model_validate(params)
        async with asyncio.timeout(self.config.timeout):
            completion = await self._inference.openai_chat_completion(asked)
        message = _message(request.model, completion)
        return _events(message) if request.stream else message

    async def count_message_tokens(
        self, request: models.AnthropicCountTokensRequest
    ) -> models.AnthropicCountTokensResponse:
        """Count the words, for want of the model's own tokens."""
        from ogx_api.messages.models import AnthropicCountTokensResponse

        texts = [text_of(it.content) for it in request.messages]
        texts.append(text_of(request.system or ""))
        return AnthropicCountTokensResponse(input_tokens=sum(len(it.split()) for it in texts))

{% include "messages/refused.py" %}

def text_of(content: Any) -> str:
    """Return the text of a content. Raises NotImplementedError for anything but texts."""
    if isinstance(content, str):
        return content
    if any(block.type != "text" for block in content):
        raise NotImplementedError("only texts are implemented")
    return "".join(block.text for block in content)


def _message(model: str, completion: Any) -> models.AnthropicMessageResponse:
    from ogx_api.messages.models import AnthropicMessageResponse

    choice, usage = completion.choices[0], completion.usage
    counted = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    return AnthropicMessageResponse.model_validate(
        {
            "id": f"msg_{uuid.uuid4().hex}",
            "model": model,
            "content": [{"type": "text", "text": choice.message.content or ""}],
            "stop_reason": _REASONS.get(choice.finish_reason, "end_turn"),
            "usage": dict(zip(("input_tokens", "output_tokens"), counted, strict=True)),
        }
    )


async def _events(
    message: models.AnthropicMessageResponse,
) -> AsyncIterator[models.AnthropicStreamEvent]:
    from ogx_api.messages import models as events

    text = message.content[0].text
    begun = message.model_copy(update={"content": [], "stop_reason": None})
    empty = {"type": "text", "text": ""}
    yield events.MessageStartEvent(message=begun)
    yield events.ContentBlockStartEvent.model_validate({"index": 0, "content_block": empty})
    for piece in text.splitlines(keepends=True):
        delta = {"type": "text_delta", "text": piece}
        yield events.ContentBlockDeltaEvent.model_validate({"index": 0, "delta": delta})
    yield events.ContentBlockStopEvent(index=0)
    ended = {"delta": {"stop_reason": message.stop_reason}, "usage": message.usage}
    yield events.MessageDeltaEvent.model_validate(ended)
    yield events.MessageStopEvent()
