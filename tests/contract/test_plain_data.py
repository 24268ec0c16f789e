from __future__ import annotations

import pytest

from lls_provider.contract.limits import DocumentLimits
from lls_provider.contract.plain_data import parse_json


def test_plain_json_is_read() -> None:
    assert parse_json(
        b'\xef\xbb\xbf{"a": [1, 2.5, 1e3, null, true, "\xc3\xa4"]}', DocumentLimits()
    ) == {"a": [1, 2.5, 1000.0, None, True, "ä"]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"a": 1, "a": 2}',
        b"[NaN]",
        b"[-Infinity]",
        b'["\\ud800"]',
        b'{"\\udc00": 1}',
        b'["\xff"]',
        "[1]".encode("utf-16"),
        b"[" * 100_000,
        b"[" * 65 + b"]" * 65,
        b"[" + b"1," * 50_000 + b"1]",
        b"1" * 5_000,
    ],
    ids=range(13),
)
def test_what_the_yaml_reader_should_judge_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(data, DocumentLimits())


def test_the_deepest_that_is_allowed_is_read() -> None:
    assert parse_json(b"[" * 64 + b"]" * 64, DocumentLimits())
