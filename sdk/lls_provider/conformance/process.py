"""Runs a command that nobody knows, within limits of time and output, and always ends it.

The command gets a process group of its own, which is killed when the command has ended, has run
too long or has written too much: what it left in the background does not stay.
"""

from __future__ import annotations

import contextlib
import enum
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TIME_LIMIT = 60.0
"""Seconds that one run of an implementation may take, unless the caller says otherwise."""
OUTPUT_LIMIT = 1 << 20
"""Bytes of stdout and of stderr that are kept; a command that writes more is ended."""
_TICK = 0.05  # seconds between two looks at a process that writes nothing
_GRACE = 1.0  # seconds in which what a process has written must arrive after its end


class Ending(enum.Enum):
    """How a command came to its end."""

    EXIT = "it ended by itself"
    SIGNAL = "a signal ended it"
    TIME = "it ran longer than the time limit"
    OUTPUT = "it wrote more than the limit"
    START = "it could not be started"


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command did. ``status`` is None unless it ended by itself."""

    ending: Ending
    status: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    detail: str = ""

    def text(self, stream: str) -> str:
        """``stdout`` or ``stderr`` as text; what is not UTF-8 is replaced."""
        data: bytes = getattr(self, stream)
        return data.decode("utf-8", "replace").replace("\r\n", "\n")

    def described(self) -> str:
        """The end in words, such as ``exit status 1``."""
        if self.status is not None:
            return f"exit status {self.status}"
        return f"{self.ending.value}{self.detail}"


def run_command(
    words: Sequence[str],
    *,
    environment: Mapping[str, str],
    time_limit: float,
    stopped: threading.Event,
    clock: Callable[[], float] = time.monotonic,
    directory: Path | None = None,
) -> CommandResult:
    """Run a command to its end; never raises for anything that the command does.

    ``stopped`` ends the command early, as the time limit does.
    """
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd=directory,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return CommandResult(Ending.START, detail=f": {error}")
    try:
        deadline = clock() + time_limit
        ending, kept = _watch(process, deadline, stopped, clock)
    finally:
        _end(process)
    out, err = kept
    if ending is None:
        status = process.returncode
        if status >= 0:
            return CommandResult(Ending.EXIT, status, out, err)
        return CommandResult(Ending.SIGNAL, None, out, err, f": {_signal_name(-status)}")
    limit = f"{time_limit:g} seconds" if ending is Ending.TIME else f"{OUTPUT_LIMIT:,} bytes"
    return CommandResult(ending, None, out, err, f" ({limit})")


def _watch(
    process: subprocess.Popen[bytes],
    deadline: float,
    stopped: threading.Event,
    clock: Callable[[], float],
) -> tuple[Ending | None, tuple[bytes, bytes]]:
    """Read until the process has ended; why it has to be ended, if it has, and what it wrote."""
    assert process.stdout is not None  # noqa: S101 - both are pipes
    assert process.stderr is not None  # noqa: S101
    kept = {process.stdout: bytearray(), process.stderr: bytearray()}

    def result(ending: Ending | None) -> tuple[Ending | None, tuple[bytes, bytes]]:
        return ending, (bytes(kept[process.stdout]), bytes(kept[process.stderr]))  # type: ignore[index]

    with selectors.DefaultSelector() as selector:
        for stream in kept:
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map() or not _has_ended(process):
            if _has_ended(process):
                # a process in the background may hold the pipes open for ever
                deadline = min(deadline, clock() + _GRACE)
                _kill_group(process)
            if stopped.is_set() or clock() > deadline:
                return result(None if _has_ended(process) else Ending.TIME)
            if not selector.get_map():
                time.sleep(_TICK)
                continue
            for key, _ in selector.select(_TICK):
                stream = key.fileobj  # type: ignore[assignment]
                data = os.read(key.fd, 1 << 16)
                kept[stream] += data
                if not data:
                    selector.unregister(stream)
                elif len(kept[stream]) > OUTPUT_LIMIT:
                    del kept[stream][OUTPUT_LIMIT:]
                    return result(Ending.OUTPUT)
    return result(None)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended; it stays a zombie, so that its group's number is not given away."""
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return process.returncode is not None or os.waitid(os.P_PID, process.pid, options) is not None


def _end(process: subprocess.Popen[bytes]) -> None:
    _kill_group(process)
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # forbidden only where a process of the group has become another user's
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
