"""The message that Kubernetes shows in a Pod's status (contract section 6)."""

from __future__ import annotations

import contextlib
import os

from lls_provider.contract.paths import TERMINATION_LOG_LIMIT

# without waiting for somebody to read, should it be a pipe
_FLAGS = os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CUT = "\n[…]\n"


def write_termination_log(message: str, path: str) -> None:
    """Write the message, best effort: a file that is not there is not created."""
    with contextlib.suppress(OSError, ValueError):
        descriptor = os.open(path, _FLAGS)
        try:
            os.write(descriptor, cut(message, TERMINATION_LOG_LIMIT))
        finally:
            os.close(descriptor)


def cut(message: str, limit: int) -> bytes:
    """The message as UTF-8 in at most ``limit`` bytes.

    The beginning (who, and the cause) and the resolution at the end stay; the middle goes.
    """
    data = message.encode("utf-8", "replace")
    if len(data) <= limit:
        return data
    head, separator, tail = message.rpartition("\n\nResolution: ")
    mark = _CUT.encode()
    end = (separator + tail).encode("utf-8", "replace") if separator else b""
    end = _whole(end[: limit // 2])
    room = limit - len(mark) - len(end)
    return _whole((head if separator else tail).encode("utf-8", "replace")[:room]) + mark + end


def _whole(data: bytes) -> bytes:
    """Without the half of a character at the end."""
    return data.decode("utf-8", "ignore").encode()
