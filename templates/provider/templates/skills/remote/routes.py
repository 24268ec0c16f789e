def reply(request: Request, stored: dict[str, Any]) -> Reply:
    """Answer as a service with the skills API of OpenAI does, which has one skill."""
    about = {"id": "skill-1", "created_at": 0, "name": "Greeting", "description": "Says hello."}
    skills = stored.setdefault("skills", {"skill-1": {**about, "default_version": "1"}})
    path, _, _query = request.path.partition("?")
    match request.method, path.strip("/").split("/"):
        case "GET", ["skills"]:
            return Reply({"data": list(skills.values()), "has_more": False})
        case "POST", ["skills"]:
            skills["skill-2"] = {**about, "id": "skill-2"}
            stored["archive"] = request.body
            return Reply(skills["skill-2"])
        case "GET", ["skills", name] if name in skills:
            return Reply(skills[name])
        case "POST", ["skills", name] if name in skills:
            return Reply({**skills[name], **request.json})
        case "DELETE", ["skills", name] if name in skills:
            del skills[name]
            return Reply({"id": name})
        case "GET", ["skills", name, *_, "content"] if name in skills:
            return Reply(b"an archive")
        case "POST", ["skills", name, "versions"] if name in skills:
            stored["archive"] = request.body
            return Reply(_version(name, "2"))
        case "GET", ["skills", name, "versions"] if name in skills:
            return Reply({"data": [_version(name, "1")], "has_more": False})
        case "GET", ["skills", name, "versions", "1"] if name in skills:
            return Reply(_version(name, "1"))
        case "DELETE", ["skills", name, "versions", "1"] if name in skills:
            return Reply({"error": "version 1 is the default"}, 409)
    return Reply({"error": f"there is no {path}"}, 404)


def _version(skill_id: str, version: str) -> dict[str, Any]:
    about = {"id": f"{skill_id}-{version}", "skill_id": skill_id, "version": version}
    return {**about, "created_at": 0, "name": "Greeting", "description": "Says hello."}
