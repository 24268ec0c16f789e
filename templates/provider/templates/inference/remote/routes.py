def reply(request: Request, _stored: dict[str, Any]) -> Reply:
    return model_reply(request)
