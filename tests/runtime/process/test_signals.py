"""Each test is a process of its own: a signal that comes late must not end the one that tests."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from textwrap import dedent

import pytest

from lls_provider.runtime.process.signals import check_stopped, stop_signals

BEGIN = """\
import os, signal, threading, time
from lls_provider.errors import ExitStatus
from lls_provider.runtime.process import signals
from lls_provider.runtime.process.signals import (
    StoppedBySignal,
    as_worker,
    check_stopped,
    signals_deferred,
    stop_signals,
)

def send(number):
    os.kill(os.getpid(), number)

def stopped(block):
    try:
        with stop_signals():
            block()
    except StoppedBySignal as stop:
        return stop.status
    raise SystemExit("it was not stopped")
"""


def _passes(script: str) -> None:
    """Run the script to its end; what it asserts must hold."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_the_first_signal_counts_and_the_cleaning_is_not_interrupted() -> None:
    _passes("""
        cleaned = []
        def block():
            try:
                send(signal.SIGTERM)
            finally:
                send(signal.SIGINT)
                cleaned.append(True)
        assert stopped(block) == ExitStatus.TERMINATED
        assert cleaned
        print("done")
    """)


def test_a_signal_whose_exception_was_lost_is_found_at_the_next_step() -> None:
    """Python drops what a destructor raises."""
    _passes("""
        class Swallows:
            def __del__(self):
                send(signal.SIGTERM)
        def block():
            Swallows()
            check_stopped()
        assert stopped(block) == ExitStatus.TERMINATED
        print("done")
    """)


def test_a_signal_that_is_held_back_arrives_at_the_end() -> None:
    _passes("""
        reached = []
        def block():
            with signals_deferred():
                send(signal.SIGINT)
                reached.append(True)
        assert stopped(block) == ExitStatus.INTERRUPTED
        assert reached
        print("done")
    """)


def test_a_signal_that_another_thread_takes_is_held_back_as_well() -> None:
    _passes("""
        reached = []
        done = threading.Event()
        idle = threading.Thread(target=done.wait)
        idle.start()
        def block():
            with signals_deferred():
                signal.pthread_kill(idle.ident, signal.SIGTERM)
                while not signals._arrived:
                    time.sleep(0.001)
                reached.append(True)
        try:
            assert stopped(block) == ExitStatus.TERMINATED
            assert reached
        finally:
            done.set()
        print("done")
    """)


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_the_handlers_come_back(number: str) -> None:
    _passes(f"""
        before = signal.getsignal(signal.{number})
        stopped(lambda: send(signal.{number}))
        assert signal.getsignal(signal.{number}) is before
        check_stopped()
        print("done")
    """)


def test_outside_the_main_thread_nothing_is_changed() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def body() -> None:
        with stop_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [before]


def test_without_a_signal_nothing_happens() -> None:
    with stop_signals():
        check_stopped()


def test_what_else_a_destructor_raises_is_shown_as_ever() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            BEGIN
            + dedent("""
                class Raises:
                    def __del__(self):
                        raise ValueError("of a stranger")
                with stop_signals():
                    Raises()
                    class Stops:
                        def __del__(self):
                            raise StoppedBySignal(signal.SIGTERM)
                    Stops()
                print("done")
            """),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert "ValueError: of a stranger" in done.stderr
    assert "Stopped" not in done.stderr


@pytest.mark.parametrize(("parent", "status"), [("os.getppid()", 0), ("-1", 1)])
def test_a_worker_looks_whether_its_parent_lives(parent: str, status: int) -> None:
    script = f"""
        as_worker({parent})
        signal.raise_signal(signal.SIGALRM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getitimer(signal.ITIMER_REAL)[1] > 0
        os._exit(0)  # as workers end: Python's own end would leave the timer without a handler
    """
    done = subprocess.run([sys.executable, "-c", BEGIN + dedent(script)], timeout=120)
    assert done.returncode == status
