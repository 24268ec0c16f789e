    def _benchmark(self, benchmark_id: str) -> api.Benchmark:
        if benchmark_id not in self._benchmarks:
            raise ValueError(f"there is no benchmark {benchmark_id}")
        return self._benchmarks[benchmark_id]

    async def _rows(self, request: api.RunEvalRequest) -> list[dict[str, Any]]:
        """Return the rows of a benchmark's dataset, no more than the request wants."""
        asked = api.IterRowsRequest(
            dataset_id=self._benchmark(request.benchmark_id).dataset_id,
            limit=request.benchmark_config.num_examples or -1,
        )
        rows: list[dict[str, Any]] = (await self._datasets.iterrows(asked)).data
        return rows
