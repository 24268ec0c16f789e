"""The JSON Schema of a provider's config class, as the bundle stores it.

Schemas come from providers, so nothing in them is fetched: a reference that leads out of the
document is an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LIMIT = 1 << 20  # bytes; the largest seen has some thousand


def dump_schema(schema: Mapping[str, Any]) -> bytes:
    """The bytes of ``config-schema.json``: sorted keys, so that equal schemas are equal files."""
    text = json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False)
    return text.encode() + b"\n"


def fault(data: bytes) -> str | None:
    """Why ``data`` is no JSON Schema; None when it is one."""
    import jsonschema

    if len(data) > LIMIT:
        return f"it has more than {LIMIT:,} bytes"
    try:
        schema = json.loads(data)
        if not isinstance(schema, dict):
            return "it is no JSON object"
        validator = jsonschema.validators.validator_for(
            schema, default=jsonschema.Draft202012Validator
        )
        validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        return f"{error.json_path}: {error.message:.300}"
    except (ValueError, RecursionError) as error:
        return f"it is no JSON: {error}"
    return None


def violations(schema: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """What in ``config`` the schema refuses, each with its JSON path.

    A text with ``${env.…}`` stands for what a server puts in its place, so nothing is said of it.
    """
    import jsonschema
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    validator = kind(schema, registry=Registry())
    try:
        found = sorted(validator.iter_errors(config), key=lambda error: error.json_path)
    except (Unresolvable, RecursionError) as error:
        return [f"$: the schema itself cannot be followed: {error!s:.300}"]
    return [
        f"{error.json_path}: {error.message:.300}" for error in found if not _filled(error.instance)
    ]


def _filled(value: object) -> bool:
    return isinstance(value, str) and "${env." in value
