def reply(request: Request, _stored: dict[str, Any]) -> Reply:
    """Answer as a search service does, and as the model that asks for the search."""
    if (request.method, request.path) == ("GET", "/health"):
        return Reply({})
    if (request.method, request.path) == ("POST", "/search"):
        found = {"title": "Etna", "url": "https://etna.example", "text": "A volcano in Sicily."}
        return Reply({"results": [found][: request.json["limit"]]})
    return model_reply(request)
