"""Work spread over processes by plain ``fork`` and pipes.

`multiprocessing` needs semaphores, which need a writable ``/dev/shm``; init containers may not
have one. A pipe of job numbers and a pipe for the first failure need nothing. Where no process
can be started, this one does the work.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
from collections.abc import Callable, Iterator
from typing import NoReturn

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.messages import volume_error
from lls_provider.runtime.process.signals import as_worker, signals_deferred

_NUMBER = struct.Struct("=I")
_STARTED_WORKERS_LIMIT = 8


def worker_count() -> int:
    """As many processes as this one may use processors.

    Measured by benchmarks/tricks.py, on two processors: one process alone takes 1.56 times as long.
    """
    return min(len(os.sched_getaffinity(0)), _STARTED_WORKERS_LIMIT)


def may_fork() -> bool:
    """Whether this process has one thread, by the system's account: libraries start their own.

    A fork copies the thread that requires it alone, and locks that the others hold for ever.
    Where the system does not say it, no one may.
    """
    try:
        return len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208 - names alone
    except OSError:
        return False


def run_jobs(count: int, work: Callable[[int], None], *, workers: int, doing: str) -> None:
    """Call ``work(0)`` … ``work(count - 1)``, each once, in any order and process.

    The first failure stops the others and is raised here: SdkError as it is, OSError as what
    `volume_error` makes of it. No process is left when this returns or raises.
    """
    workers = min(workers, count)
    if workers > 1 and count <= SharedTurns.MOST and may_fork():
        pool = _Pool(count, work, doing)
        try:
            if pool.start(workers):
                pool.wait()
                return
        finally:
            pool.stop()
    for job in range(count):
        try:
            work(job)
        except OSError as error:
            raise volume_error(error, doing) from error


class SharedTurns:
    """The numbers from 0 to ``count`` - 1, for several processes that take each but once.

    It is made before they are forked; whoever iterates gets the next number that is left.
    """

    MOST = 4096
    """Such a ``count`` takes 16 KiB: that fits into a pipe whatever its size, so nothing blocks."""

    def __init__(self, count: int) -> None:
        """Raises OSError when this process may open no more files."""
        self._out, into = os.pipe()
        os.write(into, b"".join(map(_NUMBER.pack, range(count))))
        os.close(into)

    def __iter__(self) -> Iterator[int]:
        while number := os.read(self._out, _NUMBER.size):
            yield _NUMBER.unpack(number)[0]

    def close(self) -> None:
        """To be called once, by each process that lives on."""
        os.close(self._out)


def fork_worker(children: list[int], body: Callable[[], None]) -> bool:
    """Run ``body`` in a process of its own, and note that among ``children``.

    It ends with 0 when ``body`` returns, with 1 when it raises, and with its parent. False when
    no process can be started. Raises `StoppedBySignal` when a signal arrived meanwhile.
    """
    parent = os.getpid()
    with signals_deferred():
        try:
            child = os.fork()
        except OSError:
            return False
        if child == 0:
            _live(parent, body)
        children.append(child)
    return True


def end_workers(children: list[int]) -> None:
    """Kill processes that `fork_worker` started, and wait for them."""
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    while children:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(children[-1], 0)
        children.pop()


def _live(parent: int, body: Callable[[], None]) -> NoReturn:
    status = 1
    try:
        as_worker(parent)
        body()
        status = 0
    finally:  # whatever was raised ends here, not in the code that called `fork_worker`
        os._exit(status)


class _Pool:
    def __init__(self, count: int, work: Callable[[int], None], doing: str) -> None:
        self._work = work
        self._doing = doing
        self._parent = os.getpid()
        self._jobs = SharedTurns(count)
        self._failure_out, self._failure_in = os.pipe()
        self._children: list[int] = []
        self._open = {self._failure_out, self._failure_in}

    def start(self, workers: int) -> bool:
        """Start the processes; False when not one could be started."""
        while len(self._children) < workers and fork_worker(self._children, self._run):
            pass  # a limit on processes: the ones there are do the work
        self._close(self._failure_in)
        return bool(self._children)

    def wait(self) -> None:
        """Wait for the end of all, or for the first failure, which is raised."""
        message = b""
        while data := os.read(self._failure_out, 65536):
            message += data
            if message.endswith(b"\n"):
                break
        if message:
            raise _failure(message)
        while self._children:
            _, status = os.waitpid(self._children[-1], 0)
            self._children.pop()
            if status != 0:
                raise _died(status, self._doing)

    def stop(self) -> None:
        """End what still runs."""
        end_workers(self._children)
        self._jobs.close()
        self._close(*self._open)

    def _run(self) -> None:
        try:
            for job in self._jobs:
                if os.getppid() != self._parent:
                    break
                self._work(job)
        except BaseException as error:
            os.write(self._failure_in, _message(error, self._doing))
            raise

    def _close(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            if descriptor in self._open:
                self._open.discard(descriptor)
                os.close(descriptor)


def _message(error: BaseException, doing: str) -> bytes:
    if isinstance(error, OSError):
        error = volume_error(error, doing)
    if not isinstance(error, SdkError):
        error = SdkError(
            Code.INTERNAL,
            f"A worker process failed while {doing}",
            why=f"{type(error).__name__}: {error}",
            resolution="Report this as a fault of lls-provider, with the command and its output.",
        )
    error.why = error.why[:2000]  # a pipe takes it whole
    return error.to_json().encode() + b"\n"


def _failure(message: bytes) -> SdkError:
    return SdkError.from_json(message.partition(b"\n")[0])


def _died(status: int, doing: str) -> SdkError:
    number = os.waitstatus_to_exitcode(status)
    return SdkError(
        Code.INTERNAL,
        f"A worker process ended unexpectedly while {doing}",
        why=f"it was killed by signal {-number}" if number < 0 else f"exit status {number}",
        resolution="If the container ran out of memory, raise its memory limit; the reason of its "
        "last state says so (OOMKilled).",
    )
