class Datasets:
    """The server's datasets: one, with two rows."""

    async def iterrows(self, request: Any) -> Any:
        rows = ROWS if request.limit == -1 else ROWS[: request.limit]
        return api.PaginatedResponse(data=rows, has_more=False)


ROWS = [
    {"chat_completion_input": "Italy?", "expected_answer": "Rome"},
    {"chat_completion_input": "Paris?", "expected_answer": "paris"},
]
CONFIG = {"eval_candidate": {"type": "model", "model": "m", "sampling_params": {}}}
BENCHMARK = {"identifier": "capitals", "dataset_id": "capitals", "scoring_functions": ["inclusion"]}


def benchmark(**more: Any) -> Any:
    if not hasattr(api.Api, "eval"):
        return None
    place = {"provider_id": "any", "provider_resource_id": "capitals"}
    return api.Benchmark.model_validate({**BENCHMARK, **place, **more})


def of_rows(functions: list[str] | None = None) -> Any:
    asked = {"benchmark_id": "capitals", "input_rows": ROWS, "benchmark_config": CONFIG}
    functions = functions or ["inclusion"]
    return api.EvaluateRowsRequest.model_validate({**asked, "scoring_functions": functions})


def of_dataset(**more: Any) -> Any:
    config = {**CONFIG, **more}
    return api.RunEvalRequest.model_validate(
        {"benchmark_id": "capitals", "benchmark_config": config}
    )


def about(kind: str, job: Any, benchmark_id: str = "capitals") -> Any:
    return getattr(api, f"Job{kind}Request")(benchmark_id=benchmark_id, job_id=job.job_id)
