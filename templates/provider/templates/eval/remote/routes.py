def reply(request: Request, stored: dict[str, Any]) -> Reply:
    """Answer as a service that evaluates does: every answer is right."""
    match request.method, request.path.strip("/").split("/"):
        case "GET", ["health"]:
            return Reply({})
        case "POST", ["evaluations"]:
            return Reply(_evaluated(request.json))
        case "POST", ["jobs"]:
            job = {"job_id": f"job-{len(stored)}", "status": "in_progress"}
            stored[job["job_id"]] = {**job, "result": _evaluated(request.json)}
            return Reply(job)
        case "GET", ["jobs", name] if name in stored:
            stored[name]["status"] = "completed"
            return Reply(stored[name])
        case "GET", ["jobs", name, "result"] if name in stored:
            if stored[name]["status"] != "completed":
                return Reply({"error": f"{name} is {stored[name]['status']}"}, 409)
            return Reply(stored[name]["result"])
        case "DELETE", ["jobs", name] if name in stored:
            stored[name]["status"] = "cancelled"
            return Reply({})
    return Reply({"error": f"there is no {request.path}"}, 404)


def _evaluated(asked: dict[str, Any]) -> dict[str, Any]:
    answers = [{"generated_answer": row["expected_answer"]} for row in asked["rows"]]
    scored = {
        "score_rows": [{"score": 1.0} for _ in answers],
        "aggregated_results": {"average": 1.0},
    }
    return {"generations": answers, "scores": dict.fromkeys(asked["scoring_functions"], scored)}
