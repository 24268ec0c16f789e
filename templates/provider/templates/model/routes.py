def model_reply(request: Request) -> Reply:
    """Answer as an OpenAI-compatible model server does; the model repeats what it is told."""
    path = request.path.partition("?")[0]
    if (request.method, path) == ("GET", "/models"):
        model = {"id": "echo", "object": "model", "created": 0, "owned_by": "stand-in"}
        return Reply({"object": "list", "data": [model]})
    if (request.method, path) == ("POST", "/chat/completions"):
        return _chat(request.json)
    if (request.method, path) == ("POST", "/embeddings"):
        return _embeddings(request.json)
    return Reply({"error": f"there is no {request.method} {path}"}, 404)


def _chat(asked: dict[str, Any]) -> Reply:
    last = asked["messages"][-1]
    message: dict[str, Any] = {"role": "assistant", "content": f"You said: {_text(last)}"}
    reason = "stop"
    if asked.get("tools") and last["role"] == "user":
        name = asked["tools"][0]["function"]["name"]
        function = {"name": name, "arguments": json.dumps({"query": _text(last)})}
        call = {"index": 0, "id": "call-1", "type": "function", "function": function}
        message, reason = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    head = {"id": "chat-1", "created": 0, "model": asked["model"]}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    if not asked.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return Reply({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
    head["object"] = "chat.completion.chunk"
    deltas = [{"delta": message, "finish_reason": None}, {"delta": {}, "finish_reason": reason}]
    chunks = [{**head, "choices": [{"index": 0, **delta}]} for delta in deltas]
    return Reply(events=(*chunks, {**head, "choices": [], "usage": usage}))


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def _embeddings(asked: dict[str, Any]) -> Reply:
    texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
    data = [
        {"object": "embedding", "index": index, "embedding": [float(len(text)), 1.0, 0.0]}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return Reply({"object": "list", "data": data, "model": asked["model"], "usage": usage})
