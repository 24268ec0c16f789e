
    def _named(self, function: str) -> str:
        if function not in self._functions:
            raise ValueError(f"there is no scoring function {function}")
        return self._functions[function]


def result(scores: Sequence[float]) -> api.ScoringResult:
    """Return the scores of rows with their average."""
    average = sum(scores) / len(scores) if scores else 0.0
    return api.ScoringResult(
        score_rows=[{"score": score} for score in scores], aggregated_results={"average": average}
    )
