"""The JSON Schema of a provider's config class, as the bundle stores it.

Schemas come from providers, so nothing in them is fetched: a reference that leads out of the
document is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from lls_provider.errors import nearest_word

if TYPE_CHECKING:
    from jsonschema import ValidationError

LIMIT = 1 << 20  # bytes; known schemas have some thousand
_WORDS = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}
# the strings that pydantic converts
_BOOLEANS = ("0", "off", "f", "false", "n", "no", "1", "on", "t", "true", "y", "yes")
_TIMES = ("date", "date-time", "time", "duration")


def dump_schema(schema: Mapping[str, Any]) -> bytes:
    """The bytes of ``config-schema.json``: sorted keys, so that equal schemas are equal files."""
    text = json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False)
    return text.encode() + b"\n"


def schema_fault(data: bytes) -> str | None:
    """Why ``data`` is not JSON Schema; None when it is one."""
    import jsonschema

    if len(data) > LIMIT:
        return f"it has more than {LIMIT:,} bytes"
    try:
        schema = json.loads(data)
        if not isinstance(schema, dict):
            return "it is not a JSON object"
        validator = jsonschema.validators.validator_for(
            schema, default=jsonschema.Draft202012Validator
        )
        validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        return f"{error.json_path}: {error.message:.300}"
    except (ValueError, RecursionError) as error:
        return f"it is not JSON: {error}"
    return None


@dataclass(frozen=True, slots=True)
class Violation:
    """A key of a config that a schema refuses: where it is, and why.

    ``reason`` does not contain the value, which may be a secret. With ``is_key`` the key itself
    is refused, not its value.
    """

    path: tuple[str | int, ...]
    reason: str
    is_key: bool = False

    @property
    def json_path(self) -> str:
        """The path as a JSON path: ``$.retry.times``."""
        return "$" + "".join(
            f"[{step}]"
            if isinstance(step, int)
            else f".{step}"
            if step.isidentifier()
            else f"[{json.dumps(step)}]"
            for step in self.path
        )


def violations(schema: Mapping[str, Any], config: Mapping[str, Any]) -> list[Violation]:
    """Every key of ``config`` that the schema refuses, sorted by path.

    Values that servers accept anyway are not reported: a text with ``${env.…}``, which they
    replace, and what pydantic converts
    (https://docs.pydantic.dev/latest/concepts/conversion_table/). A schema with a reference that
    leads out of it refuses nothing.
    """
    import jsonschema
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    found: dict[tuple[str | int, ...], Violation] = {}
    try:
        for error in kind(schema, registry=Registry()).iter_errors(config):
            for violation in _violations(error):
                found.setdefault(violation.path, violation)
    except (Unresolvable, RecursionError):
        return []
    return sorted(found.values(), key=_sort_key)


def _sort_key(violation: Violation) -> list[str]:
    return [step if isinstance(step, str) else f"{step:09}" for step in violation.path]


def _violations(error: ValidationError) -> list[Violation]:
    """One error of jsonschema as violations for the author of the config."""
    if _accepted_by_servers(error):
        return []
    path, rule = tuple(error.absolute_path), str(error.validator)
    value, schema = cast("Any", error.validator_value), cast("Any", error.schema)
    config = cast("Any", error.instance)
    match rule:
        case "required":
            missing = [it for it in value if it not in config]
            return [Violation((*path, it), "is missing, and required") for it in missing]
        case "additionalProperties" if value is False:
            known = sorted(schema.get("properties", {}))
            patterns = schema.get("patternProperties", {})
            extra = [it for it in config if it not in known]
            return [
                Violation(
                    (*path, it), f"is not a key that it has{_suggestion(it, known)}", is_key=True
                )
                for it in extra
                if not any(re.search(pattern, it) for pattern in patterns)
            ]
        case "type":
            return [Violation(path, _types(value, config))]
        case "enum" | "const":
            choices = value if rule == "enum" else [value]
            shown = ", ".join(json.dumps(it, ensure_ascii=False) for it in choices)
            return [Violation(path, f"must be {'one of ' if choices[1:] else ''}{shown:.300}")]
        case "anyOf" | "oneOf" if error.context:
            return _of_branches(error, path)
    bound = json.dumps(value, ensure_ascii=False)
    return [Violation(path, f"breaks the rule {rule}: {bound:.200}")]


def _of_branches(error: ValidationError, path: tuple[str | int, ...]) -> list[Violation]:
    """What is wrong in the one branch of the right type, else the types that the value may have."""
    branches = _branches(error)
    meant = [it for it in branches if not any(_is_type(error) for error in it)]
    if len(meant) == 1:
        return [violation for inner in meant[0] for violation in _violations(inner)]
    if meant:
        return [Violation(path, f"has none of the {len(branches)} forms that it may have")]
    types: list[Any] = [it.validator_value for branch in branches for it in branch if _is_type(it)]
    flat = [name for it in types for name in ([it] if isinstance(it, str) else it)]
    return [Violation(path, _types(list(dict.fromkeys(flat)), error.instance))]


def _branches(error: ValidationError) -> list[list[ValidationError]]:
    grouped: dict[object, list[ValidationError]] = {}
    for inner in error.context or ():
        grouped.setdefault(inner.relative_schema_path[0], []).append(inner)
    return list(grouped.values())


def _is_type(inner: ValidationError) -> bool:
    """Whether a branch is refused for the type of the whole value."""
    return inner.validator == "type" and not inner.relative_path


def _accepted_by_servers(error: ValidationError) -> bool:
    """Whether a server accepts what the schema refuses."""
    value, types, schema = (
        error.instance,
        cast("Any", error.validator_value),
        cast("Any", error.schema),
    )
    if isinstance(value, str) and "${env." in value:
        return True
    match error.validator:
        case "uniqueItems":
            return True  # a set drops duplicates
        case "type":
            types = cast("Any", error.validator_value)
            names = [types] if isinstance(types, str) else types
            return any(_converted(value, name, schema) for name in names)
        case "anyOf" | "oneOf":
            return any(all(map(_accepted_by_servers, branch)) for branch in _branches(error))
    return False


def _converted(value: object, name: str, schema: Mapping[str, Any]) -> bool:
    match name, value:
        case (("integer" | "number"), bool()):
            return True
        case (("integer" | "number"), str()):
            try:
                return float(value).is_integer() or name == "number"
            except (ValueError, OverflowError):
                return False
        case "boolean", int() | float():
            return value in (0, 1)
        case "boolean", str():
            return value.lower() in _BOOLEANS
        case "string", int() | float():
            return schema.get("format") in _TIMES
    return False


def _types(names: str | list[str], value: object) -> str:
    wanted = " or ".join([names] if isinstance(names, str) else names)
    found = next((word for kind, word in _WORDS.items() if isinstance(value, kind)), "null")
    return f"must be of type {wanted}, not {found}"


def _suggestion(word: str, known: list[str]) -> str:
    if meant := nearest_word(word, known):
        return f": did you mean '{meant}'?"
    return f"; it has {', '.join(known)}" if known else ""
