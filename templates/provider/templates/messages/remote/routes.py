def reply(request: Request, _stored: dict[str, Any]) -> Reply:
    """Answer as a service with the Messages API of Anthropic does; its model repeats the input."""
    if (request.method, request.path) == ("GET", "/models"):
        return Reply({"data": []})
    if (request.method, request.path) == ("POST", "/messages/count_tokens"):
        return Reply({"input_tokens": 7})
    if (request.method, request.path) != ("POST", "/messages"):
        return Reply({"error": f"there is no {request.path}"}, 404)
    text = f"You said: {request.json['messages'][-1]['content']}"
    message = {"id": "msg-1", "type": "message", "role": "assistant", "model": "m"}
    usage = {"input_tokens": 1, "output_tokens": 1}
    if not request.json.get("stream"):
        content = [{"type": "text", "text": text}]
        return Reply({**message, "content": content, "stop_reason": "end_turn", "usage": usage})
    empty, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": text}
    begun = {**message, "content": [], "usage": usage}
    return Reply(
        events=(
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": empty},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
            {"type": "message_stop"},
        )
    )
