"""Starts a real server on this machine, waits until it is ready, watches it and stops it.

Its health and its list of providers are what counts, never its exit status: ogx ends with 0 when a
provider fails to load.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError
from lls_provider.local.call import HOST, group_listens, is_healthy, port_taken
from lls_provider.local.log_diagnosis import port_in_use
from lls_provider.system.files import wrapping_write_errors

if TYPE_CHECKING:
    from lls_provider.local.log_diagnosis import LogDiagnosis
    from lls_provider.local.workspace import Workspace
    from lls_provider.wheels.environment import Environment

READY_TIMEOUT = 180.0
"""Seconds; both servers need 4 to 7, on a busy machine and with many providers far more."""

_NOT_READY = (
    "Correct what the end of the log shows it waiting for, such as a service or a model that a "
    "provider loads while it starts."
)
# variables that the user set for other servers, projects or Pods
_FOREIGN = ("LLAMA_STACK_", "OGX_", "LLS_", "PYTHON", "VIRTUAL_ENV", "XDG_")
_LOG_LIMIT = 4 * 1024 * 1024  # bytes at the end of a log that are read
# The servers' log handlers wrap lines at this width; diagnosis needs messages on one line.
_LOG_WIDTH = "1000"


def server_environment(
    inherited: Mapping[str, str],
    *,
    home: Path,
    temporary: Path,
    packages: Sequence[Path],
    given: Mapping[str, str],
) -> dict[str, str]:
    """Return the environment of a server that writes only to its own directories.

    Servers write state below ``$HOME``, and ogx moves an older server's state there, so HOME is a
    directory of the run. ``packages`` come before the PYTHONPATH in ``given``, the user's own
    variables.
    """
    values = {name: value for name, value in inherited.items() if not name.startswith(_FOREIGN)}
    values |= {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PYTHONUNBUFFERED": "1",
        "LLAMA_STACK_LOG_WIDTH": _LOG_WIDTH,
        "OGX_LOG_WIDTH": _LOG_WIDTH,
    }
    values |= given
    path = [*map(str, packages), *given.get("PYTHONPATH", "").split(os.pathsep)]
    values["PYTHONPATH"] = os.pathsep.join(entry for entry in path if entry)
    return values


def start_command(environment: Environment, config: Path, port: int) -> list[str]:
    """Return the command that starts the server of ``environment`` on ``config``.

    Raises SdkError SERVER_FAILED when the environment has no such command, USAGE when it has no
    supported server.
    """
    line = environment.distribution.line
    label = environment.distribution.label
    if line is None:
        raise SdkError(
            Code.USAGE,
            f"{label} holds no server that `up` knows",
            why="Neither llama-stack nor ogx is in it.",
            resolution="Pass --server 'llama-stack==0.7.3', --server 'ogx==1.5.0', or an "
            "environment that has one of them.",
        )
    script = environment.bin / line.command[0]
    if not script.is_file():
        raise SdkError(
            Code.SERVER_FAILED,
            f"{label} has no command '{line.command[0]}'",
            why=f"{script} does not exist.",
            resolution=f"Install {line.name} into that environment again.",
        )
    # not every server honours the port in the file; all honour the option
    return [str(script), *line.command[1:], str(config), "--port", str(port)]


class Server:
    """The process group of one server in a workspace, which stops it when its context ends.

    ``suspects`` distinguishes errors of a provider from those of the server.
    """

    def __init__(
        self, workspace: Workspace, *, label: str, port: int, log: Path, suspects: LogDiagnosis
    ) -> None:
        self.label = label
        self.port = port
        self.log = log
        self.suspects = suspects
        self._workspace = workspace
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://{HOST}:{self.port}"

    @property
    def group(self) -> int:
        """Its process group."""
        return self._running().pid

    def start(
        self, command: Sequence[str], *, environment: Mapping[str, str], directory: Path
    ) -> None:
        """Start it. Raises SdkError TOOL_MISSING when no process can be made."""
        with wrapping_write_errors(self.log, "the server's log"), self.log.open("wb") as log:
            self._process = self._workspace.start(
                command, environment=environment, directory=directory, log=log
            )

    def wait_ready(self, *, timeout: float = READY_TIMEOUT) -> None:
        """Poll its health until it is ready.

        Raises the error of `failure` when the process ends or the timeout expires.
        """
        process = self._running()
        deadline = time.monotonic() + timeout
        pause = 0.05
        while True:
            # the wait between two polls ends at once when the process ends
            try:
                status = process.wait(pause)
            except subprocess.TimeoutExpired:
                pause = min(pause * 1.4, 0.5)
            else:
                raise self.failure(f"ended before it was ready ({ended(status)})")
            if is_healthy(self.port) and group_listens(process.pid, self.port):
                return
            if time.monotonic() > deadline:
                raise self.failure(f"was not ready within {timeout:g} seconds", running=_NOT_READY)

    def require_alive(self) -> None:
        """Raise the error of `failure` if it has ended."""
        status = self._running().poll()
        if status is not None:
            raise self.failure(f"ended ({ended(status)})")

    def wait(self) -> None:
        """Wait until it ends, which it should not. Raises the error of `failure`."""
        status = self._running().wait()
        raise self.failure(f"ended by itself ({ended(status)})")

    def stop(self) -> None:
        """Stop it and every process that it started; do nothing if it has ended."""
        process, self._process = self._process, None
        if process is not None:
            self._workspace.stop(process.pid)

    def log_size(self) -> int:
        """Return the current length of the log, for `log_text`."""
        try:
            return self.log.stat().st_size
        except OSError:
            return 0

    def log_text(self, start: int = 0) -> str:
        """Return the log from ``start`` on, at most its last megabytes."""
        try:
            with self.log.open("rb") as stream:
                stream.seek(max(start, self.log_size() - _LOG_LIMIT))
                return stream.read(_LOG_LIMIT).decode("utf-8", "replace")
        except OSError:
            return ""

    def failure(self, what: str, *, running: str = "") -> SdkError:
        """Return the error for a server that ``what``: its true cause, then the end of the log.

        ``running`` is what to do about one that goes on, if its log names no cause.
        SERVER_FAILED, or PORT_TAKEN or NO_SPACE if the log shows that.
        """
        log = self.log_text()
        if port_in_use(log):
            return port_taken(self.port)
        return self.suspects.error(
            Code.SERVER_FAILED,
            f"The server {self.label} {what}",
            log,
            kept=self._workspace.keep,
            running=running,
        )

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server has not been started"  # noqa: S101
        return self._process


def ended(status: int) -> str:
    """Describe how a process ended."""
    if status >= 0:
        return f"exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = ", often for lack of memory" if -status == signal.SIGKILL else ""
    return f"killed by {name}{hint}"
