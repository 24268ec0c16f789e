def reply(request: Request, stored: dict[str, Any]) -> Reply:
    """Answer as a service of datasets does, which has one."""
    rows = stored.setdefault("capitals", [{"question": "Italy?", "answer": "Rome"}])
    path, _, query = request.path.partition("?")
    if (request.method, path) == ("GET", "/health"):
        return Reply({})
    if (request.method, path) == ("GET", "/datasets/capitals/rows"):
        asked = dict(parse_qsl(query))
        start, length = int(asked["offset"]), int(asked["length"])
        return Reply({"rows": rows[start : start + length], "total": len(rows)})
    if (request.method, path) == ("POST", "/datasets/capitals/rows"):
        rows += request.json["rows"]
        return Reply({})
    return Reply({"error": f"there is no {path}"}, 404)
