"""How progress is shown on stderr: as lines, and on a terminal with a display below them.

`status_lines` decides what the display says. It appears when a step has lasted a second, and goes
with the next result or error. Where nobody watches (CI, a file, a dumb terminal), a line says from
time to time what is still waited for.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from lls_provider.cli.output import Verbosity, current, fitted, is_unicode, terminal_width, write
from lls_provider.progress import SILENT, shown_size
from lls_provider.untrusted import CHARACTERS_LIMIT, escaped, one_line

if TYPE_CHECKING:
    from lls_provider.progress import Advance, Progress

DELAY = 1.0
"""Seconds that a step takes before a terminal shows how long it has taken."""
REMINDER = 30.0
"""Seconds between two lines about the same step where there is no terminal."""
_NOTED = 100_000  # bytes from which on the rate of a transfer is noted
_BAR = 24  # characters, where there is room
_SMALLEST_BAR = 8
_UNICODE = ("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "━", "─", "…")
_ASCII = ("|/-\\", "#", ".", "...")

Clock = Callable[[], float]


def console(waiting: str = "") -> Progress:
    """The progress display that suits stderr and --quiet or --verbose.

    ``waiting`` names what is done before the first step.
    """
    output = current()
    output.close()
    if output.verbosity is Verbosity.QUIET:
        return Quiet()
    kind = Terminal if is_watched(os.environ) else Plain
    shown = kind(is_verbose=output.verbosity is Verbosity.VERBOSE)
    if output.verbosity is Verbosity.VERBOSE:
        from lls_provider.cli.details import show_details

        show_details(shown.note)
    output.closing = shown.end
    if waiting:
        shown.begin(waiting)
    return shown


def is_watched(environ: Mapping[str, str]) -> bool:
    """Whether stderr is a terminal that somebody looks at."""
    return sys.stderr.isatty() and environ.get("TERM") != "dumb" and not environ.get("CI")


@dataclass(slots=True)
class RunningTask:
    """Bytes that are transferred: how many, of how many (0: unknown), since when."""

    label: str
    total: int
    started: float
    done: int = 0


@dataclass(slots=True)
class Work:
    """What a run is busy with: a step, and the tasks in it."""

    step: str = ""
    started: float = 0.0
    tasks: list[RunningTask] = field(default_factory=list)


def status_lines(work: Work, now: float, width: int, *, ascii_only: bool = False) -> list[str]:
    """What a display says about the work, each line at most ``width`` characters."""
    signs = _ASCII if ascii_only else _UNICODE
    lines = []
    if work.step:
        frame = signs[0][int((now - work.started) * 8) % len(signs[0])]
        after = f", {shown_seconds(now - work.started)}"
        lines.append(f"{frame} {_cut(work.step, width - len(after) - 2, signs[3])}{after}")
    lines += [_task_line(task, now, width, signs) for task in work.tasks]
    return lines


def _task_line(task: RunningTask, now: float, width: int, signs: tuple[str, ...]) -> str:
    after = transferred(task, now)
    room = width - len(after) - 3  # two spaces before the label, one behind it
    needed = len(task.label) + 1 + _SMALLEST_BAR
    if not task.total or room < needed:
        return _cut(f"  {_cut(task.label, max(room, 8), signs[3])} {after}", width, signs[3])
    size = min(_BAR, room - len(task.label) - 1)
    filled = min(size, size * task.done // task.total)
    return f"  {task.label} {signs[1] * filled}{signs[2] * (size - filled)} {after}"


def transferred(task: RunningTask, now: float) -> str:
    """``12.3 MB of 45.0 MB, 3.1 MB/s, 11 s left``, as far as it is known."""
    seconds = now - task.started
    # an archive is somewhat larger than the layers in it
    done = min(task.done, task.total or task.done)
    parts = [shown_size(done) + (f" of {shown_size(task.total)}" if task.total else "")]
    if task.done and seconds > 0:
        rate = task.done / seconds
        parts.append(f"{shown_size(int(rate))}/s")
        if task.total > task.done:
            parts.append(f"{shown_seconds((task.total - task.done) / rate)} left")
    return ", ".join(parts)


def shown_seconds(seconds: float) -> str:
    """``7 s``, ``2 min 5 s``."""
    whole = int(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def _cut(text: str, room: int, sign: str) -> str:
    return text if len(text) <= room else f"{text[: max(room - len(sign), 0)]}{sign}"


class Quiet:
    """The progress of --quiet: warnings alone."""

    def step(self, text: str, /) -> None:
        """Show nothing."""

    def note(self, text: str, /) -> None:
        """Show nothing."""

    def warn(self, text: str, /) -> None:
        """Show a warning."""
        _say(_warning(text))

    def task(self, label: str, total: int, /) -> contextlib.AbstractContextManager[Advance]:
        """Count nothing."""
        return SILENT.task(label, total)


class Plain:
    """One line per step, with the same text as on a terminal, and reminders of a long one."""

    interval = REMINDER

    def __init__(self, *, is_verbose: bool = False, clock: Clock = time.monotonic) -> None:
        self._is_verbose = is_verbose
        self._clock = clock
        self._began = clock()
        self._work = Work()
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None

    def begin(self, text: str) -> None:
        """Wait for ``text`` from now on."""
        with self._lock:
            self.end()
            self._work.step, self._work.started = one_line(text), self._clock()
            self._start_timer()

    def end(self) -> None:
        """Show no more of what is waited for, until the next step begins."""
        with self._lock:
            self._work.step = ""
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def step(self, text: str, /) -> None:
        """A phase starts."""
        with self._lock:
            self.end()
            self._line(one_line(text, CHARACTERS_LIMIT), dim=True)
            self.begin(text)

    def note(self, text: str, /) -> None:
        """A detail."""
        self._line(f"  {one_line(text, CHARACTERS_LIMIT)}", dim=True)

    def warn(self, text: str, /) -> None:
        """A warning."""
        self._line(_warning(text), fg="yellow")

    @contextlib.contextmanager
    def task(self, label: str, total: int, /) -> Iterator[Advance]:
        """Count bytes; a task that took long leaves a line with its rate."""
        task = RunningTask(one_line(label), total, self._clock())

        def advance(amount: int) -> None:
            with self._lock:
                task.done += amount

        with self._lock:
            self._work.tasks.append(task)
            if self._timer is None:
                self._start_timer()
        try:
            yield advance
        finally:
            with self._lock:
                self._work.tasks.remove(task)
                if not self._work.step and not self._work.tasks:
                    self.end()
        seconds = self._clock() - task.started
        if seconds >= DELAY and task.done >= _NOTED:
            ended = RunningTask(task.label, 0, task.started, task.done)
            text = transferred(ended, self._clock())
            self.note(f"{task.label}: {text}, took {shown_seconds(seconds)}")

    def _start_timer(self) -> None:
        self._timer = threading.Timer(self.interval, self._ring)
        self._timer.daemon = True
        self._timer.start()

    def _ring(self) -> None:
        # a terminal or a log that is gone ends no work, and no thread with a traceback
        with contextlib.suppress(OSError, ValueError):
            self._lasts()

    def _lasts(self) -> None:
        """The step still lasts: called in the timer's thread."""
        with self._lock:
            if self._timer is not threading.current_thread():
                return  # it ended meanwhile
            now = self._clock()
            if self._work.step:
                _say(f"  still {self._work.step}, {shown_seconds(now - self._work.started)}")
            for task in self._work.tasks:
                _say(f"  {task.label}: {transferred(task, now)}")
            self._start_timer()

    def _line(self, text: str, *, dim: bool | None = None, fg: str | None = None) -> None:
        before = f"[{self._clock() - self._began:6.1f} s] " if self._is_verbose else ""
        with self._lock:
            self._say(before + text, dim=dim, fg=fg)

    def _say(self, text: str, *, dim: bool | None, fg: str | None) -> None:  # noqa: ARG002
        _say(text)


