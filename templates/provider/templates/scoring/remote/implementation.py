"""Has a service score answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import batched
from typing import Any

from pydantic import BaseModel

from ._server import api
from .config import Config
from .service import Adapter, ServiceError, read_as

PREFIX = "{{ cookiecutter.name }}"
FUNCTIONS = {"equality": "1 if the answer is the expected one, else 0."}


class Scores(BaseModel):
    """The service's answer: a score for each row."""

    scores: list[float]


async def get_adapter_impl(config: Config, deps: Mapping[Any, Any]) -> ScoringAdapter:
    """Make the adapter; the server calls this once, when it starts."""
    return ScoringAdapter(config, deps[api.Api.datasetio])


class ScoringAdapter(Adapter):
    """The server's scoring API. Names and parameters of the methods are the server's."""

    def __init__(self, config: Config, datasets: Any) -> None:
        """Keep the validated configuration, and where the rows of datasets come from."""
        super().__init__(config)
        self._datasets = datasets
        self._functions = {f"{PREFIX}::{name}": name for name in FUNCTIONS}

{% include "scoring/methods.py" %}
    async def _scored(
        self, rows: Sequence[Mapping[str, Any]], functions: Iterable[str]
    ) -> dict[str, api.ScoringResult]:
        names = {function: self._named(function) for function in functions}
        return {
            function: result(await self._scores(rows, name)) for function, name in names.items()
        }

    async def _scores(self, rows: Sequence[Mapping[str, Any]], function: str) -> list[float]:
        scores: list[float] = []
        for portion in batched(rows, self.config.portion):
            asked = {"function": function, "rows": portion}
            answer = read_as(Scores, await self.service.json("POST", "/score", json=asked))
            if len(answer.scores) != len(portion):
                raise ServiceError(f"{len(answer.scores)} scores came for {len(portion)} rows")
            scores += answer.scores
        return scores
{% include "scoring/after.py" %}