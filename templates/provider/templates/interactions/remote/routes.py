def reply(request: Request, _stored: dict[str, Any]) -> Reply:
    """Answer as a service with the Interactions API of Google; its model repeats the input."""
    if (request.method, request.path) == ("GET", "/models"):
        return Reply({"models": []})
    if (request.method, request.path) != ("POST", "/interactions"):
        return Reply({"error": f"there is no {request.path}"}, 404)
    text, about = f"You said: {request.json['input']}", {"id": "i-1", "model": "m"}
    if not request.json.get("stream"):
        return Reply({**about, "outputs": [{"type": "text", "text": text}]})
    delta = {"type": "text", "text": text}
    return Reply(
        events=(
            {"event_type": "interaction.start", "interaction": about},
            {"event_type": "content.start", "index": 0, "content": {"type": "text"}},
            {"event_type": "content.delta", "index": 0, "delta": delta},
            {"event_type": "content.stop", "index": 0},
            {"event_type": "interaction.complete", "interaction": about},
        )
    )
