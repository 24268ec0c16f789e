"""Answers with the Responses API of OpenAI, by asking a model of the server once.

A skeleton in one respect: it runs no tools. What the models said is kept in memory.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from ._server import api
from .config import Config


async def get_provider_impl(config: Config, deps: Mapping[Any, Any]) -> ModelResponses:
    """Make the implementation; the server calls this once, when it starts."""
    return ModelResponses(config, deps[api.Api.inference])


class ModelResponses:
    """The server's responses API. Names and parameters of the methods are the server's."""

    def __init__(self, config: Config, inference: Any) -> None:
        """Keep the validated configuration and the server's models."""
        self.config = config
        self._inference = inference
        self._kept: dict[str, api.OpenAIResponseObjectWithInput] = {}

    async def shutdown(self) -> None:
        """Release what was opened; the server calls this when it stops."""

    async def health(self) -> api.HealthResponse:
        """Tell whether requests can be answered; servers list it with the providers."""
        return api.HealthResponse(status=api.HealthStatus.OK)

    async def create_openai_response(
        self, request: api.CreateResponseRequest
    ) -> api.OpenAIResponseObject | AsyncIterator[api.OpenAIResponseObjectStream]:
        """Answer, at once or as a stream of events."""
        _require_supported(request)
        given = _items(request.input)
        async with asyncio.timeout(self.config.timeout):
            text = await self._asked(request, given)
        response = _response(request, text)
        if request.store is not False:
            self._keep(response, given)
        return _events(response, text) if request.stream else response

    async def get_openai_response(
        self, request: api.RetrieveResponseRequest
    ) -> api.OpenAIResponseObject:
        """Return a response that was given before."""
        return self._found(request.response_id).to_response_object()

    async def list_openai_responses(
        self, request: api.ListResponsesRequest
    ) -> api.ListOpenAIResponseObject:
        """List the responses, the newest first unless the request says otherwise."""
        found = [it for it in self._kept.values() if request.model in (None, it.model)]
        if request.order != api.Order.asc:
            found.reverse()
        if request.after is not None:
            ids = [it.id for it in found]
            found = found[ids.index(request.after) + 1 :] if request.after in ids else []
        page = found[: request.limit or 50]
        return api.ListOpenAIResponseObject(
            data=page,
            has_more=len(page) < len(found),
            first_id=page[0].id if page else "",
            last_id=page[-1].id if page else "",
        )

    async def list_openai_response_input_items(
        self, request: api.ListResponseInputItemsRequest
    ) -> api.ListOpenAIResponseInputItem:
        """List what a response was given for."""
        return api.ListOpenAIResponseInputItem(data=self._found(request.response_id).input)

    async def delete_openai_response(
        self, request: api.DeleteResponseRequest
    ) -> api.OpenAIDeleteResponseObject:
        """Forget a response."""
        del self._kept[self._found(request.response_id).id]
        return api.OpenAIDeleteResponseObject(id=request.response_id)

    async def cancel_openai_response(
        self, request: api.CancelResponseRequest
    ) -> api.OpenAIResponseObject:
        """Refuse: no response is made in the background."""
        self._found(request.response_id)
        raise api.ConflictError(f"the response {request.response_id} is complete already")

    async def compact_openai_response(self, request: Any) -> Any:
        """Refuse: only ogx asks for it."""
        raise NotImplementedError("compaction is not implemented")

    def _found(self, response_id: str) -> api.OpenAIResponseObjectWithInput:
        if response_id not in self._kept:
            raise api.ResponseNotFoundError(response_id)
        return self._kept[response_id]

    def _keep(self, response: api.OpenAIResponseObject, given: Sequence[Any]) -> None:
        while len(self._kept) >= self.config.kept:
            del self._kept[next(iter(self._kept))]
        self._kept[response.id] = api.OpenAIResponseObjectWithInput.model_validate(
            {**response.model_dump(), "input": given}
        )

    async def _asked(self, request: api.CreateResponseRequest, given: Sequence[Any]) -> str:
        messages = self._before(request.previous_response_id) + [_message(it) for it in given]
        if request.instructions:
            messages.insert(0, {"role": "system", "content": request.instructions})
        params = {
            "model": request.model,
            "messages": messages,
            "temperature": request.temperature,
            "max_tokens": request.max_output_tokens,
        }
        completion = await self._inference.openai_chat_completion(
            api.OpenAIChatCompletionRequestWithExtraBody.model_validate(params)
        )
        return completion.choices[0].message.content or ""

    def _before(self, response_id: str | None) -> list[dict[str, Any]]:
        """Return the conversation up to a response, oldest message first."""
        if response_id is None:
            return []
        response = self._found(response_id)
        items = [*response.input, *response.output]
        turn = [_message(it.model_dump(mode="json")) for it in items]
        return self._before(response.previous_response_id) + turn


def _require_supported(request: api.CreateResponseRequest) -> None:
    for name in ("tools", "background", "conversation", "prompt"):
        if getattr(request, name):
            raise NotImplementedError(f"'{name}' is not implemented")


def _items(given: Any) -> list[dict[str, Any]]:
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    return [item.model_dump(mode="json") for item in given]


def _message(item: Mapping[str, Any]) -> dict[str, Any]:
    if item.get("type", "message") != "message":
        raise NotImplementedError(f"input of the type {item['type']} is not implemented")
    content = item["content"]
    parts = [{"text": content}] if isinstance(content, str) else content
    if any("text" not in part for part in parts):
        raise NotImplementedError("only texts are implemented")
    return {"role": item["role"], "content": "".join(part["text"] for part in parts)}


def _response(request: api.CreateResponseRequest, text: str) -> api.OpenAIResponseObject:
    now = int(time.time())
    content = {"type": "output_text", "text": text, "annotations": []}
    message = {
        "type": "message",
        "id": f"msg_{uuid.uuid4().hex}",
        "role": "assistant",
        "status": "completed",
        "content": [content],
    }
    return api.OpenAIResponseObject.model_validate(
        {
            "id": f"resp_{uuid.uuid4().hex}",
            "created_at": now,
            "completed_at": now,
            "model": request.model,
            "output": [message],
            "status": "completed",
            "instructions": request.instructions,
            "previous_response_id": request.previous_response_id,
            "temperature": request.temperature,
            "metadata": request.metadata,
            "store": request.store is not False,
        }
    )


async def _events(
    response: api.OpenAIResponseObject, text: str
) -> AsyncIterator[api.OpenAIResponseObjectStream]:
    started = response.model_copy(update={"output": [], "status": "in_progress"})
    yield api.OpenAIResponseObjectStreamResponseCreated(response=started, sequence_number=0)
    message = response.output[0]
    place = {"content_index": 0, "item_id": message.id, "output_index": 0}
    pieces = text.splitlines(keepends=True)
    for number, piece in enumerate(pieces, 1):
        yield api.OpenAIResponseObjectStreamResponseOutputTextDelta(
            delta=piece, sequence_number=number, **place
        )
    yield api.OpenAIResponseObjectStreamResponseCompleted(
        response=response, sequence_number=len(pieces) + 1
    )
