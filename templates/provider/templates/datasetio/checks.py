def dataset(**source: Any) -> Any:
    return api.Dataset.model_validate(
        {
            "identifier": "capitals",
            "provider_id": "any",
            "provider_resource_id": "capitals",
            "purpose": "eval/question-answer",
            "source": source,
        }
    )


ROWS = [{"question": it, "answer": it.upper()} for it in ("a", "b", "c")]
