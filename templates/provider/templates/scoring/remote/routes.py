def reply(request: Request, _stored: dict[str, Any]) -> Reply:
    """Answer as a service that scores answers does."""
    if (request.method, request.path) == ("GET", "/health"):
        return Reply({})
    if (request.method, request.path) == ("POST", "/score"):
        return Reply({"scores": [_equality(**row) for row in request.json["rows"]]})
    return Reply({"error": f"there is no {request.path}"}, 404)


def _equality(generated_answer: str, expected_answer: str) -> float:
    return float(generated_answer.casefold() == expected_answer.casefold())
