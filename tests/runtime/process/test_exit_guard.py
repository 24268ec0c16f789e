"""A status of 0 means that the work was done, whatever a third-party module does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lls_provider.bundle.zipapp import zipapp_path
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.messages import ERROR_FILE
from lls_provider.runtime.process.exit_guard import (
    TERMINATION_LOG,
    exit_process,
    guarded,
    termination_log_argument,
)
from lls_provider.runtime.process.workers import may_fork

WAYS = ["raise SystemExit(0)", "import sys; sys.exit()", "exit(0)", "import os; os._exit(0)"]


def _run(words: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(folder), **variables}
    return subprocess.run(words, capture_output=True, text=True, env=env)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("click", ["--version"]),
        ("click", ["check", "{bundle}"]),
        ("yaml", ["check", "{bundle}"]),
        ("packaging", ["check", "{bundle}"]),
    ],
)
def test_a_module_in_front_of_a_library_does_not_end_a_command_with_0(
    tmp_path: Path, make_bundle: Callable[..., Path], module: str, words: list[str], way: str
) -> None:
    folder = tmp_path / "front"
    folder.mkdir()
    (folder / f"{module}.py").write_text(way + "\n")
    bundle = make_bundle()
    told = [word.format(bundle=bundle) for word in words]
    command = [sys.executable, "-m", "lls_provider.cli", *told]
    done = _run(command, folder)
    assert done.returncode == 3
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "ERROR: A module that is not ours ended the process"
    assert f"File: {folder}/{module}.py:1" in lines
    assert "was raised there. The work" in done.stderr or "was called there. The" in done.stderr
    assert lines[-1] == (
        "Resolution: Remove that module from where Python looks for modules, or unset PYTHONPATH "
        f"(it is {folder})."
    )
    env = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    again = subprocess.run(command, capture_output=True, text=True, env=env)
    assert (again.returncode, again.stderr) == (0, "")


@pytest.mark.parametrize("way", [it for it in WAYS if it != "exit(0)"])  # of site, so not there
@pytest.mark.parametrize("module", ["argparse", "shutil", "hashlib", "dataclasses", "re", "enum"])
def test_a_module_in_front_of_the_standard_library_does_not_end_an_installation_with_0(
    pod: Any, tmp_path: Path, make_bundle: Callable[..., Path], module: str, way: str
) -> None:
    folder = tmp_path / "front"
    folder.mkdir()
    # Python itself imports some of them at its start, and then nothing of ours has begun
    real = f"import sys\nif sys.argv[0].endswith('.pyz') and sys.argv[1:]:\n    {way}\n"
    (folder / f"{module}.py").write_text(real)
    log = tmp_path / "termination-log"
    log.touch()
    words = ["install", "--provider-id", "acme-echo", "--api", "inference", "--image", "acme:1"]
    words += ["--source", str(make_bundle()), "--root", str(pod.root)]
    words += ["--termination-log", str(log)]
    done = _run([sys.executable, "-S", str(zipapp_path()), *words], folder)
    assert done.returncode == 3
    assert done.stderr.startswith("ERROR: A module that is not ours ended the process\n")
    assert f"File: {folder}/{module}.py:3" in done.stderr
    assert log.read_text() == done.stderr
    assert not (pod.external / "metadata" / "acme-echo").exists()


def test_a_module_in_front_that_fails_is_named_without_a_traceback(
    pod: Any, tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    folder = tmp_path / "front"
    folder.mkdir()
    (folder / "argparse.py").write_text("raise ValueError('not \x1b[31mthis one')\n")
    words = ["install", "--provider-id", "acme-echo", "--api", "inference", "--image", "acme:1"]
    words += ["--source", str(make_bundle()), "--root", str(pod.root)]
    done = _run([sys.executable, "-S", str(zipapp_path()), *words], folder)
    assert done.returncode == 3
    assert done.stderr.startswith(
        f"ERROR: lls-provider cannot be started\n\nFile: {folder}/argparse.py:1\n\nValueError: "
    )
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr


def test_an_end_by_ctrl_c_has_the_status_of_a_shell() -> None:
    def work() -> int:
        raise KeyboardInterrupt

    assert guarded(work) == 130


def test_the_way_out_is_given_back(capfd: pytest.CaptureFixture[str]) -> None:
    before = os._exit
    assert guarded(lambda: 0) == 0
    assert guarded(lambda: sys.exit(1)) == 3
    assert os._exit is before
    assert "SystemExit(1) was raised there" in capfd.readouterr().err


def test_where_a_library_has_threads_nothing_is_forked() -> None:
    """Threads that C code started are none of Python's: `threading` does not count them."""
    code = """\
import _thread, os, threading
from lls_provider.runtime.process.workers import may_fork, run_jobs

def forbidden():
    raise AssertionError("it was forked")

assert may_fork()
release = threading.Lock()
release.acquire()
_thread.start_new_thread(release.acquire, ())
assert threading.active_count() == 1
assert not may_fork()
os.fork = forbidden
done = []
run_jobs(5, done.append, workers=2, doing="testing")
assert done == [0, 1, 2, 3, 4]
"""
    # in a process of its own: this one has the threads of whatever ran in it before
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_where_the_system_tells_no_threads_nothing_is_forked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(_path: object) -> list[str]:
        raise FileNotFoundError

    monkeypatch.setattr(os, "listdir", refused)
    assert not may_fork()


