from __future__ import annotations

import hashlib

import pytest
from tests.factories.wheels import record_hash

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.wheelfile.record import parse_record

INFO = "x-1.0.dist-info"


def _hash(algorithm: str = "sha256") -> str:
    return record_hash(b"x", algorithm)


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_hash_and_size_are_read(algorithm: str) -> None:
    text = f'"a,b.py",{_hash(algorithm)},1\r\n\r\n{INFO}/RECORD,,\r\n'
    record = parse_record(text.encode(), INFO, "x.whl")
    found = record["a,b.py"]
    assert (found.algorithm, found.digest) == (algorithm, hashlib.new(algorithm, b"x").digest())
    assert found.size == 1
    assert record[f"{INFO}/RECORD"].size is None


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (f"a.py,{_hash()}", Code.WHEEL_RECORD_INVALID),
        (f"a.py,{_hash()},1,2", Code.WHEEL_RECORD_INVALID),
        (f"a.py,{_hash()},1\na.py,{_hash()},2", Code.WHEEL_RECORD_INVALID),
        (f"a.py,{_hash()},1\na.py,{_hash('sha512')},1", Code.WHEEL_RECORD_INVALID),
        (f"a.py,{_hash()},1\na.py,{_hash()},", Code.WHEEL_RECORD_INVALID),
        (f"a.py,{_hash()},+1", Code.WHEEL_RECORD_INVALID),
        (f'"a.py,{_hash()},1', Code.WHEEL_RECORD_INVALID),
        (f"../a.py,{_hash()},1", Code.WHEEL_PATH_UNSAFE),
        (f"a.py,{_hash('md5')},1", Code.WHEEL_HASH_WEAK),
        ("a.py,,1", Code.WHEEL_HASH_WEAK),
    ],
)
def test_a_bad_line_is_refused_with_its_number(line: str, code: Code) -> None:
    with pytest.raises(SdkError) as caught:
        parse_record(f"{INFO}/RECORD,,\n{line}\n".encode(), INFO, "/w/x.whl")
    assert caught.value.code is code
    assert caught.value.where.file == "/w/x.whl"
    assert "RECORD" in caught.value.why


def test_a_line_that_is_there_again_is_read_once() -> None:
    line = f"a.py,{_hash()},1\n"
    assert list(parse_record((line * 3).encode(), INFO, "x.whl")) == ["a.py"]


@pytest.mark.parametrize(
    ("told", "form"),
    [
        (
            f"sha256={'0aF1' * 16}",
            "it is written in hexadecimal, and belongs there in URL-safe base64",
        ),
        (
            f"sha512={'0a' * 64}",
            "it is written in hexadecimal, and belongs there in URL-safe base64",
        ),
        (_hash().replace("sha", "SHA"), "SHA256 belongs there in small letters"),
        (f"sha256={'0a' * 31}", ""),
        (f"sha256={'0g' * 32}", ""),
        ("md5=d41d8cd98f00b204e9800998ecf8427e", ""),
        ("", ""),
    ],
)
def test_a_hash_in_another_form_is_told_by_its_form(told: str, form: str) -> None:
    with pytest.raises(SdkError) as caught:
        parse_record(f"a.py,{told},1\n".encode(), INFO, "x.whl")
    assert caught.value.code is Code.WHEEL_HASH_WEAK
    assert caught.value.why.endswith(f"has no sha256 (or better) hash{form and f': {form}'}")
