import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.eval import (
    Evaluation,
    get_provider_impl,
)

pytestmark = pytest.mark.skipif(
    not hasattr(api.Api, "eval"), reason=f"{api.__name__} has no eval API"
)


{% include "eval/checks.py" %}

class Model:
    """A model that repeats the question, or fails, or never answers."""

    def __init__(self, failure: Exception | None = None, silent: bool = False) -> None:
        self.failure, self.silent, self.now, self.most = failure, silent, 0, 0

    async def openai_chat_completion(self, params: Any) -> Any:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(60 if self.silent else 0)
        self.now -= 1
        if self.failure is not None:
            raise self.failure
        message = SimpleNamespace(content=f"You said {params.messages[-1].content}")
        return SimpleNamespace(choices=[SimpleNamespace(message=message)])


async def made(model: Model, **config: Any) -> Evaluation:
    deps = {api.Api.inference: model, api.Api.datasetio: Datasets()}
    evaluation: Evaluation = await get_provider_impl(Config.model_validate(config), deps)
    await evaluation.register_benchmark(benchmark())
    return evaluation


def evaluate(model: Model, request: Any, **config: Any) -> Any:
    async def work() -> Any:
        return await (await made(model, **config)).evaluate_rows(request)

    return asyncio.run(work())


def test_answers_are_compared_with_the_expected_ones() -> None:
    found = evaluate(Model(), of_rows(["inclusion", "equality"]))

    assert found.generations[1] == {"generated_answer": "You said Paris?"}
    assert found.scores["inclusion"].score_rows == [{"score": 0.0}, {"score": 1.0}]
    assert found.scores["inclusion"].aggregated_results == {"average": 0.5}
    assert found.scores["equality"].aggregated_results == {"average": 0.0}


@pytest.mark.parametrize("at_once", [1, 2])
def test_no_more_questions_than_allowed_are_asked_at_once(at_once: int) -> None:
    model = Model()

    evaluate(model, of_rows(), at_once=at_once)

    assert model.most == at_once


def test_a_model_that_does_not_answer_is_given_up() -> None:
    with pytest.raises(TimeoutError):
        evaluate(Model(silent=True), of_rows(), timeout=0.05)


def test_another_scoring_function_is_refused() -> None:
    with pytest.raises(ValueError, match="no scoring function taste"):
        evaluate(Model(), of_rows(["taste"]))


def test_a_dataset_is_evaluated_in_the_background() -> None:
    async def work() -> None:
        evaluation = await made(Model())
        job = await evaluation.run_eval(of_dataset(num_examples=1))
        assert job.status == api.JobStatus.in_progress
        with pytest.raises(ValueError, match="is in_progress"):
            await evaluation.job_result(about("Result", job))
        await asyncio.wait([evaluation._jobs[job.job_id].task])
        assert (await evaluation.job_status(about("Status", job))).status.value == "completed"
        assert len((await evaluation.job_result(about("Result", job))).generations) == 1

    asyncio.run(work())


def test_a_job_that_fails_says_why() -> None:
    async def work() -> None:
        evaluation = await made(Model(ConnectionError("no model")))
        job = await evaluation.run_eval(of_dataset())
        await asyncio.wait([evaluation._jobs[job.job_id].task])
        assert (await evaluation.job_status(about("Status", job))).status.value == "failed"
        await evaluation.job_result(about("Result", job))

    with pytest.raises(ConnectionError, match="no model"):
        asyncio.run(work())


def test_a_job_can_be_stopped() -> None:
    async def work() -> None:
        evaluation = await made(Model(silent=True))
        job = await evaluation.run_eval(of_dataset())
        await evaluation.job_cancel(about("Cancel", job))
        await asyncio.wait([evaluation._jobs[job.job_id].task])
        assert (await evaluation.job_status(about("Status", job))).status.value == "cancelled"

    asyncio.run(work())


def test_the_end_of_the_server_stops_the_jobs() -> None:
    async def work() -> None:
        evaluation = await made(Model(silent=True))
        job = await evaluation.run_eval(of_dataset())
        await evaluation.shutdown()
        assert evaluation._jobs[job.job_id].task.cancelled()

    asyncio.run(work())


def test_a_job_belongs_to_its_benchmark() -> None:
    async def work() -> None:
        evaluation = await made(Model())
        job = await evaluation.run_eval(of_dataset())
        await evaluation.job_status(about("Status", job, "another"))

    with pytest.raises(ValueError, match="another has no job"):
        asyncio.run(work())
