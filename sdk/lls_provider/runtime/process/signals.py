"""Signals as exceptions, so that everything is cleaned up on the way out."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from lls_provider.errors import ExitStatus

_NUMBERS = (signal.SIGTERM, signal.SIGINT)
_LOOK_SECONDS = 0.1
_arrived: list[ExitStatus] = []
_deferrals = 0  # how many blocks that defer signals are running


class StoppedBySignal(BaseException):
    """SIGTERM or SIGINT arrived; ``status`` is what the process ends with."""

    def __init__(self, status: ExitStatus) -> None:
        super().__init__(status)
        self.status = status


@contextlib.contextmanager
def stop_signals() -> Iterator[None]:
    """Raise `StoppedBySignal` on SIGTERM and SIGINT in the block, at its end at the latest.

    Outside the main thread Python handles no signals, and this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        for other in _NUMBERS:  # once is enough: the cleanup must not be interrupted
            signal.signal(other, signal.SIG_IGN)
        _arrived.append(
            ExitStatus.TERMINATED if number == signal.SIGTERM else ExitStatus.INTERRUPTED
        )
        if not _deferrals:
            raise StoppedBySignal(_arrived[0])

    _arrived.clear()
    before = [signal.signal(number, stop) for number in _NUMBERS]
    unraisable, sys.unraisablehook = sys.unraisablehook, _unless_stopped
    try:
        yield
        check_stopped()
    finally:
        sys.unraisablehook = unraisable
        for number, handler in zip(_NUMBERS, before, strict=True):
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        _arrived.clear()  # it was reported; what runs later in this process was not stopped


def _unless_stopped(unraisable: sys.UnraisableHookArgs, /) -> None:
    """Print nothing for a `StoppedBySignal` that Python drops: `check_stopped` finds it."""
    if not isinstance(unraisable.exc_value, StoppedBySignal):
        sys.__unraisablehook__(unraisable)


def check_stopped() -> None:
    """Raise `StoppedBySignal` if a signal arrived and its exception was dropped.

    Python drops an exception that is raised in a destructor or in a hook around ``fork``. Call this
    before each step that cannot be undone.
    """
    if _arrived:
        raise StoppedBySignal(_arrived[0])


@contextlib.contextmanager
def signals_deferred() -> Iterator[None]:
    """Defer signals to the end of the block, for what must not be interrupted, such as ``fork``.

    Blocking also keeps them from a forked process. It is not enough if there are other threads: one
    of those then receives the signal, and its handler still runs here.
    """
    global _deferrals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _NUMBERS)
    _deferrals += 1
    try:
        yield
    finally:
        _deferrals -= 1
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        check_stopped()


def as_worker(parent: int) -> None:
    """In a process just forked: signals end it at once, and so does the end of its parent.

    A worker holds the volume's lock together with its parent, and must not outlive it, not even
    for the rest of one large file.
    """

    def look(_number: int, _frame: FrameType | None) -> None:
        if os.getppid() != parent:
            os._exit(1)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _LOOK_SECONDS, _LOOK_SECONDS)
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _NUMBERS)