class _Unspeakable:
    def __repr__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("work", "status", "told"),
    [
        ("return 7", 7, ""),
        ("raise KeyboardInterrupt", 130, ""),
        ("raise SystemExit", 3, "SystemExit was raised there"),
        ("raise SystemExit(4)", 3, "SystemExit(4) was raised there"),
        ("raise ValueError('x')", 3, "ValueError: ValueError('x'). The work was not done."),
        ("raise SystemExit(unspeakable)", 3, "SystemExit(...) was raised there"),
        ("exit(5)", 3, "SystemExit(5) was raised there"),
    ],
)
def test_whoever_ends_the_work_is_told(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, work: str, status: int, told: str
) -> None:
    names: dict[str, Any] = {"unspeakable": _Unspeakable()}
    exec(f"def work():\n    {work}\n", names)  # noqa: S102 - text of this test
    log = tmp_path / "log"
    log.touch()
    before = os._exit
    assert guarded(names["work"], str(log)) == status
    assert os._exit is before
    shown = capfd.readouterr().err
    assert told in shown
    assert shown == log.read_text()


@pytest.mark.parametrize("log", ["", "/nowhere/log", "a\0b"])
def test_a_log_that_is_not_there_changes_nothing(
    capfd: pytest.CaptureFixture[str], log: str
) -> None:
    def work() -> int:
        raise SystemExit(0)

    assert guarded(work, log) == 3
    assert "SystemExit(0) was raised there" in capfd.readouterr().err


def test_what_is_in_the_way_of_the_message_too_does_not_silence_it(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> int:
        raise SystemExit(0)

    monkeypatch.setitem(sys.modules, "lls_provider.errors", None)
    assert guarded(work) == 3
    shown = capfd.readouterr().err
    assert shown.startswith("ERROR: A module that is not ours ended the process\n\nFile: ")
    assert "\n\nResolution: Remove that module" in shown


def test_an_end_without_a_place_has_none(capfd: pytest.CaptureFixture[str]) -> None:
    assert exit_process(SystemExit(0)) == 3
    assert "File:" not in capfd.readouterr().err


@pytest.mark.parametrize("status", [0, 7])
def test_an_end_at_once_is_told_only_of_this_process_and_of_success(status: int) -> None:
    code = (
        f"import os\nfrom {guarded.__module__} import guarded\n"
        "def work():\n    if os.fork() == 0: os._exit(0)\n    os.wait()\n"
        f"    os._exit({status})\n"
        "guarded(work)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == (3 if status == 0 else 7)
    assert done.stderr.count("os._exit(0) was called there") == (status == 0)


def test_a_closed_stderr_leaves_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    code = (
        f"import os\nfrom {guarded.__module__} import guarded\n"
        f"def work(): raise SystemExit(0)\nos.close(2)\nos._exit(guarded(work, {str(log)!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 3
    assert "SystemExit(0) was raised there" in log.read_text()


@pytest.mark.parametrize(
    ("words", "log"),
    [
        (["--termination-log", "a"], "a"),
        (["--termination-log=a"], "a"),
        (["--termination-log=a", "--termination-log", "b"], "b"),
        (["--termination-log"], TERMINATION_LOG),
        (["--termination-log="], TERMINATION_LOG),
        ([], TERMINATION_LOG),
    ],
)
def test_the_log_is_known_before_the_arguments_are_parsed(words: list[str], log: str) -> None:
    assert termination_log_argument(["install", *words]) == log


def test_who_reads_errors_as_data_gets_this_one_too(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def work() -> int:
        raise SystemExit(0)

    path = tmp_path / "error.json"
    path.touch()
    monkeypatch.setenv(ERROR_FILE, str(path))
    assert guarded(work) == 3
    found = SdkError.from_json(path.read_bytes())
    assert found.code is Code.PROCESS_ENDED
    assert found.render() in capfd.readouterr().err


def test_a_stderr_that_cannot_be_written_leaves_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    code = (
        f"import os\nfrom {guarded.__module__} import guarded\n"
        "def work(): raise SystemExit(0)\nos.dup2(os.open('/dev/null', os.O_RDONLY), 2)\n"
        f"os._exit(guarded(work, {str(log)!r}))\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 3
    assert log.read_text().count("SystemExit(0) was raised there") == 1
