"""Work spread over processes by plain ``fork`` and pipes: jobs, and reading wheels ahead.

`multiprocessing` needs semaphores, which need a writable ``/dev/shm``; init containers may not
have one. A pipe of job numbers and a pipe for the first failure need nothing. If no process can be
started, this one does the work.

Half of what an installation does before it can unpack is importing, half is reading archives;
neither needs the other. So `prefetching` reads the wheels of an image in a second process while
this one still imports. It only saves time: a wheel that it did not read, because the wheel is
broken or because no process could be started, is read again, and the error is raised then.
Measured by benchmarks/tricks.py: without it an installation of 90 wheels takes 1.05 times as long.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import signal
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lls_provider.contract.names import BundleTree
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.messages import volume_error
from lls_provider.runtime.process.signals import as_worker, signals_deferred

if TYPE_CHECKING:
    from lls_provider.runtime.wheelfile.contents import Contents

Prefetched = Callable[[], Mapping[str, "Contents"]]
"""Returns the wheels that were read, by path; those with a fault are missing."""

_NUMBER = struct.Struct("=I")
_STARTED_WORKERS_LIMIT = 8


def worker_count() -> int:
    """The number of processors that this process may use, within a limit.

    Measured by benchmarks/tricks.py, on two processors: one process alone takes 1.56 times as long.
    """
    return min(len(os.sched_getaffinity(0)), _STARTED_WORKERS_LIMIT)


def may_fork() -> bool:
    """Whether this process has a single thread; the system counts, as libraries start their own.

    A fork copies only the thread that calls it, and the locks that the others hold stay locked
    forever. If the system does not say, the answer is no.
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


@contextlib.contextmanager
def prefetching(source: Path) -> Iterator[Prefetched]:
    """Read the wheels of the bundle at ``source`` while the block runs; no process outlives it.

    The caller of `Prefetched` reads what is left, in turns with the other process.
    """
    alone = worker_count() == 1 or not may_fork()
    # a Python that was built for a C library before glibc 2.27 does not have the call
    alone = alone or not hasattr(os, "memfd_create")
    with contextlib.ExitStack() as stack:
        prefetched = nothing_prefetched
        with contextlib.suppress(OSError):  # no room for a process or a file
            prefetched = prefetched if alone else _started(source, stack)
        yield prefetched


def nothing_prefetched() -> Mapping[str, Contents]:
    """Return nothing: no wheel was read ahead."""
    return {}


class SharedTurns:
    """The numbers from 0 to ``count`` - 1, for several processes that each take some of them.

    It is made before they are forked; an iteration yields the next number that is left.
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
        """To be called once, by each process that goes on."""
        os.close(self._out)


def fork_worker(children: list[int], body: Callable[[], None]) -> bool:
    """Run ``body`` in a process of its own, and add its id to ``children``.

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


def _started(source: Path, stack: contextlib.ExitStack) -> Prefetched:
    names = _largest_first(BundleTree(source).packages)
    # in memory, without a name; a pipe would make the other process wait for this one
    found = stack.enter_context(os.fdopen(os.memfd_create("wheels"), "w+b"))
    turns = SharedTurns(len(names))
    stack.callback(turns.close)
    children: list[int] = []
    stack.callback(end_workers, children)

    def read_there() -> None:
        for item in _read(names, turns):
            data = marshal.dumps(_packed(*item))
            found.write(_NUMBER.pack(len(data)) + data)
        found.flush()

    def read_here() -> Mapping[str, Contents]:
        read = dict(_read(names, turns))
        if children:
            _, status = os.waitpid(children[-1], 0)
            children.pop()
            if status == 0:
                found.seek(0)
                read.update(_unpacked(found.read()))
        return read

    fork_worker(children, read_there)
    return read_here


def _largest_first(packages: Path) -> list[str]:
    """The wheels' paths, so that no process is left with a large one at the end."""
    try:
        with os.scandir(packages) as entries:
            sizes = {entry.path: entry.stat().st_size for entry in entries if entry.is_file()}
    except OSError:
        return []  # reading the image says why
    wheels = [path for path in sizes if path.endswith(".whl")]
    return sorted(wheels, key=lambda path: (-sizes[path], path))[: SharedTurns.MOST]


def _read(paths: Sequence[str], turns: SharedTurns) -> Iterator[tuple[str, Contents]]:
    """The wheels whose turn comes in this process, up to the first with a fault."""
    from lls_provider.contract.limits import wheel_limits
    from lls_provider.runtime.wheelfile.contents import read_contents

    with contextlib.suppress(SdkError):
        limits = wheel_limits()
        for turn in turns:
            path = paths[turn]
            yield path, read_contents(Path(path), limits)


def _packed(path: str, contents: Contents) -> tuple[Any, ...]:
    """The contents in types that `marshal` knows, which is faster than `pickle`."""
    size, dist_info, data_directories, metadata, about, files, record = contents
    rows = [(*file[:5], file.member and tuple(file.member), file.content) for file in files]
    headers = metadata.fields, about.fields
    return path, size, dist_info, data_directories, *headers, rows, tuple(record)


def _unpacked(data: bytes) -> Iterator[tuple[str, Contents]]:
    from lls_provider.runtime.wheelfile.archive import Member
    from lls_provider.runtime.wheelfile.contents import Contents, Headers, WheelFile

    view = memoryview(data)
    while view:
        end = _NUMBER.size + _NUMBER.unpack_from(view)[0]
        # our own process wrote it: no one else has this file
        item = marshal.loads(view[_NUMBER.size : end])  # noqa: S302
        path, size, dist_info, data_directories, metadata, about, rows, record = item
        files = tuple(
            WheelFile._make((*row[:5], row[5] and Member._make(row[5]), row[6])) for row in rows
        )
        headers = Headers.of(metadata), Headers.of(about)
        whole = WheelFile._make(record)
        yield path, Contents(size, dist_info, data_directories, *headers, files, whole)
        view = view[end:]
