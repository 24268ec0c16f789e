"""What --format json prints is what the schemas of contract/schemas/results say, to the key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

SCHEMAS = Path(__file__).parents[1] / "contract" / "schemas" / "results"
PREFIX = "lls-provider/"


def documents(text: str) -> list[Any]:
    """Every JSON document in the text, which may hold nothing else."""
    decoder = json.JSONDecoder()
    found = []
    while text := text.strip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def check(text: str) -> list[Any]:
    """Validate every document in the text against the schema that it names."""
    found = documents(text)
    for document in found:
        validator(document["schema"]).validate(document)
    return found


def validator(name: str) -> Draft7Validator:
    """The validator for ``lls-provider/build/1``; a key that the schema does not name is wrong.

    The published schemas are open, since a later version may add keys.
    """
    file = SCHEMAS / f"{name.removeprefix(PREFIX).replace('/', '-')}.json"
    schema = json.loads(file.read_text("utf-8"))
    Draft7Validator.check_schema(schema)
    return Draft7Validator(_closed(schema))


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if "properties" in schema and "oneOf" not in schema and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed
