"""The adapter against a real service: what is sent, what comes back, what fails."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from stand_in import KEY, StandIn

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.scoring import (
    PREFIX,
    get_adapter_impl,
)
from {{ cookiecutter.__package }}.service import ServiceError

pytestmark = pytest.mark.skipif(
    not hasattr(api.Api, "scoring"), reason=f"{api.__name__} has no scoring API"
)


{% include "scoring/checks.py" %}

@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn() as running:
        yield running


def run(stand_in: StandIn, call: Any, **config: Any) -> Any:
    """Return what ``call`` makes of an adapter that calls the stand-in."""

    async def called() -> Any:
        given = {"url": stand_in.url, "api_key": KEY, **config}
        deps = {api.Api.datasetio: Datasets()}
        adapter = await get_adapter_impl(Config.model_validate(given), deps)
        try:
            return await call(adapter)
        finally:
            await adapter.shutdown()

    return asyncio.run(called())


def score(stand_in: StandIn, rows: list[dict[str, Any]], **config: Any) -> Any:
    request = api.ScoreRequest.model_validate(scoring_of("equality", input_rows=rows))
    (found,) = run(stand_in, lambda it: it.score(request), **config).results.values()
    return found


def rows(count: int) -> list[dict[str, Any]]:
    return [{"generated_answer": "a", "expected_answer": "A"}] * count


def test_the_service_scores(stand_in: StandIn) -> None:
    found = score(stand_in, ROWS)

    assert found.score_rows == [{"score": 0.0}, {"score": 0.0}]
    assert stand_in.requests[0].json == {"function": "equality", "rows": ROWS}


def test_many_rows_are_sent_in_portions(stand_in: StandIn) -> None:
    found = score(stand_in, rows(5), portion=2)

    assert [len(request.json["rows"]) for request in stand_in.requests] == [2, 2, 1]
    assert found.aggregated_results == {"average": 1.0}


def test_a_dataset_is_scored(stand_in: StandIn) -> None:
    request = api.ScoreBatchRequest.model_validate(scoring_of("equality", dataset_id="capitals"))

    (found,) = run(stand_in, lambda it: it.score_batch(request)).results.values()

    assert len(found.score_rows) == 2


def test_a_score_too_few_is_the_services_fault(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stand_in import Reply

    monkeypatch.setattr("stand_in.reply", lambda *_: Reply({"scores": [1.0]}))

    with pytest.raises(ServiceError, match="1 scores came for 2 rows"):
        score(stand_in, ROWS)


def test_a_failure_of_the_service_is_told(stand_in: StandIn) -> None:
    stand_in.fail_with = 503

    with pytest.raises(ServiceError, match="status 503"):
        score(stand_in, ROWS)


def test_another_function_is_refused(stand_in: StandIn) -> None:
    request = api.ScoreRequest.model_validate(scoring_of("taste", input_rows=ROWS))

    with pytest.raises(ValueError, match=r"no scoring function .*::taste"):
        run(stand_in, lambda it: it.score(request))


def test_the_functions_are_offered(stand_in: StandIn) -> None:
    (function,) = run(stand_in, lambda it: it.list_scoring_functions())

    run(stand_in, lambda it: it.register_scoring_function(function))

    assert function.identifier.endswith("::equality")
