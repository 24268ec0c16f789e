class Datasets:
    """The server's datasets: one with two rows."""

    async def iterrows(self, request: Any) -> Any:
        assert request.dataset_id == "capitals"
        return api.PaginatedResponse(data=ROWS, has_more=False)


ROWS = [
    {"generated_answer": "it is Rome", "expected_answer": "Rome"},
    {"generated_answer": "Paris", "expected_answer": "paris "},
]


def scoring_of(name: str, **more: Any) -> dict[str, Any]:
    return {"scoring_functions": {f"{PREFIX}::{name}": None}, **more}
