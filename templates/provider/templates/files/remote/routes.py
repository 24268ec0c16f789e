def reply(request: Request, stored: dict[str, Any]) -> Reply:
    """Answer as a service with the files API of OpenAI does."""
    path, _, query = request.path.partition("?")
    match request.method, path.strip("/").split("/"):
        case "POST", ["files"]:
            return Reply(_kept(request, stored))
        case "GET", ["files"]:
            data = [it["about"] for it in stored.values() if it["about"]["purpose"] in query]
            ids = [it["id"] for it in data] or [""]
            return Reply({"data": data, "has_more": False, "first_id": ids[0], "last_id": ids[-1]})
        case "GET", ["files", file_id] if file_id in stored:
            return Reply(stored[file_id]["about"])
        case "GET", ["files", file_id, "content"] if file_id in stored:
            return Reply(stored[file_id]["content"])
        case "DELETE", ["files", file_id] if file_id in stored:
            del stored[file_id]
            return Reply({"id": file_id, "deleted": True})
    return Reply({"error": f"there is no {path}"}, 404)


def _kept(request: Request, stored: dict[str, Any]) -> dict[str, Any]:
    kind = request.headers["content-type"].encode()
    form = message_from_bytes(b"Content-Type: " + kind + b"\n\n" + request.body, policy=HTTP)
    parts = {it.get_param("name", header="content-disposition"): it for it in form.iter_parts()}
    content = parts["file"].get_content()
    about = {
        "id": f"file-{len(stored)}",
        "object": "file",
        "bytes": len(content),
        "created_at": 0,
        "filename": parts["file"].get_filename(),
        "purpose": parts["purpose"].get_content().strip(),
        "status": "uploaded",
    }
    stored[about["id"]] = {"about": about, "content": content}
    return about
