"""Real container engines for the tests: started for a run, below a directory of their own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 90
# where cgroups are of version 1, podman and runc agree on no more than this
_CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


@dataclass(frozen=True, slots=True)
class Engine:
    """A command line that speaks to one engine, and that engine's socket (none: no daemon)."""

    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    socket: Path | None = None

    def run(
        self, *arguments: str | Path, stdin: Path | None = None, status: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the engine; ``status`` None accepts every exit status."""
        with (stdin or Path(os.devnull)).open("rb") as stream:
            done = subprocess.run(
                [*self.command, *map(str, arguments)],
                stdin=stream,
                capture_output=True,
                text=True,
                env={**os.environ, **dict(self.environment)},
                timeout=300,
                check=False,
            )
        assert status in (None, done.returncode), f"{done.args}: {done.stdout}{done.stderr}"
        return done

    def mountpoint(self, volume: str) -> Path:
        """Where a volume of podman is on this machine."""
        (found,) = json.loads(self.run("volume", "inspect", volume).stdout)
        return Path(found["Mountpoint"])


@contextlib.contextmanager
def podman_storage(podman: str, *, in_memory: bool = True) -> Iterator[Engine]:
    """podman with an empty storage, which shares layers where it can.

    The driver overlay shares them; vfs copies an image for each container. overlay needs root, and
    does not work on a file system that is an overlay itself, such as that of a container, but does
    ``in_memory``, where one may be mounted.
    """
    with _short_folder() as folder, _mounted_memory(folder, wanted=in_memory):
        (folder / "containers.conf").write_text(_CONTAINERS_CONF)
        overlay, vfs = (_podman(podman, folder, driver) for driver in ("overlay", "vfs"))
        yield vfs if overlay.run("info", status=None).returncode else overlay


def _podman(podman: str, folder: Path, driver: str) -> Engine:
    storage = folder / driver
    return Engine(
        (
            *(podman, "--root", str(storage / "storage"), "--runroot", str(storage / "run")),
            *("--storage-driver", driver),
        ),
        (("CONTAINERS_CONF", str(folder / "containers.conf")),),
    )


@contextlib.contextmanager
def podman_service(podman: Engine) -> Iterator[Engine]:
    """The same podman, which also serves Docker's API on a socket."""
    with _short_folder() as folder:
        socket = folder / "podman.sock"
        command = [*podman.command, "system", "service", "--time", "0", f"unix://{socket}"]
        with _running(command, folder / "log", dict(podman.environment)) as process:
            engine = Engine(podman.command, podman.environment, socket)
            _wait(socket.is_socket, process, folder / "log")
            yield engine


@contextlib.contextmanager
def docker_daemon(dockerd: str, docker: str, *more: str) -> Iterator[Engine]:
    """A Docker daemon with an empty storage and no network, stopped at the end. Needs root.

    ``more`` joins its command line.
    """
    with _short_folder() as folder, _mounted_memory(folder, wanted=True):
        socket = folder / "docker.sock"
        command = [
            *(dockerd, "--host", f"unix://{socket}", "--pidfile", str(folder / "pid")),
            *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
            *("--bridge=none", "--iptables=false", *more),
        ]
        engine = Engine((docker, "--host", f"unix://{socket}"), socket=socket)
        with _running(command, folder / "log") as process:
            _wait(
                lambda: not engine.run("version", status=None).returncode, process, folder / "log"
            )
            yield engine


@contextlib.contextmanager
def _running(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=stream, env={**os.environ, **(environment or {})}
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(up: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while not up():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, f"not up in {START_SECONDS} s: {log.read_text()}"
        time.sleep(0.1)


@contextlib.contextmanager
def _mounted_memory(folder: Path, *, wanted: bool) -> Iterator[None]:
    """A file system in memory at ``folder``, where one may be mounted."""
    mount, place = shutil.which("mount") or "mount", str(folder)
    command = [mount, "-t", "tmpfs", "-o", "mode=755", "tmpfs", place]
    mounted = wanted and not subprocess.run(command, capture_output=True, check=False).returncode
    try:
        yield
    finally:
        if mounted:
            subprocess.run(
                [shutil.which("umount") or "umount", "--recursive", "--lazy", place], check=True
            )


@contextlib.contextmanager
def _short_folder() -> Iterator[Path]:
    """A temporary directory with a name short enough for sockets (at most 107 characters)."""
    folder = Path(tempfile.mkdtemp(prefix="lls-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
