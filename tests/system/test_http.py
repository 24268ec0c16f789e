"""``Retry-After`` as servers write it."""

from __future__ import annotations

import pytest

from lls_provider.system.http import WAIT_LIMIT, Interrupted, retry_after

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("9" * 5000, 999_999_999.0),
        ("Sun, 06 Nov 1994 08:49:57 GMT", 20.0),
        ("Sunday, 06-Nov-94 08:49:57 GMT", 20.0),
        ("Sun Nov  6 08:49:57 1994", 20.0),
        ("Sun, 06 Nov 1994 08:49:17 GMT", 0.0),
        ("-1", None),
        ("7.5", None),
        ("soon", None),
        ("", None),
        ("Sun, 99 Nov 1994 99:99:99 GMT", None),
        ("٣", None),
        ("Fri, 01 Jan 2100 00:00:00 +99999999999999999999", None),
        ("Fri, 01 Jan 99999999999999999999999 00:00:00 GMT", None),
    ],
)
def test_a_number_or_a_date(told: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": told}, NOW) == seconds


def test_there_is_a_bound() -> None:
    assert retry_after({}) is None
    assert Interrupted("busy", 5.0).wait(1) == 5.0
    assert Interrupted("busy", 3600.0).wait(1) == WAIT_LIMIT
    assert Interrupted("cut").wait(2) == 1.0
    assert str(Interrupted("busy", 3600.0)) == "busy and asked to wait 3600 s"
