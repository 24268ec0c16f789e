"""The adapter against a real service: what is sent, what comes back, what fails."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from stand_in import KEY, StandIn

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.eval import (
    EvaluationAdapter,
    get_adapter_impl,
)
from {{ cookiecutter.__package }}.service import ServiceError

pytestmark = pytest.mark.skipif(
    not hasattr(api.Api, "eval"), reason=f"{api.__name__} has no eval API"
)


{% include "eval/checks.py" %}

@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn() as running:
        yield running


def run(stand_in: StandIn, call: Any) -> Any:
    """Return what ``call`` makes of an adapter that has a benchmark."""

    async def called() -> Any:
        config = Config.model_validate({"url": stand_in.url, "api_key": KEY})
        adapter: EvaluationAdapter = await get_adapter_impl(config, {api.Api.datasetio: Datasets()})
        await adapter.register_benchmark(benchmark())
        try:
            return await call(adapter)
        finally:
            await adapter.shutdown()

    return asyncio.run(called())


def test_rows_are_evaluated(stand_in: StandIn) -> None:
    found = run(stand_in, lambda it: it.evaluate_rows(of_rows()))

    assert found.scores["inclusion"].aggregated_results == {"average": 1.0}
    sent = stand_in.requests[0].json
    assert (sent["rows"], sent["candidate"]["model"]) == (ROWS, "m")


def test_a_dataset_is_evaluated_in_the_background(stand_in: StandIn) -> None:
    async def work(adapter: EvaluationAdapter) -> Any:
        job = await adapter.run_eval(of_dataset(num_examples=1))
        assert job.status == api.JobStatus.in_progress
        assert (await adapter.job_status(about("Status", job))).status.value == "completed"
        return await adapter.job_result(about("Result", job))

    assert len(run(stand_in, work).generations) == 1


def test_a_job_without_a_result_is_refused_by_the_service(stand_in: StandIn) -> None:
    async def work(adapter: EvaluationAdapter) -> Any:
        job = await adapter.run_eval(of_dataset())
        await adapter.job_cancel(about("Cancel", job))
        return await adapter.job_result(about("Result", job))

    with pytest.raises(ServiceError, match="is cancelled") as caught:
        run(stand_in, work)

    assert caught.value.status_code == 409


def test_a_failure_of_the_service_is_told(stand_in: StandIn) -> None:
    stand_in.fail_with = 503

    with pytest.raises(ServiceError, match="status 503"):
        run(stand_in, lambda it: it.evaluate_rows(of_rows()))


def test_a_benchmark_that_was_forgotten_is_not_there(stand_in: StandIn) -> None:
    async def work(adapter: EvaluationAdapter) -> None:
        await adapter.unregister_benchmark("capitals")
        await adapter.evaluate_rows(of_rows())

    with pytest.raises(ValueError, match="no benchmark capitals"):
        run(stand_in, work)
