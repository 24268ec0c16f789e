"""The seam for faults: every step that changes the volume, counted and struck from outside.

No shipped module knows of it. In a forked process an audit hook sees all that Python does to
names and directories, and wrappers see what audit hooks miss, the writing of bytes. Each step takes
one token from a pipe that worker processes inherit, so steps are numbered over all processes;
the token says whether the fault happens there.

A small process forks it, which runs this file: a fork of the process that tests copies what half a
gigabyte of memory needs, for each of some thousand runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import pickle
import signal
import stat
import struct
import subprocess
import sys
import termios
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lls_provider.runtime.cli import arguments

Strike = Callable[[str], None]
"""Called at the chosen step with its name; it kills, or raises. It can be pickled."""

NAMED_STEPS = frozenset(
    f"os.{name}"
    for name in ("mkdir", "rename", "remove", "rmdir", "utime", "chmod", "chown", "link")
) | {"os.symlink", "os.truncate"}
BYTE_STEPS = ("write", "writev", "pwrite", "pwritev", "posix_fallocate")
COPY_STEPS = ("sendfile", "copy_file_range", "splice")  # the descriptor written to differs
EVERY = -1  # in place of a step's number
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_ENOUGH = 20_000  # tokens, fewer than the smallest pipe of Linux with 64 KiB holds


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its status (negative: the signal), its stderr, the steps it took."""

    status: int
    stderr: str
    steps: int


@dataclass(frozen=True)
class Run:
    """The runtime's command line in a process of its own, with ``strike`` at a step (from 0)."""

    argv: Sequence[str]
    step: int | None = None
    strike: Strike | None = None
    processors: int = 1


class Runner:
    """The small process that forks every run."""

    def __init__(self, pipes: tuple[IO[bytes], IO[bytes]]) -> None:
        self._to, self._from = pipes

    def __call__(self, run: Run) -> Outcome:
        """Run it and wait until all its processes have ended."""
        outcome: Outcome = self._send(run)
        return outcome

    def warm(self, argv: Sequence[str]) -> None:
        """Run it in that process itself: what is imported and cached once is there for each run."""
        assert self._send(argv) == 0

    def _send(self, request: Run | Sequence[str]) -> Any:
        pickle.dump(request, self._to)
        self._to.flush()
        return pickle.load(self._from)  # noqa: S301 - of this file


@contextlib.contextmanager
def runner() -> Iterator[Runner]:
    """A process that forks runs; it ends with the block."""
    root = Path(__file__).parents[3]
    # the data that coverage saves in a process would be no step of ours
    environment = {it: os.environ[it] for it in os.environ if it != "COVERAGE_PROCESS_CONFIG"}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.runtime.faults.seam"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=root,
        env=environment,
    ) as process:
        assert process.stdin
        assert process.stdout
        yield Runner((process.stdin, process.stdout))


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer a `Runner` until it closes its end."""
    while True:
        try:
            request = pickle.load(requests)  # noqa: S301 - of this file
        except EOFError:
            return
        if isinstance(request, Run):
            answer: Outcome | int = _forked(request)
        else:
            with contextlib.redirect_stdout(sys.stderr):  # answers are on stdout
                answer = arguments.main(request)
            gc.freeze()  # or each process copies what it collects
        pickle.dump(answer, answers)
        answers.flush()


def _forked(run: Run) -> Outcome:
    tokens_out, tokens_in = os.pipe()
    stderr_out, stderr_in = os.pipe()
    tokens = bytearray(_ENOUGH)
    if run.step == EVERY:
        tokens = bytearray(b"\1" * _ENOUGH)
    elif run.step is not None:
        tokens[run.step] = 1
    os.write(tokens_in, tokens)
    child = os.fork()
    if child == 0:
        status = 70
        gc.disable()
        try:
            sys.stderr = sys.stdout = os.fdopen(stderr_in, "w")
            os.sched_getaffinity = lambda _pid: set(range(run.processors))
            _install_seam(tokens_out, os.getpid(), run.strike or nothing)
            status = arguments.main(run.argv)
        except BaseException:  # noqa: BLE001 - told to the parent as it is
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(stderr_in)
    stderr = b""
    while data := os.read(stderr_out, 65536):  # ends when workers have ended as well
        stderr += data
    _, raw = os.waitpid(child, 0)
    left = struct.unpack("i", fcntl.ioctl(tokens_out, termios.FIONREAD, b"\0" * 4))[0]
    for descriptor in (tokens_out, tokens_in, stderr_out):
        os.close(descriptor)
    return Outcome(os.waitstatus_to_exitcode(raw), stderr.decode(), _ENOUGH - left)


def nothing(_step: str) -> None:
    """Strike at no step."""


def kill(_step: str) -> None:
    """Strike as the kernel does that ends a container: all processes, the main one first."""
    os.kill(_struck(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Stop:
    """Strike as a kubelet that ends a Pod: a signal to the main process."""

    number: signal.Signals

    def __call__(self, _step: str) -> None:
        """Send it."""
        os.kill(_struck(), self.number)


@dataclass(frozen=True)
class Fail:
    """Strike as a file system that refuses one call."""

    number: int

    def __call__(self, step: str) -> None:
        """Raise what the call would."""
        raise OSError(self.number, os.strerror(self.number), step)


@dataclass(frozen=True)
class Note:
    """Make a directory for each kind of step below ``seen``, whose own steps do not count."""

    seen: Path

    def __call__(self, step: str) -> None:
        """Make it."""
        if str(self.seen) not in step:
            (self.seen / step.partition(" ")[0]).mkdir(exist_ok=True)


_main_process: int | None = None


def _struck() -> int:
    """The process that runs the installation; never this process's group, which 0 would mean."""
    assert _main_process, "struck outside of a process with the seam"
    return _main_process


def _install_seam(tokens: int, main_process: int, strike: Strike) -> None:
    global _main_process
    _main_process = main_process

    def take(step: str) -> None:
        if os.read(tokens, 1) == b"\1":
            strike(step)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in NAMED_STEPS or (event == "open" and _opens_to_write(*args)):
            take(f"{event} {args[0]}")

    def wrapped(name: str, position: int) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*args: Any, **more: Any) -> Any:
            if stat.S_ISREG(os.fstat(args[position]).st_mode):
                take(f"os.{name}")
            return real(*args, **more)

        return call

    for position, steps in ((0, BYTE_STEPS), (1, COPY_STEPS)):
        for name in steps:
            if hasattr(os, name):
                setattr(os, name, wrapped(name, position))
    sys.addaudithook(hook)


def _opens_to_write(path: str | int, _mode: str | None, flags: int) -> bool:
    return not isinstance(path, int) and bool(flags & _WRITING)  # a descriptor is open already


if __name__ == "__main__":
    # what is pickled names this module as its importers know it
    from tests.runtime.faults import seam

    seam.serve(sys.stdin.buffer, sys.stdout.buffer)
