"""Reply fields: what is filled in, and what is told of one that the reply does not have."""

from __future__ import annotations

from typing import Any

import pytest

from lls_provider.errors import Code, SdkError, Where
from lls_provider.project.sample_call import SampleCall, filled

REPLIES = [
    {"id": "file-1", "bytes": 12, "done": True, "name": "a b/c", "none": None},
    {"data": [{"embedding": [0.5, 1.0]}, {"embedding": [2.0]}], "0": "zero", "empty": []},
    "plain",
]


def body(value: Any) -> Any:
    return filled(SampleCall("POST", "/x", value), 4, REPLIES).body


def path(text: str) -> str:
    return filled(SampleCall("GET", text), 4, REPLIES).path


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("${replies.1.id}", "file-1"),
        ("${replies.1.bytes}", 12),
        ("${replies.1.none}", None),
        ("${replies.2.data.1.embedding}", [2.0]),
        ("${replies.2.data.0}", {"embedding": [0.5, 1.0]}),
        ("${replies.2.0}", "zero"),
        ("${replies.1.id} has ${replies.1.bytes} bytes", "file-1 has 12 bytes"),
        ("done: ${replies.1.done}", "done: true"),
        ([{"a": "${replies.1.id}", "b": 1}], [{"a": "file-1", "b": 1}]),
        ("${env.HOME} ${replies}", "${env.HOME} ${replies}"),
        ({"${replies.1.id}": None}, {"${replies.1.id}": None}),
        (None, None),
    ],
)
def test_a_text_that_is_one_reply_field_becomes_its_value(written: Any, found: Any) -> None:
    assert body(written) == found


def test_a_path_is_encoded() -> None:
    assert path("/v1/files/${replies.1.id}/content") == "/v1/files/file-1/content"
    assert path("/v1/x/${replies.1.name}?n=${replies.1.bytes}") == "/v1/x/a%20b%2Fc?n=12"


def test_a_form_holds_texts() -> None:
    call = SampleCall("POST", "/x", form={"n": "${replies.1.bytes}", "plain": "a b"})
    assert filled(call, 4, REPLIES).form == {"n": "12", "plain": "a b"}


def test_the_call_itself_stays_as_it_is() -> None:
    call = SampleCall("POST", "/x", {"a": "${replies.1.id}"}, expect_text="y", within=3)
    assert filled(call, 4, REPLIES) == SampleCall(
        "POST", "/x", {"a": "file-1"}, expect_text="y", within=3
    )
    assert call.body == {"a": "${replies.1.id}"}


def refused(field: str) -> SdkError:
    place = Where("pyproject.toml", 7, 9)
    call = SampleCall("POST", "/x", {"a": field}, places={("body", "a"): place})
    with pytest.raises(SdkError) as caught:
        filled(call, 4, REPLIES)
    assert (caught.value.code, caught.value.where) == (Code.CALL_FAILED, place)
    return caught.value


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("${replies.1.ID}", "${replies.1.id}"),
        ("${replies.1.byte}", "${replies.1.bytes}"),
        ("${replies.2.datta.0.embedding}", "${replies.2.data.0.embedding}"),
        ("${replies.2.data.0.embeding}", "${replies.2.data.0.embedding}"),
    ],
)
def test_what_was_meant_works(field: str, meant: str) -> None:
    error = refused(field)

    assert error.what.startswith(f"Call 4 needs {field}, which the reply to call ")
    assert "; did you mean '" in error.what
    assert error.resolution == f"Write {meant}."
    body(meant)


@pytest.mark.parametrize(
    ("field", "why", "example"),
    [
        (
            "${replies.1.other.x}",
            "There is no 'other': it has id, bytes, done, name, none.",
            "${replies.1.id}",
        ),
        (
            "${replies.2.data.7.embedding}",
            "There is no 'data.7': its field data is a list of 2, counted from 0.",
            "${replies.2.data.0}",
        ),
        (
            "${replies.2.data.-1}",
            "There is no 'data.-1': its field data is a list of 2, counted from 0.",
            "${replies.2.data.0}",
        ),
    ],
)
def test_what_the_reply_has_works(field: str, why: str, example: str) -> None:
    error = refused(field)

    assert error.why == why
    assert error.resolution == f"Name what the reply has, such as {example}."
    body(example)


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ("${replies.3.id}", "There is no 'id': it is 'plain'."),
        ("${replies.1.none.x}", "There is no 'none.x': its field none is no value."),
        ("${replies.2.empty.0}", "There is no 'empty.0': its field empty is a list of 0, "),
    ],
)
def test_where_nothing_can_be_named_the_earlier_call_is(field: str, why: str) -> None:
    error = refused(field)

    assert error.why.startswith(why)
    number = field[len("${replies.")]
    assert error.resolution == (
        f"Name another field, or change call {number} so that its reply has this one."
    )
