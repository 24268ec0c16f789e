def reply(request: Request, stored: dict[str, Any]) -> Reply:
    """Answer as a service with the Responses API of OpenAI does; its model repeats the input."""
    path, _, _query = request.path.partition("?")
    match request.method, path.strip("/").split("/"):
        case "GET", ["models"]:
            return Reply({"object": "list", "data": []})
        case "POST", ["responses"]:
            return _created(request.json, stored)
        case "POST", ["responses", "compact"]:
            made = {"id": "comp-1", "created_at": 0, "output": []}
            usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
            return Reply({**made, "usage": usage})
        case "GET", ["responses"]:
            data = list(stored.values())
            ids = [it["id"] for it in data] or [""]
            return Reply({"data": data, "has_more": False, "first_id": ids[0], "last_id": ids[-1]})
        case "GET", ["responses", name] if name in stored:
            return Reply(stored[name])
        case "POST", ["responses", name, "cancel"] if name in stored:
            return Reply({"error": f"{name} is completed"}, 409)
        case "GET", ["responses", name, "input_items"] if name in stored:
            return Reply({"data": stored[name]["input"]})
        case "DELETE", ["responses", name] if name in stored:
            del stored[name]
            return Reply({"id": name, "deleted": True})
    return Reply({"error": f"there is no {path}"}, 404)


def _created(asked: dict[str, Any], stored: dict[str, Any]) -> Reply:
    text = f"You said: {asked['input']}"
    content = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "id": "msg-1", "role": "assistant", "status": "completed"}
    response = {
        "id": f"resp-{len(stored)}",
        "created_at": 0,
        "model": asked["model"],
        "output": [{**message, "content": [content]}],
        "status": "completed",
        "store": True,
    }
    given = [{"type": "message", "role": "user", "content": asked["input"]}]
    stored[response["id"]] = {**response, "input": given}
    if not asked.get("stream"):
        return Reply(response)
    place = {"content_index": 0, "item_id": "msg-1", "output_index": 0}
    return Reply(
        events=(
            {"type": "response.created", "response": response, "sequence_number": 0},
            {"type": "response.output_text.delta", "delta": text, "sequence_number": 1, **place},
            {"type": "response.completed", "response": response, "sequence_number": 2},
        )
    )
