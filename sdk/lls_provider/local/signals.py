"""Turns the signals that end a program into exceptions, so that everything is cleaned up."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from lls_provider.errors import ExitStatus

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def ending_cleanly() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP raise SystemExit(143), as SIGINT raises already.

    Signals that are ignored (``nohup``) stay ignored. Outside the main thread, where Python
    delivers none, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for number in _ENDING:
        handler = signal.getsignal(number)
        if handler is not signal.SIG_IGN:
            before[number] = handler
            signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(int(ExitStatus.TERMINATED))
