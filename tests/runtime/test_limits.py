from __future__ import annotations

import pytest

from lls_provider.contract.limits import VARIABLE, WheelLimits, wheel_limits
from lls_provider.errors import Code, SdkError

MIB = 1024 * 1024


def test_what_may_be_unpacked_grows_with_the_archive() -> None:
    limits = WheelLimits()
    assert limits.bytes_of(1) == 64 * MIB
    assert limits.bytes_of(3 * 1024 * MIB) == 300 * 1024 * MIB
    assert limits.files_of(1) == 10_000
    assert limits.files_of(51_200_000) == 110_000


def test_what_is_told_takes_the_place_of_what_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "ratio=7, bytes=5 files=3")
    assert wheel_limits() == WheelLimits(ratio=7, bytes=5, files=3)
    assert wheel_limits().bytes_of(10**12) == 5
    assert wheel_limits().files_of(10**12) == 3
    monkeypatch.setenv(VARIABLE, "")
    assert wheel_limits() == WheelLimits()


@pytest.mark.parametrize("text", ["ratio", "ratio=", "ratio=-1", "ratio=1e3", "ratio=٣", "x=1"])
def test_what_is_no_limit_is_bad_usage(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(SdkError) as caught:
        wheel_limits()
    assert caught.value.code is Code.USAGE
    assert VARIABLE in caught.value.what
