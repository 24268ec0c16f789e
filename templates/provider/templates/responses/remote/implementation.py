"""Passes requests to a service with the Responses API of OpenAI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from ._server import api
from .config import Config
from .service import Adapter, ServiceError, read_as, started

NOT_FOUND = 404
_EVENT: TypeAdapter[Any] = TypeAdapter(api.OpenAIResponseObjectStream)


async def get_adapter_impl(config: Config, _deps: Mapping[Any, Any]) -> ResponsesAdapter:
    """Make the adapter; the server calls this once, when it starts."""
    return ResponsesAdapter(config)


class ResponsesAdapter(Adapter):
    """The server's responses API. Names and parameters of the methods are the server's."""

    async def create_openai_response(
        self, request: api.CreateResponseRequest
    ) -> api.OpenAIResponseObject | AsyncIterator[api.OpenAIResponseObjectStream]:
        """Answer, at once or as a stream of events."""
        body = request.model_dump(mode="json", exclude_unset=True)
        if request.stream:
            # an error before the first event then has a status of its own
            return await started(self._events(body))
        answer = await self.service.json("POST", "/responses", json=body)
        return read_as(api.OpenAIResponseObject, answer)

    async def get_openai_response(
        self, request: api.RetrieveResponseRequest
    ) -> api.OpenAIResponseObject:
        """Return a response that was given before."""
        return read_as(api.OpenAIResponseObject, await self._of("GET", request.response_id))

    async def list_openai_responses(
        self, request: api.ListResponsesRequest
    ) -> api.ListOpenAIResponseObject:
        """List the responses as the service does."""
        params = request.model_dump(mode="json", exclude_none=True)
        answer = await self.service.json("GET", "/responses", params=params)
        return read_as(api.ListOpenAIResponseObject, answer)

    async def list_openai_response_input_items(
        self, request: api.ListResponseInputItemsRequest
    ) -> api.ListOpenAIResponseInputItem:
        """List what a response was given for."""
        answer = await self._of("GET", request.response_id, "/input_items")
        return read_as(api.ListOpenAIResponseInputItem, answer)

    async def delete_openai_response(
        self, request: api.DeleteResponseRequest
    ) -> api.OpenAIDeleteResponseObject:
        """Delete a response."""
        answer = await self._of("DELETE", request.response_id)
        return read_as(api.OpenAIDeleteResponseObject, answer)

    async def cancel_openai_response(
        self, request: api.CancelResponseRequest
    ) -> api.OpenAIResponseObject:
        """Stop a response that is made in the background."""
        answer = await self._of("POST", request.response_id, "/cancel")
        return read_as(api.OpenAIResponseObject, answer)

    async def compact_openai_response(self, request: Any) -> Any:
        """Make a conversation shorter; only ogx asks for it."""
        body = request.model_dump(mode="json", exclude_unset=True)
        answer = await self.service.json("POST", "/responses/compact", json=body)
        return read_as(api.OpenAICompactedResponse, answer)

    async def _events(
        self, body: Mapping[str, Any]
    ) -> AsyncIterator[api.OpenAIResponseObjectStream]:
        async for event in self.service.events("POST", "/responses", json=body):
            try:
                yield _EVENT.validate_python(event)
            except ValidationError as error:
                raise ServiceError(f"the service sent an unknown event: {error}") from error

    async def _of(self, method: str, response_id: str, more: str = "") -> Any:
        """Ask for a response. Raises the server's error for one that the service does not have."""
        path = f"/responses/{quote(response_id, safe='')}{more}"
        try:
            return await self.service.json(method, path)
        except ServiceError as error:
            if error.status_code == NOT_FOUND:
                raise api.ResponseNotFoundError(response_id) from error
            raise
