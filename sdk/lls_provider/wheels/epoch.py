"""SOURCE_DATE_EPOCH: the one time in everything that a build writes, never the clock."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime

from lls_provider.errors import Code, SdkError

_DAY = 86400


_RECENT = 10**8  # 1973: a time that someone may mean


_END = 8**11  # of what a plain tar header can say


# of what a zip can say, and a day less at both ends: a backend may write local time
_ZIP_BEGINS = int(datetime(1980, 1, 1, tzinfo=UTC).timestamp()) + _DAY


_ZIP_ENDS = int(datetime(2108, 1, 1, tzinfo=UTC).timestamp()) - _DAY


def source_date_epoch(environment: Mapping[str, str] | None = None) -> int:
    """SOURCE_DATE_EPOCH in seconds since 1970; 0 where it is not set or empty.

    Raises SdkError USAGE when it is not a whole number of seconds up to the year 2242.
    """
    text = (os.environ if environment is None else environment).get("SOURCE_DATE_EPOCH", "")
    if not text:
        return 0
    # the length first: Python refuses to read numbers of thousands of digits
    whole = text.isascii() and text.isdigit()
    if not whole or len(text.lstrip("0")) > len(str(_END)) or int(text) >= _END:
        raise SdkError(
            Code.USAGE,
            f"SOURCE_DATE_EPOCH is not a time: {_shortened(text)!r}",
            why=_reason(text, whole),
            resolution="Unset it, or set it to `git log -1 --pretty=%ct`.",
        )
    return int(text)


def backend_epoch(environment: Mapping[str, str] | None = None) -> str:
    """SOURCE_DATE_EPOCH for a build backend: the nearest time that a zip can hold.

    Backends fail at other times, and the time is taken out of their wheels anyway. Raises what
    `source_date_epoch` raises.
    """
    return str(min(max(source_date_epoch(environment), _ZIP_BEGINS), _ZIP_ENDS))


def timestamp(epoch: int) -> str:
    """The moment as RFC 3339 writes it: ``1970-01-01T00:00:00Z``."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _reason(text: str, whole: bool) -> str:
    if not whole:
        return "It must be a whole number of seconds since 1970, written in digits only."
    for unit, exponent in (("milliseconds", 3), ("microseconds", 6), ("nanoseconds", 9)):
        seconds = int(text[:-exponent]) if len(text) <= len(str(_END)) + exponent else _END
        if _RECENT <= seconds < _END:
            when = datetime.fromtimestamp(seconds, UTC).date().isoformat()
            return f"It is a number of seconds since 1970. As {unit} it would be {when}."
    return "It is a number of seconds since 1970, and this one is after the year 2242."


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"
