"""What a provider's config schema refuses of a config, and what servers take all the same."""

from __future__ import annotations

from typing import Any

import pytest

from lls_provider.bundle.config_schema import dump_schema, schema_fault, violations

# as pydantic makes it of nested, optional and constrained fields
SCHEMA: dict[str, Any] = {
    "$defs": {
        "Retry": {
            "type": "object",
            "properties": {
                "times": {"type": "integer", "minimum": 1},
                "mode": {"enum": ["linear", "exponential"], "type": "string"},
            },
        },
    },
    "type": "object",
    "additionalProperties": False,
    "required": ["url"],
    "properties": {
        "url": {"type": "string"},
        "token": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "retry": {"anyOf": [{"$ref": "#/$defs/Retry"}, {"type": "null"}]},
        "stages": {"type": "array", "items": {"$ref": "#/$defs/Retry"}},
        "ratio": {"type": "number"},
        "verify": {"type": "boolean"},
        "wait": {"type": "string", "format": "duration"},
        "names": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "extra": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


def told(**config: Any) -> list[str]:
    return [f"{it.json_path} {it.reason}" for it in violations(SCHEMA, {"url": "x", **config})]


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"nonsense", b'{"type": 1}', b'{"a": "' + b"x" * (1 << 20) + b'"}']
)
def test_what_is_no_schema_is_told(data: bytes) -> None:
    assert schema_fault(data)


def test_every_key_that_is_refused_is_told_with_its_place() -> None:
    assert schema_fault(dump_schema(SCHEMA)) is None
    found = violations(
        SCHEMA,
        {
            "tokn": "x",
            "token": ["s3cret"],
            "retry": {"times": 0, "mode": "s3cret"},
            "stages": [{}, {"times": "s3cret"}],
            "extra": {"a-b": 1},
        },
    )
    assert [f"{it.json_path} {it.reason}" for it in found] == [
        '$.extra["a-b"] must be of type string, not integer',
        '$.retry.mode must be one of "linear", "exponential"',
        "$.retry.times breaks the rule minimum: 1",
        "$.stages[1].times must be of type integer, not string",
        "$.token must be of type string or null, not array",
        "$.tokn is not a key that it has: did you mean 'token'?",
        "$.url is missing, and required",
    ]
    assert [it.json_path for it in found if it.is_key] == ["$.tokn"]


def test_a_key_like_no_other_is_told_with_those_that_there_are() -> None:
    (only,) = told(zzz=1)
    assert only.startswith("$.zzz is not a key that it has; it has extra, names, ratio")


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"token": None, "retry": None, "stages": []},
        {"retry": {"times": "${env.TIMES:=3}", "mode": "${env.MODE}"}},
        {"stages": [{"times": "${env.TIMES:=3}"}], "verify": "${env.VERIFY:=true}"},
        {"retry": {"times": "3"}, "ratio": "0.5", "verify": "yes", "wait": 30},
        {"retry": {"times": 3.0}, "verify": 1, "names": ["a", "a"]},
        {"extra": {"anything": "goes"}},
    ],
)
def test_what_a_server_takes_is_not_refused(config: dict[str, Any]) -> None:
    assert told(**config) == []


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"retry": {"times": "three"}}, "$.retry.times must be of type integer, not string"),
        ({"retry": {"times": "1.5"}}, "$.retry.times must be of type integer, not string"),
        ({"retry": 3}, "$.retry must be of type object or null, not integer"),
        ({"verify": "perhaps"}, "$.verify must be of type boolean, not string"),
        ({"verify": 2}, "$.verify must be of type boolean, not integer"),
        ({"ratio": None}, "$.ratio must be of type number, not null"),
        ({"url": 1}, "$.url must be of type string, not integer"),
        ({"url": True}, "$.url must be of type string, not boolean"),
    ],
)
def test_what_pydantic_does_not_convert_is_refused(config: dict[str, Any], text: str) -> None:
    assert told(**config) == [text]


def test_of_several_forms_the_one_that_was_meant_is_judged() -> None:
    forms = {
        "properties": {
            "auth": {
                "oneOf": [
                    {"type": "object", "required": ["user"]},
                    {"type": "object", "required": ["token"]},
                ]
            }
        }
    }
    (found,) = violations(forms, {"auth": {}})
    assert found.reason == "has none of the 2 forms that it may have"
    assert violations(forms, {"auth": {"user": "x"}}) == []


def test_a_reference_out_of_the_document_is_not_followed_and_refuses_nothing() -> None:
    schema = {"properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}}
    assert violations(schema, {"a": 1}) == []
