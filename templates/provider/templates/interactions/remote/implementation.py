"""Passes interactions to a service with the Interactions API of Google."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException
from pydantic import TypeAdapter, ValidationError

from .config import Config
from .service import Adapter, ServiceError, read_as, started

if TYPE_CHECKING:
    from ogx_api.interactions import models


async def get_adapter_impl(config: Config, _deps: Mapping[Any, Any]) -> InteractionsAdapter:
    """Make the adapter; the server calls this once, when it starts."""
    return InteractionsAdapter(config)


class InteractionsAdapter(Adapter):
    """The server's interactions API. Names and parameters of the methods are the server's."""

    async def create_interaction(
        self, request: models.GoogleCreateInteractionRequest
    ) -> models.GoogleInteractionResponse | AsyncIterator[models.GoogleStreamEvent]:
        """Answer, at once or as a stream of events."""
        from ogx_api.interactions.models import GoogleInteractionResponse

        body = request.model_dump(mode="json", exclude_none=True, by_alias=True)
        try:
            if request.stream:
                return await started(self._events(body))
            answer = await self.service.json("POST", "/interactions", json=body)
            return read_as(GoogleInteractionResponse, answer)
        except ServiceError as error:
            # this API's router passes on the status of an HTTPException only
            raise HTTPException(error.status_code, str(error)) from error

    async def _events(self, body: Mapping[str, Any]) -> AsyncIterator[models.GoogleStreamEvent]:
        from ogx_api.interactions.models import GoogleStreamEvent

        known: TypeAdapter[Any] = TypeAdapter(GoogleStreamEvent)
        async for event in self.service.events("POST", "/interactions", json=body):
            try:
                yield known.validate_python(event)
            except ValidationError as error:
                raise ServiceError(f"the service sent an unknown event: {error}") from error
