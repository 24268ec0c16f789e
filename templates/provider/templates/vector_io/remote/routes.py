def reply(request: Request, stored: dict[str, Any]) -> Reply:
    """Answer as a vector database does, and as the model that embeds queries."""
    match request.method, request.path.strip("/").split("/"):
        case "GET", ["health"]:
            return Reply({})
        case "PUT", ["stores", name]:
            stored.setdefault(name, {})
            return Reply({})
        case "DELETE", ["stores", name] if name in stored:
            del stored[name]
            return Reply({})
        case "POST", ["stores", name, "chunks"] if name in stored:
            stored[name] |= {it["id"]: it for it in request.json["chunks"]}
            return Reply({})
        case "POST", ["stores", name, "search"] if name in stored:
            return Reply({"hits": _hits(stored[name].values(), **request.json)})
    return model_reply(request)


def _hits(chunks: Any, vector: list[float], limit: int) -> list[dict[str, Any]]:
    def score(it: dict[str, Any]) -> float:
        return sum(a * b for a, b in zip(vector, it["vector"], strict=True))

    scored = [{"chunk": it["chunk"], "score": score(it)} for it in chunks]
    return sorted(scored, key=lambda it: -it["score"])[:limit]
