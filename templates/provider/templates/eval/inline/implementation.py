"""Evaluates models: asks the questions of a benchmark and compares the answers."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ._server import api
from .config import Config

KEPT = 100  # finished jobs


async def get_provider_impl(config: Config, deps: Mapping[Any, Any]) -> Evaluation:
    """Make the evaluation; the server calls this once, when it starts."""
    return Evaluation(config, deps[api.Api.inference], deps[api.Api.datasetio])


@dataclass
class _Job:
    """An evaluation in the background."""

    benchmark_id: str
    task: asyncio.Task[api.EvaluateResponse]

    @property
    def status(self) -> api.JobStatus:
        if not self.task.done():
            return api.JobStatus.in_progress
        if self.task.cancelled():
            return api.JobStatus.cancelled
        return api.JobStatus.failed if self.task.exception() else api.JobStatus.completed


class Evaluation:
    """The server's eval API. Names and parameters of the methods are the server's."""

    def __init__(self, config: Config, inference: Any, datasets: Any) -> None:
        """Keep the validated configuration, the server's models and its datasets."""
        self.config = config
        self._inference = inference
        self._datasets = datasets
        self._benchmarks: dict[str, api.Benchmark] = {}
        self._jobs: dict[str, _Job] = {}

    async def shutdown(self) -> None:
        """Stop what runs; the server calls this when it stops."""
        tasks = [job.task for job in self._jobs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def health(self) -> api.HealthResponse:
        """Tell whether models can be evaluated; servers list it with the providers."""
        return api.HealthResponse(status=api.HealthStatus.OK)

{% include "eval/methods.py" %}
    async def run_eval(self, request: api.RunEvalRequest) -> api.Job:
        """Evaluate in the background; the job tells how it goes."""
        functions = self._benchmark(request.benchmark_id).scoring_functions
        _require_known(functions)

        async def evaluated() -> api.EvaluateResponse:
            rows = await self._rows(request)
            return await self._evaluated(rows, functions, request.benchmark_config)

        job_id = f"job-{uuid.uuid4().hex}"
        self._forget_oldest()
        self._jobs[job_id] = _Job(request.benchmark_id, asyncio.create_task(evaluated()))
        return api.Job(job_id=job_id, status=api.JobStatus.in_progress)

    async def evaluate_rows(self, request: api.EvaluateRowsRequest) -> api.EvaluateResponse:
        """Evaluate rows that the request holds."""
        self._benchmark(request.benchmark_id)
        _require_known(request.scoring_functions)
        return await self._evaluated(
            request.input_rows, request.scoring_functions, request.benchmark_config
        )

    async def job_status(self, request: api.JobStatusRequest) -> api.Job:
        """Tell how a job goes."""
        job = self._job(request.benchmark_id, request.job_id)
        return api.Job(job_id=request.job_id, status=job.status)

    async def job_cancel(self, request: api.JobCancelRequest) -> None:
        """Stop a job."""
        self._job(request.benchmark_id, request.job_id).task.cancel()

    async def job_result(self, request: api.JobResultRequest) -> api.EvaluateResponse:
        """Return the result of a job, or raise why it has none."""
        job = self._job(request.benchmark_id, request.job_id)
        if not job.task.done() or job.task.cancelled():
            raise ValueError(f"the job {request.job_id} is {job.status.value}")
        return job.task.result()

{% include "eval/rows.py" %}
    def _job(self, benchmark_id: str, job_id: str) -> _Job:
        job = self._jobs.get(job_id)
        if job is None or job.benchmark_id != benchmark_id:
            raise ValueError(f"the benchmark {benchmark_id} has no job {job_id}")
        return job

    def _forget_oldest(self) -> None:
        done = [job_id for job_id, job in self._jobs.items() if job.task.done()]
        for job_id in done[: max(len(done) - KEPT + 1, 0)]:
            del self._jobs[job_id]

    async def _evaluated(
        self, rows: Sequence[Mapping[str, Any]], functions: Sequence[str], config: Any
    ) -> api.EvaluateResponse:
        gate = asyncio.Semaphore(self.config.at_once)
        expected = [str(self._column(row, self.config.expected_column)) for row in rows]

        async def answer(row: Mapping[str, Any]) -> str:
            async with gate, asyncio.timeout(self.config.timeout):
                return await self._asked(row, config.eval_candidate)

        # a failure ends the others: nobody waits for the rest of a lost evaluation
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(answer(row)) for row in rows]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed  # a server knows what to answer to it
        answers = [task.result() for task in tasks]
        return api.EvaluateResponse(
            generations=[{"generated_answer": it} for it in answers],
            scores={it: _scored(_SCORES[it], answers, expected) for it in functions},
        )

    async def _asked(self, row: Mapping[str, Any], candidate: Any) -> str:
        messages = [{"role": "user", "content": str(self._column(row, self.config.input_column))}]
        if candidate.system_message is not None:
            messages.insert(0, {"role": "system", "content": candidate.system_message.content})
        params = api.OpenAIChatCompletionRequestWithExtraBody.model_validate(
            {
                "model": candidate.model,
                "messages": messages,
                "max_tokens": candidate.sampling_params.max_tokens or None,
            }
        )
        completion = await self._inference.openai_chat_completion(params)
        return completion.choices[0].message.content or ""

    def _column(self, row: Mapping[str, Any], name: str) -> Any:
        if name not in row:
            raise ValueError(f"a row has no {name}")
        return row[name]


def _equality(answer: str, expected: str) -> float:
    return float(answer.split() == expected.split())


def _inclusion(answer: str, expected: str) -> float:
    return float(expected.casefold() in answer.casefold())


_SCORES: dict[str, Callable[[str, str], float]] = {
    "equality": _equality,
    "inclusion": _inclusion,
}


def _require_known(functions: Sequence[str]) -> None:
    for function in functions:
        if function not in _SCORES:
            raise ValueError(f"there is no scoring function {function}, only {', '.join(_SCORES)}")


def _scored(
    score: Callable[[str, str], float], answers: Sequence[str], expected: Sequence[str]
) -> api.ScoringResult:
    scores = [score(*pair) for pair in zip(answers, expected, strict=True)]
    average = sum(scores) / len(scores) if scores else 0.0
    return api.ScoringResult(
        score_rows=[{"score": it} for it in scores], aggregated_results={"average": average}
    )
