"""A command within limits: its output, its end, its process group."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from lls_provider.conformance.process import OUTPUT_LIMIT, CommandResult, Ending, run_command


def run(*words: str, stopped: threading.Event | None = None, limit: float = 30) -> CommandResult:
    return run_command(
        words,
        environment=dict(os.environ),
        time_limit=limit,
        stopped=stopped or threading.Event(),
    )


def python(code: str, limit: float = 30) -> CommandResult:
    return run(sys.executable, "-I", "-c", code, limit=limit)


def test_status_and_output_are_kept() -> None:
    done = python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)")
    assert done == CommandResult(Ending.EXIT, 7, b"out\n", b"err\n")
    assert done.described() == "exit status 7"


def test_what_is_not_utf8_is_replaced() -> None:
    done = python("import sys; sys.stderr.buffer.write(b'a\\xffb\\r\\n')")
    assert done.text("stderr") == "a\ufffdb\n"


def test_stdin_is_empty() -> None:
    assert python("import sys; print(repr(sys.stdin.read()))").stdout == b"''\n"


@pytest.mark.parametrize("words", [("/no/such/program",), (str(Path(__file__)),), ("a\0b",)])
def test_what_cannot_be_started_is_a_result(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.ending is Ending.START
    assert done.status is None
    assert done.described().startswith("it could not be started: ")


def test_all_that_fits_is_kept_and_no_more() -> None:
    exact = python(f"import sys; sys.stdout.write('x' * {OUTPUT_LIMIT})")
    assert (exact.ending, len(exact.stdout)) == (Ending.EXIT, OUTPUT_LIMIT)
    more = python(f"import sys; sys.stdout.write('x' * {OUTPUT_LIMIT + 1})")
    assert (more.ending, len(more.stdout)) == (Ending.OUTPUT, OUTPUT_LIMIT)


def test_a_signal_is_named() -> None:
    done = python("import os; os.kill(os.getpid(), 9)")
    assert done.described() == "a signal ended it: SIGKILL"
    unnamed = python("import os; os.kill(os.getpid(), 40)")
    assert unnamed.described() == "a signal ended it: 40"


def test_output_of_a_child_that_ends_in_time_arrives() -> None:
    code = "import os, time\nif os.fork(): os._exit(0)\nprint('child')"
    assert python(code).ending is Ending.EXIT


def test_a_run_that_is_stopped_ends_at_once() -> None:
    stopped = threading.Event()
    threading.Timer(0.3, stopped.set).start()
    started = time.monotonic()
    done = run(sys.executable, "-c", "import time; time.sleep(600)", stopped=stopped)
    assert done.status is None
    assert time.monotonic() - started < 10
