def reply(request: Request, _stored: dict[str, Any]) -> Reply:
    """Answer as a service that makes text of files does, which reads UTF-8."""
    if (request.method, request.path) == ("GET", "/health"):
        return Reply({})
    if (request.method, request.path) == ("POST", "/convert"):
        kind = request.headers["content-type"].encode()
        form = message_from_bytes(b"Content-Type: " + kind + b"\n\n" + request.body, policy=HTTP)
        (part,) = form.iter_parts()
        try:
            return Reply({"text": part.get_payload(decode=True).decode()})
        except UnicodeDecodeError:
            return Reply({"error": "no text"}, 422)
    return Reply({"error": f"there is no {request.path}"}, 404)
