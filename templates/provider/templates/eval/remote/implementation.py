"""Has a service evaluate models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ._server import api
from .config import Config
from .service import Adapter, read_as


async def get_adapter_impl(config: Config, deps: Mapping[Any, Any]) -> EvaluationAdapter:
    """Make the adapter; the server calls this once, when it starts."""
    return EvaluationAdapter(config, deps[api.Api.datasetio])


class EvaluationAdapter(Adapter):
    """The server's eval API. Names and parameters of the methods are the server's."""

    def __init__(self, config: Config, datasets: Any) -> None:
        """Keep the validated configuration, and the server's datasets."""
        super().__init__(config)
        self._datasets = datasets
        self._benchmarks: dict[str, api.Benchmark] = {}

{% include "eval/methods.py" %}
    async def run_eval(self, request: api.RunEvalRequest) -> api.Job:
        """Have the rows of the benchmark's dataset evaluated; the job tells how it goes."""
        rows = await self._rows(request)
        functions = self._benchmark(request.benchmark_id).scoring_functions
        asked = _asked(request, rows, functions)
        return read_as(api.Job, await self.service.json("POST", "/jobs", json=asked))

    async def evaluate_rows(self, request: api.EvaluateRowsRequest) -> api.EvaluateResponse:
        """Have rows that the request holds evaluated, and wait for it."""
        self._benchmark(request.benchmark_id)
        asked = _asked(request, request.input_rows, request.scoring_functions)
        answer = await self.service.json("POST", "/evaluations", json=asked)
        return read_as(api.EvaluateResponse, answer)

    async def job_status(self, request: api.JobStatusRequest) -> api.Job:
        """Tell how a job goes."""
        return read_as(api.Job, await self.service.json("GET", self._path(request)))

    async def job_cancel(self, request: api.JobCancelRequest) -> None:
        """Stop a job."""
        await self.service.request("DELETE", self._path(request))

    async def job_result(self, request: api.JobResultRequest) -> api.EvaluateResponse:
        """Return the result of a job; the service refuses one that has none."""
        answer = await self.service.json("GET", f"{self._path(request)}/result")
        return read_as(api.EvaluateResponse, answer)

    def _path(self, request: Any) -> str:
        self._benchmark(request.benchmark_id)
        return f"/jobs/{quote(request.job_id, safe='')}"

{% include "eval/rows.py" %}

def _asked(request: Any, rows: Any, functions: Any) -> dict[str, Any]:
    return {
        "benchmark": request.benchmark_id,
        "candidate": request.benchmark_config.eval_candidate.model_dump(mode="json"),
        "rows": rows,
        "scoring_functions": functions,
    }
