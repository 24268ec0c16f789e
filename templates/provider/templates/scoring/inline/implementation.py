"""Scores answers by comparing them with the expected ones, in yours by whatever you measure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._server import api
from .config import Config

PREFIX = "{{ cookiecutter.name }}"
FUNCTIONS = {
    "equality": "1 if the answer is the expected one, else 0.",
    "f1": "How many words the answer and the expected one share, from 0 to 1.",
}


async def get_provider_impl(config: Config, deps: Mapping[Any, Any]) -> AnswerScoring:
    """Make the scoring; the server calls this once, when it starts."""
    return AnswerScoring(config, deps[api.Api.datasetio])


class AnswerScoring:
    """The server's scoring API. Names and parameters of the methods are the server's."""

    def __init__(self, config: Config, datasets: Any) -> None:
        """Keep the validated configuration, and where the rows of datasets come from."""
        self.config = config
        self._datasets = datasets
        self._functions = {f"{PREFIX}::{name}": name for name in FUNCTIONS}

    async def shutdown(self) -> None:
        """Release what was loaded; the server calls this when it stops."""

    async def health(self) -> api.HealthResponse:
        """Tell whether answers can be scored; servers list it with the providers."""
        return api.HealthResponse(status=api.HealthStatus.OK)

{% include "scoring/methods.py" %}
    async def _scored(
        self, rows: Sequence[Mapping[str, Any]], functions: Iterable[str]
    ) -> dict[str, api.ScoringResult]:
        names = {function: self._named(function) for function in functions}
        pairs = [self._answers(row) for row in rows]
        return {
            function: result([_SCORES[name](*pair) for pair in pairs])
            for function, name in names.items()
        }

    def _answers(self, row: Mapping[str, Any]) -> tuple[str, str]:
        columns = self.config.answer_column, self.config.expected_column
        missing = [column for column in columns if column not in row]
        if missing:
            raise ValueError(f"a row has no {' and no '.join(missing)}")
        answer, expected = (str(row[column]) for column in columns)
        return answer, expected
{% include "scoring/after.py" %}

def equality(answer: str, expected: str) -> float:
    """Return 1 if the answer is the expected one, whatever its case and spaces."""
    return float(_words(answer) == _words(expected))


def f1(answer: str, expected: str) -> float:
    """Return the harmonic mean of the shares of words that both have."""
    ours, theirs = Counter(_words(answer)), Counter(_words(expected))
    total = ours.total() + theirs.total()
    return 2 * (ours & theirs).total() / total if total else 1.0


_SCORES = {"equality": equality, "f1": f1}


def _words(text: str) -> list[str]:
    return text.casefold().split()
