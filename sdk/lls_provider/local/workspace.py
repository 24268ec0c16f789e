"""The temporary directory of one run and its process groups, all removed when the run ends.

When the context ends, the processes are stopped and the directory is removed. If this process is
killed (SIGKILL, out of memory), a small second process does the same: see `watchdog`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from lls_provider.errors import Code, SdkError
from lls_provider.local.call import group_lives
from lls_provider.system.cache import making_temporary
from lls_provider.system.files import wrapping_write_errors

_WATCHDOG = Path(__file__).with_name("watchdog.py")
_GRACE = 8.0  # seconds between SIGTERM and SIGKILL; servers need less than one

# Waits until the watchdog knows the process group: a kill of this process at any moment then also
# ends the server. Ends if the pipe closes without a byte.
_GATE = (
    "import os,sys\n"
    "fd=int(sys.argv[1])\n"
    "go=os.read(fd,1)\n"
    "os.close(fd)\n"
    "if not go: sys.exit(1)\n"
    "try: os.execv(sys.argv[2],sys.argv[2:])\n"
    "except OSError as e: sys.exit('cannot run %s: %s' % (sys.argv[2], e.strerror))\n"
)


class Workspace:
    """A temporary directory and the process groups that work in it; a context manager.

    Entering raises SdkError NO_SPACE or OUTPUT_UNWRITABLE when the directory cannot be made. With
    ``keep`` the directory stays, but its processes are stopped.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self.keep = keep
        self._root: Path | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._groups: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def root(self) -> Path:
        """The directory."""
        assert self._root is not None, "the workspace is used outside its context"  # noqa: S101
        return self._root

    def make_directory(self, name: str) -> Path:
        """Make a directory in the workspace."""
        path = self.root / name
        with making_temporary():
            path.mkdir()
        return path

    def __enter__(self) -> Workspace:
        # the watchdog knows the directory before it exists, so it is always removed
        root = _temporary_root()
        try:
            self._watchdog = _start_watchdog()
            if not self.keep:
                self._tell(f"directory {root}")
            self._root = root
            with making_temporary():
                root.mkdir(mode=0o700)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        # after an interrupt in here the watchdog finishes the cleanup
        try:
            for group in list(self._groups):
                self.stop(group)
            if self._root is not None and not self.keep:
                _remove(self._root)
        finally:
            self._dismiss()

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        log: IO[bytes],
    ) -> subprocess.Popen[bytes]:
        """Start a process in its own group, with its output appended to ``log``.

        ``command`` begins with a path. Raises SdkError TOOL_MISSING when no process can be made.
        """
        gate, release = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _GATE, str(gate), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=directory,
                pass_fds=(gate,),
                start_new_session=True,
            )
            self._groups[process.pid] = process
            self._tell(f"group {process.pid}")
            os.write(release, b"!")
        except OSError as error:
            raise SdkError(
                Code.TOOL_MISSING,
                f"Cannot start {command[0]}",
                why=error.strerror or str(error),
                resolution="Check that this machine has processes and memory left.",
            ) from error
        finally:
            os.close(gate)
            os.close(release)
        return process

    def run(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        name: str,
    ) -> tuple[int, str]:
        """Run a process to its end; returns exit status and output (kept as ``NAME.log``)."""
        path = self.root / f"{name}.log"
        with wrapping_write_errors(path, "the output of a phase"), path.open("w+b") as log:
            process = self.start(command, environment=environment, directory=directory, log=log)
            try:
                status = process.wait()
            finally:
                self.stop(process.pid)
            log.seek(0)
            return status, log.read().decode("utf-8", "replace")

    def stop(self, group: int) -> None:
        """End a process group with SIGTERM, then SIGKILL; do nothing if it has ended."""
        process = self._groups[group]
        if _signal(group, signal.SIGTERM):
            deadline = time.monotonic() + _GRACE
            pause = 0.01
            while time.monotonic() < deadline:
                process.poll()  # reaps the leader, which would otherwise remain a zombie
                if not group_lives(group):
                    break
                time.sleep(pause)
                pause = min(pause * 1.5, 0.1)
            else:
                _signal(group, signal.SIGKILL)
        process.wait()
        self._groups.pop(group, None)
        self._tell(f"forget {group}")

    def _tell(self, order: str) -> None:
        if self._watchdog is None or self._watchdog.stdin is None:
            return
        # a killed watchdog is no problem while this process runs
        with contextlib.suppress(BrokenPipeError):
            self._watchdog.stdin.write(os.fsencode(order) + b"\n")

    def _dismiss(self) -> None:
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is None:
            return
        if watchdog.stdin is not None:
            with contextlib.suppress(OSError):
                watchdog.stdin.close()
        watchdog.wait()


def _temporary_root() -> Path:
    with making_temporary():
        parent = Path(tempfile.gettempdir()).resolve()
    return parent / f"lls-provider-up-{secrets.token_hex(6)}"


def _start_watchdog() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(_WATCHDOG)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        bufsize=0,  # the watchdog has an order when write() returns
        start_new_session=True,
    )


def _signal(group: int, number: signal.Signals) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _remove(root: Path) -> None:
    """Remove a tree, including directories without write permission (an image may hold them)."""
    shutil.rmtree(root, ignore_errors=True)
    if not root.exists():
        return
    for directory, names, _files in os.walk(root):
        for path in (Path(directory, name) for name in names):
            if not path.is_symlink():
                with contextlib.suppress(OSError):
                    path.chmod(0o700)
    shutil.rmtree(root, ignore_errors=True)
