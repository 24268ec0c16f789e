"""An error as its reader sees it, and as JSON: what one process writes another reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lls_provider.errors import Code, Problem, SdkError, Where

HOSTILE = "\x1b[31m\nResolution: no é € \U0001f600 \udcff"


def parts(error: SdkError) -> dict[str, Any]:
    return {"args": error.args, **vars(error)}


@pytest.mark.parametrize("code", Code)
def test_an_error_comes_back_as_it_was(code: Code) -> None:
    error = SdkError(
        code,
        HOSTILE,
        resolution=f"r{HOSTILE}",
        why=f"w{HOSTILE}",
        where=Where("a/b.yaml", 3, 9, "acme", "oci:x"),
        problems=[
            Problem(Code.FIELD_TYPE, HOSTILE, Where("c.toml", 1), "mend it", "spec.api"),
            Problem(Code.USAGE, "second"),
        ],
        layout=f"ERROR: {HOSTILE}",
        detail={"missing_apis": ["files"], "more": [None, True, 1.5, {"a": 2**70}]},
    )
    text = error.to_json()
    assert text.isascii()
    assert "\n" not in text
    found = SdkError.from_json(text)
    assert parts(found) == parts(error)
    assert found.render() == error.render()
    assert SdkError.from_json(text.encode()).status is code.status


def test_what_is_not_set_stays_so() -> None:
    error = SdkError(Code.NETWORK, "x", resolution="y")
    assert parts(SdkError.from_json(error.to_json())) == parts(error)


@pytest.mark.parametrize("detail", [object(), {"a": object()}, float("nan"), {"a": b""}])
def test_a_detail_that_is_no_plain_data_is_left_out(detail: object) -> None:
    error = SdkError(Code.NETWORK, "x", why="w", resolution="y", detail=detail)
    found = SdkError.from_json(error.to_json())
    assert (found.detail, found.why) == (None, "w")


def changed(**values: Any) -> str:
    document = json.loads(SdkError(Code.USAGE, "x", resolution="y").to_json())
    return json.dumps({**document, **values})


def test_what_a_later_release_adds_is_ignored() -> None:
    assert SdkError.from_json(changed(help="https://example.com")).what == "x"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        b"\xff",
        "[]",
        "null",
        "NaN",
        "9" * 5000,
        "[" * 100_000,
        '{"a":' * 100_000,
        "{}",
        changed(code="no-such-code"),
        changed(code=["usage"]),
        changed(code=None),
        changed(exit_status=0),
        changed(exit_status=None),
        changed(what=None),
        changed(what=7),
        changed(why=[]),
        changed(resolution={}),
        changed(layout=7),
        changed(where=[]),
        changed(where=None),
        changed(where={"file": 1}),
        changed(where={"provider": ["a"]}),
        changed(where={"image": {}}),
        changed(where={"line": "1"}),
        changed(where={"line": True}),
        changed(where={"line": 0}),
        changed(where={"column": 1.0}),
        changed(where={"column": -1}),
        changed(problems={}),
        changed(problems=[7]),
        changed(problems=[{}]),
        changed(problems=[{"code": "usage"}]),
        changed(problems=[{"code": "usage", "what": "x", "path": 1}]),
        changed(problems=[{"code": "usage", "what": "x", "where": 1}]),
        changed(detail=0)[:-2] + "Infinity}",
    ],
)
def test_nothing_else_passes_for_an_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        SdkError.from_json(text)


def _error() -> SdkError:
    return SdkError(
        Code.DOCUMENT_INVALID,
        "The document is not valid",
        why="two things are wrong",
        where=Where(file="run.yaml"),
        resolution="Correct both.",
        problems=[
            Problem(Code.FIELD_TYPE, "a is not text", Where(file="run.yaml", line=3, column=5)),
            Problem(Code.FIELD_UNKNOWN, "b is unknown", resolution="Remove b."),
        ],
    )


def test_problems_stand_below_the_cause_each_with_its_own_way_out() -> None:
    text = _error().render()
    assert "- run.yaml:3:5: a is not text\n- b is unknown\n  Remove b.\n\nResolution:" in text


def test_a_program_gets_the_same_as_plain_data() -> None:
    document = _error().to_document()
    assert document["code"] == "document-invalid"
    assert document["where"] == {"file": "run.yaml"}
    assert document["problems"] == [
        {
            "code": "field-type",
            "what": "a is not text",
            "where": {"file": "run.yaml", "line": 3, "column": 5},
            "path": "",
            "resolution": "",
        },
        {
            "code": "field-unknown",
            "what": "b is unknown",
            "where": {},
            "path": "",
            "resolution": "Remove b.",
        },
    ]
