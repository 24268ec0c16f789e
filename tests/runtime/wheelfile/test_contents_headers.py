from __future__ import annotations

import pytest

from lls_provider.runtime.wheelfile.contents import Headers


def test_fields_are_found_without_regard_to_case() -> None:
    headers = Headers(b"Name: a\nRequires-Dist: b\nrequires-dist: c\n\nName: body\n")
    assert headers.one("name") == "a"
    assert headers.all("Requires-Dist") == ["b", "c"]
    assert headers.optional("Summary") is None
    assert headers.all("Summary") == []


def test_an_indented_line_continues_the_field() -> None:
    assert Headers(b"License: one\n  two\nName: x\n").one("License") == "one\ntwo"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"no colon\n", "line 1 is no 'Key: value'"),
        (b" indented: first\n", "line 1 continues nothing"),
        (b": value\n", "line 1 is no"),
        (b"Name: \xff\n", "utf-8"),
    ],
)
def test_what_is_no_header_block_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Headers(data)


@pytest.mark.parametrize("data", [b"Other: x\n", b"Name: a\nName: b\n", b"Name:\n"])
def test_a_field_that_must_stand_once_is_checked(data: bytes) -> None:
    with pytest.raises(ValueError, match="the field Name"):
        Headers(data).one("Name")


def test_other_separators_are_content() -> None:
    headers = Headers("Name: x\nSummary: one\u2028two\x85three\x0cfour\r\nVersion: 1\n".encode())
    assert headers.one("Summary") == "one\u2028two\x85three\x0cfour"
    assert headers.one("Version") == "1"


def test_the_body_may_be_in_any_encoding() -> None:
    assert Headers(b"Name: x\r\n\r\nb\xf6dy\n").one("Name") == "x"


def test_many_continuations_take_no_longer_than_their_length() -> None:
    headers = Headers(b"License: x\n" + b" y\n" * 300_000)
    assert len(headers.one("License")) == 1 + 2 * 300_000