class Terminal(Plain):
    """Steps dimmed, warnings in yellow, and below them what is waited for."""

    interval = DELAY
    _live: Any = None

    def end(self) -> None:
        """Remove the display from the screen, until the next step begins."""
        with self._lock:
            super().end()
            if self._live is not None:
                self._live.stop()
                self._live = None

    def _lasts(self) -> None:
        from rich.console import Console  # most commands are done before it is needed
        from rich.live import Live
        from rich.text import Text

        ascii_only = not is_unicode(sys.stderr.encoding)

        def drawn() -> Text:
            width = shown.width
            lines = status_lines(self._work, self._clock(), width - 1, ascii_only=ascii_only)
            return Text("\n".join(lines), no_wrap=True, overflow="crop")

        with self._lock:
            if self._timer is not threading.current_thread():
                return
            shown = Console(file=sys.stderr, highlight=False, markup=False)
            live = Live(
                get_renderable=drawn,
                console=shown,
                transient=True,
                refresh_per_second=8,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            live.start(refresh=True)
            self._live = live

    def _say(self, text: str, *, dim: bool | None, fg: str | None) -> None:
        if self._live is None:
            _say(text, dim=dim, fg=fg)
            return
        from rich.text import Text

        style = "" if os.environ.get("NO_COLOR") else ("dim" if dim else fg or "")
        shown = fitted(escaped(text), terminal_width(sys.stderr))
        self._live.console.print(Text(shown, style), soft_wrap=True)


def _say(text: str, *, dim: bool | None = None, fg: str | None = None) -> None:
    shown = fitted(escaped(text), terminal_width(sys.stderr))
    # https://no-color.org: an empty value does not count
    plain = bool(os.environ.get("NO_COLOR")) or (dim, fg) == (None, None)
    write(shown if plain else click.style(shown, dim=dim, fg=fg), err=True)


def _warning(text: str) -> str:
    # the messages of contract section 6 already begin with the word
    return text if text.startswith("WARNING") else f"WARNING: {text}"
