"""What is shown while something lasts: sizes, rates, what is waited for, and for how long."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lls_provider.cli import console as module
from lls_provider.cli import details
from lls_provider.cli.console import (
    Plain,
    Quiet,
    RunningTask,
    Work,
    is_watched,
    shown_seconds,
    status_lines,
    transferred,
)
from lls_provider.cli.details import process_line, request_line

MB = 1_000_000


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("done", "total", "seconds", "text"),
    [
        (0, 100 * MB, 5, "0 bytes of 100.0 MB"),
        (0, 0, 5, "0 bytes"),
        (25 * MB, 100 * MB, 5, "25.0 MB of 100.0 MB, 5.0 MB/s, 15 s left"),
        (100 * MB, 100 * MB, 50, "100.0 MB of 100.0 MB, 2.0 MB/s"),
        (3 * MB, 0, 2, "3.0 MB, 1.5 MB/s"),
        (3 * MB, 0, 0, "3.0 MB"),
        (1 * MB, 1000 * MB, 1, "1.0 MB of 1.0 GB, 1.0 MB/s, 16 min 39 s left"),
    ],
)
def test_sizes_rates_and_what_is_left(done: int, total: int, seconds: float, text: str) -> None:
    assert transferred(RunningTask("x", total, 0.0, done), seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.9, "0 s"), (59.9, "59 s"), (125, "2 min 5 s")])
def test_times_for_readers(seconds: float, text: str) -> None:
    assert shown_seconds(seconds) == text


@pytest.mark.parametrize("width", [10, 30, 60, 80, 120])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, ascii_only: bool) -> None:
    label = "pulling sha256:" + "0" * 64
    tasks = [RunningTask(label, 100 * MB, 0, 25 * MB), RunningTask("pushing", 0, 0, MB)]
    lines = status_lines(Work("resolving " * 20, 0.0, tasks), 5.0, width, ascii_only=ascii_only)
    assert len(lines) == 3
    assert max(map(len, lines)) <= width
    if ascii_only:
        assert all(map(str.isascii, lines))


def test_a_bar_shows_how_far_it_is() -> None:
    task = RunningTask("fetching", 100 * MB, 0, 50 * MB)
    (line,) = status_lines(Work(tasks=[task]), 5.0, 100, ascii_only=True)
    assert line == f"  fetching {'#' * 12}{'.' * 12} 50.0 MB of 100.0 MB, 10.0 MB/s, 5 s left"
    task.done = 120 * MB  # more than was announced
    (line,) = status_lines(Work(tasks=[task]), 5.0, 100, ascii_only=True)
    assert f" {'#' * 24} 100.0 MB of 100.0 MB" in line


def test_a_step_moves_and_says_how_long() -> None:
    work = Work("resolving", 10.0)
    (first,) = status_lines(work, 17.0, 80, ascii_only=True)
    (second,) = status_lines(work, 17.125, 80, ascii_only=True)
    assert first.endswith(" resolving, 7 s")
    assert first[0] != second[0]


def test_a_task_that_took_long_leaves_its_rate(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    progress = Plain(clock=clock)
    with progress.task("fetching", 10 * MB) as advance:
        advance(10 * MB)
        clock.now = 4.0
    with progress.task("quick", 10 * MB) as advance:
        advance(10 * MB)
        clock.now = 4.5
    with progress.task("nothing came", 10 * MB):
        clock.now = 9.0
    with progress.task("little came", 10 * MB) as advance:
        advance(1000)
        clock.now = 19.0
    progress.end()
    assert capsys.readouterr().err == "  fetching: 10.0 MB, 2.5 MB/s, took 4 s\n"


@contextmanager
def reminding(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[tuple[Plain, list[str]]]:
    """A console that reminds at once, and its lines as they come."""
    lines: list[str] = []
    came = threading.Event()

    def say(text: str, **_style: object) -> None:
        lines.append(text)
        if len(lines) >= 5:
            came.set()

    monkeypatch.setattr(module, "_say", say)
    monkeypatch.setattr(Plain, "interval", 0.001)
    progress = Plain(clock=clock)
    try:
        yield progress, lines
        assert came.wait(30)
    finally:
        progress.end()


def test_where_nobody_watches_a_long_step_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    clock.now = 60.0
    with reminding(monkeypatch, clock) as (progress, lines):
        progress.begin("asking the registry")
        with progress.task("pulling", 10 * MB) as advance:
            advance(5 * MB)
            while len(lines) < 5:
                threading.Event().wait(0.001)
    assert lines[0] == "  still asking the registry, 0 s"
    assert "  pulling: 5.0 MB of 10.0 MB" in lines


def test_a_log_that_is_gone_ends_no_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = threading.Event()

    def gone(_text: str) -> None:
        tried.set()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Plain, "interval", 0.001)
    progress = Plain()
    monkeypatch.setattr(module, "_say", gone)
    progress.begin("waiting")
    assert progress._timer is not None
    thread = progress._timer
    assert tried.wait(30)
    thread.join(30)
    progress.end()
    assert capsys.readouterr() == ("", "")


def test_a_display_without_a_step_ends_with_its_last_task() -> None:
    progress = Plain()
    with progress.task("a", 1), progress.task("b", 1):
        assert progress._timer is not None
    assert progress._timer is None


def test_verbose_lines_begin_with_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    progress = Plain(is_verbose=True, clock=clock)
    clock.now = 12.34
    progress.step("resolving")
    progress.end()
    assert capsys.readouterr().err == "[  12.3 s] resolving\n"


def test_quiet_shows_warnings_alone(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Quiet()
    progress.step("a")
    progress.note("b")
    with progress.task("c", 1) as advance:
        advance(1)
    progress.warn("careful")
    assert capsys.readouterr().err == "WARNING: careful\n"


@pytest.mark.parametrize(
    ("environ", "watched"),
    [({}, True), ({"CI": ""}, True), ({"CI": "true"}, False), ({"TERM": "dumb"}, False)],
)
def test_who_watches(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], watched: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert is_watched(environ) is watched


def test_details_hide_logins_and_configurations() -> None:
    line = process_line(["uv", "--index", "https://u:secret@h/simple", "--config", '{"p": "x"}'])
    assert line == "runs uv --index https://h/simple --config '…'"
    assert process_line("ls") == "runs ls"
    assert len(process_line(["x" * 1000])) < 310
    assert request_line('"GET /blob?sig=secret HTTP/1.1" 200') == '"GET /blob?… HTTP/1.1" 200'


def test_details_are_heard_from_python_and_urllib3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(details, "_says", [])  # the hook stays, and says nothing afterwards
    logger = logging.getLogger("urllib3.connectionpool")
    before = logger.level, list(logger.handlers)
    heard: list[str] = []
    try:
        details.show_details(heard.append)
        details.show_details(heard.append)  # a second console hears the same once
        subprocess.run(["/bin/true"], check=True)
        logger.debug('%s "%s"', "http://h:80", "GET /v2/ HTTP/1.1")
        sys.audit("something.else")
    finally:
        logger.setLevel(before[0])
        logger.handlers[:] = before[1]
    assert heard == ["runs /bin/true", 'http://h:80 "GET /v2/ HTTP/1.1"']
