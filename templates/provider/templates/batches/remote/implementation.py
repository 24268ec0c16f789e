"""Passes batches to a service with the batches API of OpenAI, which also has their files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ._server import api
from .config import Config
from .service import Adapter, ServiceError, read_as

if TYPE_CHECKING:
    from openai.types import Batch

NOT_FOUND = 404


async def get_adapter_impl(config: Config, _deps: Mapping[Any, Any]) -> BatchesAdapter:
    """Make the adapter; the server calls this once, when it starts."""
    return BatchesAdapter(config)


class BatchesAdapter(Adapter):
    """The server's batches API. Names and parameters of the methods are the server's."""

    async def create_batch(self, request: api.CreateBatchRequest) -> Batch:
        """Begin a batch; the same idempotency key begins it only once."""
        body = request.model_dump(mode="json", exclude_none=True)
        key = body.pop("idempotency_key", None)
        headers = {"Idempotency-Key": key} if key else {}
        return _batch(await self.service.json("POST", "/batches", json=body, headers=headers))

    async def retrieve_batch(self, request: api.RetrieveBatchRequest) -> Batch:
        """Tell how a batch goes."""
        return await self._of("GET", request.batch_id)

    async def cancel_batch(self, request: api.CancelBatchRequest) -> Batch:
        """Stop a batch."""
        return await self._of("POST", request.batch_id, "/cancel")

    async def list_batches(self, request: api.ListBatchesRequest) -> api.ListBatchesResponse:
        """List the batches as the service does."""
        params = request.model_dump(mode="json", exclude_none=True)
        answer = await self.service.json("GET", "/batches", params=params)
        return read_as(api.ListBatchesResponse, answer)

    async def _of(self, method: str, batch_id: str, more: str = "") -> Batch:
        """Ask for a batch. Raises the server's error for one that the service does not have."""
        path = f"/batches/{quote(batch_id, safe='')}{more}"
        try:
            return _batch(await self.service.json(method, path))
        except ServiceError as error:
            if error.status_code == NOT_FOUND:
                raise api.BatchNotFoundError(batch_id) from error
            raise


def _batch(answer: Any) -> Batch:
    from openai.types import Batch

    return read_as(Batch, answer)
