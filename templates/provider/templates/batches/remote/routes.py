def reply(request: Request, stored: dict[str, Any]) -> Reply:
    """Answer as a service with the batches API of OpenAI does."""
    path, _, _query = request.path.partition("?")
    match request.method, path.strip("/").split("/"):
        case "POST", ["batches"]:
            key = request.headers.get("idempotency-key", f"batch-{len(stored)}")
            made = {"id": key, "object": "batch", "created_at": 0, "status": "validating"}
            return Reply(stored.setdefault(key, {**made, **request.json}))
        case "GET", ["batches"]:
            return Reply({"data": list(stored.values()), "has_more": False})
        case "GET", ["batches", name] if name in stored:
            return Reply(stored[name])
        case "POST", ["batches", name, "cancel"] if name in stored:
            stored[name]["status"] = "cancelled"
            return Reply(stored[name])
    return Reply({"error": f"there is no {path}"}, 404)
