from __future__ import annotations

import base64
import hashlib

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.wheelrecord import parse_record

INFO = "x-1.0.dist-info"


def _hash(algorithm: str = "sha256") -> str:
    digest = base64.urlsafe_b64encode(hashlib.new(algorithm, b"x").digest()).rstrip(b"=")
    return f"{algorithm}={digest.decode()}"


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
        (f"a.py,{_hash()},1\na.py,{_hash()},1", Code.WHEEL_RECORD_INVALID),
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
