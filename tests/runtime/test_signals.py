from __future__ import annotations

import os
import signal
import threading

import pytest

from lls_provider.errors import ExitStatus
from lls_provider.runtime.signals import Stopped, check_stopped, held_back, stopping


def test_the_first_signal_counts_and_the_cleaning_is_not_interrupted() -> None:
    cleaned = False
    with pytest.raises(Stopped) as caught, stopping():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            cleaned = True
    assert cleaned
    assert caught.value.status == ExitStatus.TERMINATED


class _Swallows:
    """Python drops what a destructor raises."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_whose_exception_was_lost_is_found_at_the_next_step() -> None:
    with pytest.raises(Stopped), stopping():
        _Swallows()
        check_stopped()


def test_a_signal_that_is_held_back_arrives_at_the_end() -> None:
    reached = False
    with pytest.raises(Stopped), stopping(), held_back():
        os.kill(os.getpid(), signal.SIGINT)
        reached = True
    assert reached


def test_a_signal_that_another_thread_takes_is_held_back_as_well() -> None:
    reached = False
    done = threading.Event()
    idle = threading.Thread(target=done.wait)
    idle.start()
    try:
        with pytest.raises(Stopped), stopping(), held_back():
            assert idle.ident is not None
            signal.pthread_kill(idle.ident, signal.SIGTERM)
            done.wait(0.2)  # its handler is due long before
            reached = True
        assert reached
    finally:
        done.set()
        idle.join()


def test_outside_the_main_thread_nothing_is_changed() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def body() -> None:
        with stopping():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [before]


def test_without_a_signal_nothing_happens() -> None:
    with stopping():
        check_stopped()
