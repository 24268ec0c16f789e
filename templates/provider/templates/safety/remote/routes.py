def reply(request: Request, _stored: dict[str, Any]) -> Reply:
    """Answer as a moderation service does, which knows one bad word."""
    if (request.method, request.path) == ("GET", "/health"):
        return Reply({})
    if (request.method, request.path) == ("POST", "/moderations"):
        results = [_judged("password" in text.casefold()) for text in request.json["input"]]
        return Reply({"id": "modr-1", "model": request.json["model"], "results": results})
    return Reply({"error": f"there is no {request.path}"}, 404)


def _judged(bad: bool) -> dict[str, Any]:
    scores = {"secrets": float(bad), "violence": 0.0}
    found = {"secrets": bad, "violence": False}
    return {"flagged": bad, "categories": found, "category_scores": scores}
