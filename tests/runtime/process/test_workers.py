from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.process import workers as module
from lls_provider.runtime.process.workers import run_jobs, worker_count


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of several tests has threads of its own, which are at rest."""
    monkeypatch.setattr(module, "may_fork", lambda: True)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_each_job_is_done_once(tmp_path: Path, workers: int) -> None:
    def work(number: int) -> None:
        (tmp_path / str(number)).open("x").close()

    run_jobs(100, work, workers=workers, doing="testing")
    assert len(list(tmp_path.iterdir())) == 100


@pytest.mark.parametrize("workers", [1, 3])
def test_our_error_arrives_as_it_is(workers: int) -> None:
    before = _children()

    def work(number: int) -> None:
        if number == 7:
            raise SdkError(Code.WHEEL_INVALID, "what", why="why", resolution="do")

    with pytest.raises(SdkError) as caught:
        run_jobs(20, work, workers=workers, doing="testing")
    error = caught.value
    assert (error.code, error.what, error.why) == (Code.WHEEL_INVALID, "what", "why")
    assert _children() == before


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, Code.NO_SPACE), (errno.EROFS, Code.VOLUME_UNWRITABLE)],
)
def test_what_the_system_refuses_is_our_error(workers: int, number: int, code: Code) -> None:
    def work(_number: int) -> None:
        raise OSError(number, os.strerror(number), "/some/file")

    with pytest.raises(SdkError) as caught:
        run_jobs(9, work, workers=workers, doing="testing")
    assert caught.value.code is code
    assert caught.value.where.file == "/some/file"


def test_a_killed_worker_is_told() -> None:
    parent, before = os.getpid(), _children()

    def work(number: int) -> None:
        assert os.getpid() != parent
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(SdkError, match="ended unexpectedly") as caught:
        run_jobs(4, work, workers=2, doing="testing")
    assert "signal 9" in caught.value.why
    assert _children() == before


_LONG = """
import os, sys, time
from lls_provider.runtime.process.workers import run_jobs

def work(_number):
    os.write(1, f"{os.getpid()}\\n".encode())
    time.sleep(600)

run_jobs(2, work, workers=2, doing="testing")
"""


def test_a_worker_ends_with_its_parent_in_the_middle_of_its_work() -> None:
    with subprocess.Popen([sys.executable, "-c", _LONG], stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        workers = {int(it.stdout.readline()) for _ in range(2)}
        assert len(workers - {it.pid}) == 2
        it.kill()
        # ends when no one has the other end any more
        assert select.select([it.stdout], [], [], 60)[0]
        assert it.stdout.read() == ""


def test_an_unforeseen_exception_in_a_worker_is_internal() -> None:
    def work(number: int) -> None:
        raise ZeroDivisionError("x")

    with pytest.raises(SdkError) as caught:
        run_jobs(4, work, workers=2, doing="testing")
    assert caught.value.code is Code.INTERNAL
    assert "ZeroDivisionError: x" in caught.value.why


def test_without_processes_this_one_does_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> int:
        raise OSError(errno.EAGAIN, "no processes")

    monkeypatch.setattr(os, "fork", refuse)
    run_jobs(9, lambda number: (tmp_path / str(number)).touch(), workers=4, doing="testing")
    assert len(list(tmp_path.iterdir())) == 9


def test_more_jobs_than_a_pipe_holds_are_done_as_well() -> None:
    done: list[int] = []
    run_jobs(5000, done.append, workers=2, doing="testing")
    assert done == list(range(5000))


def test_there_is_a_worker_at_least() -> None:
    assert 1 <= worker_count() <= 8


def _children() -> set[str]:
    """The processes that this one has; engines that tests share are among them."""
    lists = Path("/proc/self/task").glob("*/children")
    return {child for told in lists for child in told.read_text().split()}


class _Pool(module._Pool):
    """A pool whose jobs run here, as they would in one of its processes."""

    def __init__(self, count: int, work: Callable[[int], None]) -> None:
        super().__init__(count, work, "testing")
        self._parent = os.getppid()

    def told(self) -> SdkError:
        self._close(self._failure_in)
        self._close(self._failure_in)  # closed already
        with pytest.raises(SdkError) as caught:
            self.wait()
        return caught.value


@pytest.mark.parametrize(
    ("error", "code", "why"),
    [
        (
            SdkError(Code.WHEEL_INVALID, "x", why="w" * 9000, resolution="y"),
            Code.WHEEL_INVALID,
            "w",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), Code.NO_SPACE, "No space"),
        (ZeroDivisionError("oh"), Code.INTERNAL, "ZeroDivisionError: oh"),
        (KeyboardInterrupt(), Code.INTERNAL, "KeyboardInterrupt: "),
    ],
)
def test_a_worker_tells_why_it_failed_and_fails(error: BaseException, code: Code, why: str) -> None:
    done: list[int] = []

    def work(number: int) -> None:
        done.append(number)
        if number == 1:
            raise error

    pool = _Pool(3, work)
    with pytest.raises(type(error)):
        pool._run()
    told = pool.told()
    pool.stop()
    assert done == [0, 1]
    assert told.code is code
    assert told.why.startswith(why)
    assert len(told.why) <= 2000


def test_a_worker_ends_when_no_job_is_left_or_its_parent_is_another() -> None:
    done: list[int] = []
    pool = _Pool(3, done.append)
    pool._run()
    assert done == [0, 1, 2]
    pool.stop()
    orphan = _Pool(3, done.append)
    orphan._parent = os.getpid()
    orphan._run()
    assert done == [0, 1, 2]
    orphan.stop()


def test_a_failure_that_comes_in_two_pieces_is_read_whole() -> None:
    pool = _Pool(1, lambda _: None)
    error = SdkError(Code.WHEEL_INVALID, "x", why="why", resolution="y")
    message = module._message(error, "testing")
    os.write(pool._failure_in, message[:9])

    def rest() -> None:
        while select.select([pool._failure_out], [], [], 0)[0]:
            pass
        os.write(pool._failure_in, message[9:])

    thread = threading.Thread(target=rest)
    thread.start()
    with pytest.raises(SdkError) as caught:
        pool.wait()
    thread.join()
    pool.stop()
    assert caught.value.why == "why"
