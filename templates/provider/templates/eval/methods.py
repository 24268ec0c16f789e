    async def register_benchmark(self, benchmark: api.Benchmark) -> None:
        """Accept a benchmark; raise ValueError for one that you cannot evaluate."""
        self._benchmarks[benchmark.identifier] = benchmark

    async def unregister_benchmark(self, benchmark_id: str) -> None:
        """Forget a benchmark."""
        self._benchmarks.pop(benchmark_id, None)
