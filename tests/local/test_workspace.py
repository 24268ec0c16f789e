"""Nothing stays running and nothing stays behind, however the run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.local.call import group_lives
from lls_provider.local.workspace import Workspace

pytestmark = pytest.mark.slow

# a server that has a child, as servers with workers do, and says when both are there
SERVER = textwrap.dedent(
    """
    import subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print("ready", child.pid, flush=True)
    time.sleep(600)
    """
)

# an owner that has a workspace with that server, reports its directory and group, and then waits
OWNER = textwrap.dedent(
    """
    import os, signal, sys, time
    from pathlib import Path
    from lls_provider.local.workspace import Workspace
    from lls_provider.runtime.process.signals import StoppedBySignal, stop_signals

    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # below nohup it would be ignored

    def serve(workspace):
        log = workspace.root / "log"
        with log.open("wb") as stream:
            process = workspace.start(
                [sys.executable, "-c", sys.argv[1]],
                environment=os.environ, directory=workspace.root, log=stream,
            )
        while b"ready" not in log.read_bytes():
            time.sleep(0.01)
        print(workspace.root, process.pid, flush=True)
        time.sleep(600)

    try:
        with stop_signals(), Workspace() as workspace:
            serve(workspace)
    except StoppedBySignal as stopped:
        sys.exit(stopped.status)
    """
)


def eventually(condition: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def owner(server: str = SERVER) -> tuple[subprocess.Popen[str], Path, int]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, server],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    words = process.stdout.readline().split()
    assert words, process.communicate()[1]
    root, group = Path(words[0]), int(words[1])
    assert root.is_dir()
    assert group_lives(group)
    return process, root, group


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGKILL, -signal.SIGKILL),
        (signal.SIGTERM, 143),
        (signal.SIGHUP, -signal.SIGHUP),  # a terminal that was closed; handled like SIGKILL
        (signal.SIGINT, 130),
    ],
    ids=["kill", "term", "hup", "int"],
)
def test_a_signal_to_the_owner_ends_the_server_and_removes_the_folder(
    number: signal.Signals, status: int
) -> None:
    process, root, group = owner()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == status
    assert eventually(lambda: not group_lives(group))
    assert eventually(lambda: not root.exists())


def test_killing_the_owners_whole_group_still_ends_the_server() -> None:
    process, root, group = owner()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert eventually(lambda: not group_lives(group))
    assert eventually(lambda: not root.exists())


def test_a_server_that_ignores_the_polite_signal_is_killed_by_the_watchdog() -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVER
    process, root, group = owner(stubborn)
    process.kill()
    process.communicate(timeout=30)
    assert eventually(lambda: not group_lives(group))
    assert eventually(lambda: not root.exists())


def test_stopping_ends_the_children_too() -> None:
    with Workspace() as workspace:
        log = workspace.root / "log"
        with log.open("wb") as stream:
            process = workspace.start(
                [sys.executable, "-c", SERVER],
                environment=os.environ,
                directory=workspace.root,
                log=stream,
            )
        assert eventually(lambda: b"ready" in log.read_bytes())
        workspace.stop(process.pid)
        assert not group_lives(process.pid)
        assert process.returncode == -signal.SIGTERM


def test_an_error_inside_ends_the_server_and_removes_the_folder() -> None:
    with pytest.raises(RuntimeError, match="boom"), Workspace() as workspace:
        root = workspace.root
        with (root / "log").open("wb") as stream:
            process = workspace.start(
                [sys.executable, "-c", SERVER],
                environment=os.environ,
                directory=root,
                log=stream,
            )
        raise RuntimeError("boom")
    assert not group_lives(process.pid)
    assert not root.exists()


def test_a_folder_that_is_kept_stays_and_its_processes_do_not() -> None:
    with Workspace(keep=True) as workspace:
        root = workspace.root
        with (root / "log").open("wb") as stream:
            process = workspace.start(
                [sys.executable, "-c", SERVER],
                environment=os.environ,
                directory=root,
                log=stream,
            )
    assert not group_lives(process.pid)
    assert (root / "log").is_file()
    (root / "log").unlink()
    root.rmdir()


def test_folders_without_write_permission_are_removed_too() -> None:
    with Workspace() as workspace:
        root = workspace.root
        folder = root / "tree" / "below"
        folder.mkdir(parents=True)
        (folder / "file").touch()
        folder.chmod(0o500)
    assert not root.exists()


def test_what_a_link_in_the_folder_points_to_is_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "file").touch()
    with Workspace() as workspace:
        (workspace.root / "link").symlink_to(outside)
    assert (outside / "file").is_file()
    assert outside.stat().st_mode & 0o777 == 0o755


def test_a_run_gives_status_and_output() -> None:
    script = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    with Workspace() as workspace:
        status, output = workspace.run(
            [sys.executable, "-c", script],
            environment=os.environ,
            directory=workspace.root,
            name="phase",
        )
    assert status == 3
    assert sorted(output.split()) == ["err", "out"]


def test_a_command_that_cannot_run_says_so_in_its_output() -> None:
    with Workspace() as workspace:
        status, output = workspace.run(
            ["/nonexistent/python"],
            environment=os.environ,
            directory=workspace.root,
            name="phase",
        )
    assert status == 1
    assert "cannot run /nonexistent/python: No such file or directory" in output


def test_a_place_that_cannot_be_written_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    monkeypatch.setattr("tempfile.tempdir", str(gone))
    with pytest.raises(SdkError) as caught, Workspace():
        pass
    assert caught.value.code is Code.OUTPUT_UNWRITABLE
    assert "No such file or directory" in caught.value.why
