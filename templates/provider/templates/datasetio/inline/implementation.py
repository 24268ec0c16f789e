"""Reads and appends rows of datasets: those of a request, or files with a JSON object a line."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ._server import api
from .config import Config


async def get_provider_impl(config: Config, _deps: Mapping[Any, Any]) -> RowFiles:
    """Make the reader; the server calls this once, when it starts."""
    return RowFiles(config)


class RowFiles:
    """The server's datasets API.

    Names and parameters of the methods are those that llama-stack calls: the fields of its request
    one by one, though its protocol shows one object.
    """

    def __init__(self, config: Config) -> None:
        """Keep the validated configuration."""
        self.config = config
        self.directory = Path(config.directory).expanduser()
        self._datasets: dict[str, list[dict[str, Any]] | Path] = {}
        self._lock = asyncio.Lock()

    async def shutdown(self) -> None:
        """Close what was opened; the server calls this when it stops."""

    async def health(self) -> api.HealthResponse:
        """Tell whether rows can be read; servers list it with the providers."""
        return api.HealthResponse(status=api.HealthStatus.OK)

    async def register_dataset(self, dataset: api.Dataset) -> None:
        """Accept a dataset; raise ValueError for a source that cannot be read."""
        source = dataset.source
        if source.type == "rows":
            self._datasets[dataset.identifier] = list(source.rows)
        else:
            self._datasets[dataset.identifier] = self._file(source.uri)

    async def unregister_dataset(self, dataset_id: str) -> None:
        """Forget a dataset; its file stays."""
        self._datasets.pop(dataset_id, None)

    async def iterrows(
        self, dataset_id: str, start_index: int | None = None, limit: int | None = None
    ) -> api.PaginatedResponse:
        """Return a page of rows; without a limit, or with -1, all that follow."""
        source = self._dataset(dataset_id)
        rows = source if isinstance(source, list) else await asyncio.to_thread(read_rows, source)
        start = max(start_index or 0, 0)
        end = len(rows) if limit is None or limit < 0 else start + limit
        return api.PaginatedResponse(data=rows[start:end], has_more=end < len(rows))

    async def append_rows(self, dataset_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows; those of a request live as long as the server."""
        source = self._dataset(dataset_id)
        if isinstance(source, list):
            source.extend(dict(row) for row in rows)
            return
        async with self._lock:
            await asyncio.to_thread(append_rows, source, rows)

    def _dataset(self, dataset_id: str) -> list[dict[str, Any]] | Path:
        if dataset_id not in self._datasets:
            raise api.DatasetNotFoundError(dataset_id)
        return self._datasets[dataset_id]

    def _file(self, uri: str) -> Path:
        # an address comes from a request: it must not lead to another directory
        name = re.fullmatch(r"local://([\w-]+)", uri)
        if name is None:
            raise ValueError(f"the address {uri} is not local://NAME")
        return self.directory / f"{name[1]}.jsonl"


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file; none if there is none. Raises ValueError with the wrong line."""
    rows: list[dict[str, Any]] = []
    if not path.is_file():
        return rows
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path.name}, line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"{path.name}, line {number} is not a JSON object")
        rows.append(row)
    return rows


def append_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append rows to a file, which is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(text)
