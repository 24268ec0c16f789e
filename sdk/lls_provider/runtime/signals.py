"""Signals as exceptions, so that everything is cleaned up on the way out."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from lls_provider.errors import ExitStatus


class Stopped(BaseException):
    """SIGTERM or SIGINT arrived; ``status`` is what the process ends with."""

    def __init__(self, status: ExitStatus) -> None:
        super().__init__(status)
        self.status = status


@contextlib.contextmanager
def stopping() -> Iterator[None]:
    """Raise `Stopped` on SIGTERM and SIGINT inside; as PID 1 they would do nothing otherwise.

    Outside the main thread Python handles no signals, and this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)

    def stop(number: int, _frame: FrameType | None) -> None:
        for other in numbers:  # once is enough: the cleaning must not be interrupted
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(ExitStatus.TERMINATED if number == signal.SIGTERM else ExitStatus.INTERRUPTED)

    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
