"""Answers chat completions with an echo, in place of your model, and embeds texts without one."""

from __future__ import annotations

import hashlib
import math
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from ._server import api
from .config import Config


async def get_provider_impl(config: Config, _deps: Mapping[Any, Any]) -> EchoModel:
    """Make the model; the server calls this once, when it starts."""
    return EchoModel(config)


class EchoModel:
    """The server's inference API. Names and parameters of the methods are the server's."""

    def __init__(self, config: Config) -> None:
        """Keep the validated configuration; load your model here."""
        self.config = config

    async def shutdown(self) -> None:
        """Release what was loaded; the server calls this when it stops."""

    async def health(self) -> api.HealthResponse:
        """Tell whether the model works; servers list it with the providers."""
        return api.HealthResponse(status=api.HealthStatus.OK)

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
        answer = self.config.prefix + last_user_text(params.messages)
        call_id, now = f"chatcmpl-{uuid.uuid4()}", int(time.time())
        head = {"id": call_id, "created": now, "model": params.model}
        if params.stream:
            return _stream(head, answer)
        message = {"role": "assistant", "content": answer}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return api.OpenAIChatCompletion.model_validate({**head, "choices": [choice]})

    async def openai_completion(self, params: Any) -> Any:
        """Refuse: this provider has no plain completions."""
        raise NotImplementedError("only chat completions and embeddings are implemented")

    async def openai_embeddings(
        self, params: api.OpenAIEmbeddingsRequestWithExtraBody
    ) -> api.OpenAIEmbeddingsResponse:
        """Return an embedding for each input text."""
        texts = [params.input] if isinstance(params.input, str) else params.input
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("only texts can be embedded, not tokens")
        data = [
            api.OpenAIEmbeddingData(embedding=embed(text, self.config.dimension), index=index)
            for index, text in enumerate(texts)
        ]
        words = sum(len(text.split()) for text in texts)
        usage = api.OpenAIEmbeddingUsage(prompt_tokens=words, total_tokens=words)
        return api.OpenAIEmbeddingsResponse(data=data, model=params.model, usage=usage)


def embed(text: str, dimension: int) -> list[float]:
    """Return the hashed words of a text as a vector of length 1: shared words make it alike."""
    vector = [0.0] * dimension
    for word in text.casefold().split():
        number = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())
        vector[number % dimension] += 1.0 if number >> 63 else -1.0
    length = math.hypot(*vector) or 1.0
    return [it / length for it in vector]


def last_user_text(messages: Iterable[Any]) -> str:
    """Return the text of the last message that the user wrote, or an empty text."""
    content: Any = ""
    for message in messages:
        if message.role == "user":
            content = message.content
    if isinstance(content, str):
        return content
    return "".join(part.text for part in content if part.type == "text")


async def _stream(
    head: Mapping[str, Any], answer: str
) -> AsyncIterator[api.OpenAIChatCompletionChunk]:
    deltas: list[dict[str, Any]] = [
        {"delta": {"role": "assistant", "content": ""}},
        *({"delta": {"content": piece}} for piece in answer.splitlines(keepends=True)),
        {"delta": {}, "finish_reason": "stop"},
    ]
    for delta in deltas:
        yield api.OpenAIChatCompletionChunk.model_validate(
            {**head, "choices": [{"index": 0, **delta}]}
        )
