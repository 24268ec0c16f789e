import asyncio
from typing import Any

import pytest

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.scoring import (
    PREFIX,
    AnswerScoring,
    equality,
    f1,
    get_provider_impl,
)

pytestmark = pytest.mark.skipif(
    not hasattr(api.Api, "scoring"), reason=f"{api.__name__} has no scoring API"
)


{% include "scoring/checks.py" %}

def scoring() -> AnswerScoring:
    made: AnswerScoring = asyncio.run(get_provider_impl(Config(), {api.Api.datasetio: Datasets()}))
    return made


def score(name: str, rows: list[dict[str, Any]]) -> Any:
    request = api.ScoreRequest.model_validate(scoring_of(name, input_rows=rows))
    (found,) = asyncio.run(scoring().score(request)).results.values()
    return found


def test_each_row_has_a_score_and_all_have_an_average() -> None:
    found = score("equality", ROWS)

    assert found.score_rows == [{"score": 0.0}, {"score": 1.0}]
    assert found.aggregated_results == {"average": 0.5}


def test_a_dataset_is_scored() -> None:
    request = api.ScoreBatchRequest.model_validate(scoring_of("f1", dataset_id="capitals"))

    (found,) = asyncio.run(scoring().score_batch(request)).results.values()

    assert found.score_rows == [{"score": 0.5}, {"score": 1.0}]


@pytest.mark.parametrize(
    ("answer", "expected", "same", "shared"),
    [("a b", "A  b", 1, 1), ("a b", "b c", 0, 0.5), ("a", "", 0, 0), ("", "", 1, 1)],
)
def test_answers_are_compared(answer: str, expected: str, same: float, shared: float) -> None:
    assert (equality(answer, expected), f1(answer, expected)) == (same, shared)


def test_no_rows_have_no_scores() -> None:
    assert score("f1", []).score_rows == []


def test_a_row_without_an_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="no generated_answer and no expected_answer"):
        score("f1", [{"other": 1}])


def test_another_function_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no scoring function .*::taste"):
        score("taste", ROWS)


def test_the_functions_are_offered_and_can_have_another_name() -> None:
    async def work() -> Any:
        made = scoring_made
        offered = await made.list_scoring_functions()
        renamed = offered[0].model_copy(update={"identifier": "same"})
        await made.register_scoring_function(renamed)
        request = api.ScoreRequest(input_rows=ROWS, scoring_functions={"same": None})
        return (await made.score(request)).results

    scoring_made = scoring()

    assert list(asyncio.run(work())) == ["same"]


def test_a_name_for_a_function_that_is_not_there_is_refused() -> None:
    other = api.ScoringFn(
        identifier="x", provider_id="p", provider_resource_id="x", return_type=api.NumberType()
    )

    with pytest.raises(ValueError, match="no function x"):
        asyncio.run(scoring().register_scoring_function(other))
