"""Passes messages to a service with the Messages API of Anthropic."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from .config import Config
from .service import Adapter, ServiceError, read_as, started

if TYPE_CHECKING:
    from ogx_api.messages import models

NO_BATCHES = "batches of messages are not implemented"
_VERSION = {"anthropic-version": "2023-06-01"}


async def get_adapter_impl(config: Config, _deps: Mapping[Any, Any]) -> MessagesAdapter:
    """Make the adapter; the server calls this once, when it starts."""
    return MessagesAdapter(config)


class MessagesAdapter(Adapter):
    """The server's messages API. Names and parameters of the methods are the server's."""

    async def create_message(
        self, request: models.AnthropicCreateMessageRequest
    ) -> models.AnthropicMessageResponse | AsyncIterator[models.AnthropicStreamEvent]:
        """Answer, at once or as a stream of events."""
        from ogx_api.messages.models import AnthropicMessageResponse

        body = request.model_dump(mode="json", exclude_none=True)
        if request.stream:
            # an error before the first event then has a status of its own
            return await started(self._events(body))
        answer = await self.service.json("POST", "/messages", json=body, headers=_VERSION)
        return read_as(AnthropicMessageResponse, answer)

    async def count_message_tokens(
        self, request: models.AnthropicCountTokensRequest
    ) -> models.AnthropicCountTokensResponse:
        """Have the service count the tokens."""
        from ogx_api.messages.models import AnthropicCountTokensResponse

        body = request.model_dump(mode="json", exclude_none=True)
        path = "/messages/count_tokens"
        answer = await self.service.json("POST", path, json=body, headers=_VERSION)
        return read_as(AnthropicCountTokensResponse, answer)

{% include "messages/refused.py" %}
    async def _events(self, body: Mapping[str, Any]) -> AsyncIterator[models.AnthropicStreamEvent]:
        from ogx_api.messages.models import AnthropicStreamEvent

        known: TypeAdapter[Any] = TypeAdapter(AnthropicStreamEvent)
        events = self.service.events("POST", "/messages", json=body, headers=_VERSION)
        async for event in events:
            try:
                yield known.validate_python(event)
            except ValidationError as error:
                raise ServiceError(f"the service sent an unknown event: {error}") from error
