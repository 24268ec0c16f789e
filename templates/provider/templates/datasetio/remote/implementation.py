"""Reads and appends rows of the datasets of a service."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from ._server import api
from .config import Config
from .service import Adapter, read_as


class Page(BaseModel):
    """The service's answer: some rows, and how many the dataset has."""

    rows: list[dict[str, Any]]
    total: int


async def get_adapter_impl(config: Config, _deps: Mapping[Any, Any]) -> RowsAdapter:
    """Make the adapter; the server calls this once, when it starts."""
    return RowsAdapter(config)


class RowsAdapter(Adapter):
    """The server's datasets API.

    Names and parameters of the methods are those that llama-stack calls: the fields of its request
    one by one, though its protocol shows one object.
    """

    def __init__(self, config: Config) -> None:
        """Keep the validated configuration."""
        super().__init__(config)
        self._names: dict[str, str] = {}

    async def register_dataset(self, dataset: api.Dataset) -> None:
        """Accept a dataset; raise ValueError for one that the service cannot have."""
        uri = dataset.source.uri if dataset.source.type == "uri" else "the rows of a request"
        # an address comes from a request: it must not lead to another path of the service
        name = re.fullmatch(r"rows://([\w-]+)", uri)
        if name is None:
            raise ValueError(f"the source has to be rows://NAME, not {uri}")
        self._names[dataset.identifier] = name[1]

    async def unregister_dataset(self, dataset_id: str) -> None:
        """Forget a dataset; the service keeps it."""
        self._names.pop(dataset_id, None)

    async def iterrows(
        self, dataset_id: str, start_index: int | None = None, limit: int | None = None
    ) -> api.PaginatedResponse:
        """Return a page of rows; without a limit, or with -1, all that follow, page by page."""
        start = max(start_index or 0, 0)
        page = await self._page(dataset_id, start, limit)
        rows = page.rows
        while limit is None or limit < 0:
            if not page.rows or start + len(rows) >= page.total:
                break
            page = await self._page(dataset_id, start + len(rows), limit)
            rows += page.rows
        return api.PaginatedResponse(data=rows, has_more=start + len(rows) < page.total)

    async def append_rows(self, dataset_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows."""
        await self.service.request("POST", self._path(dataset_id), json={"rows": list(rows)})

    async def _page(self, dataset_id: str, start: int, limit: int | None) -> Page:
        wanted = self.config.page if limit is None or limit < 0 else limit
        params = {"offset": start, "length": min(wanted, self.config.page)}
        return read_as(Page, await self.service.json("GET", self._path(dataset_id), params=params))

    def _path(self, dataset_id: str) -> str:
        if dataset_id not in self._names:
            raise api.DatasetNotFoundError(dataset_id)
        return f"/datasets/{self._names[dataset_id]}/rows"
