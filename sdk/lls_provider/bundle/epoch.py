"""The one time that stands in whatever a build writes: SOURCE_DATE_EPOCH, never the clock."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime

from lls_provider.errors import Code, SdkError


def source_date_epoch(environment: Mapping[str, str] | None = None) -> int:
    """SOURCE_DATE_EPOCH in seconds since 1970, else 0.

    Raises SdkError USAGE when it is no whole number of seconds.
    """
    text = (os.environ if environment is None else environment).get("SOURCE_DATE_EPOCH", "")
    if not text:
        return 0
    # to the end of what a plain tar header can say
    if not (text.isascii() and text.isdigit() and int(text) < 8**11):
        raise SdkError(
            Code.USAGE,
            f"SOURCE_DATE_EPOCH is not a time: {text!r}",
            why="It is a number of seconds since 1970.",
            resolution="Unset it, or set it to `git log -1 --pretty=%ct`.",
        )
    return int(text)


def timestamp(epoch: int) -> str:
    """The moment as RFC 3339 writes it: ``1970-01-01T00:00:00Z``."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
