"""A daemon on another machine, spoken to through `ssh` as `docker` does it.

Every connection is a `ssh HOST docker system dial-stdio`: keys, jump hosts and known hosts are
ssh's business. The library `docker` would do it with paramiko, a second implementation of SSH.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

_SAID_LIMIT = 2000
_END_SECONDS = 10


class AddressError(ValueError):
    """An address that ssh is not called with; the text says why and repeats nothing of it."""


def ssh_command(address: str) -> list[str]:
    """The command that speaks to the daemon of ``ssh://[USER@]HOST[:PORT][/SOCKET]``.

    Raises AddressError.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise AddressError("its port is no number") from error
    if parts.password is not None:
        raise AddressError("it has a password, which ssh does not take from there")
    if not parts.hostname or parts.query or parts.fragment:
        raise AddressError("it is not ssh://[USER@]HOST[:PORT]")
    command = ["ssh", "-T", "-o", "ConnectTimeout=30"]
    command += ["-l", parts.username] if parts.username else []
    command += ["-p", str(port)] if port else []
    dial = ["docker"]
    if parts.path.strip("/"):
        dial += ["--host", f"unix://{parts.path}"]
    # the other machine's shell reads it; behind `--` no host can be an option
    return [*command, "--", parts.hostname, shlex.join([*dial, "system", "dial-stdio"])]


@dataclass(slots=True)
class Tunnel:
    """A socket on this machine behind which the other machine's daemon answers."""

    command: list[str]
    _folder: Path
    _listener: socket.socket
    _log: IO[bytes]
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def open(cls, address: str) -> Tunnel:
        """Listen; nothing is asked before somebody connects. Raises AddressError or OSError."""
        command = ssh_command(address)
        if shutil.which("ssh") is None:
            raise FileNotFoundError(None, "There is no ssh on this machine's PATH")
        folder = Path(tempfile.mkdtemp(prefix="lls-provider-"))
        try:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(folder / "docker.sock"))
            listener.listen()
            tunnel = cls(command, folder, listener, (folder / "log").open("w+b"))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        threading.Thread(target=tunnel._serve, daemon=True).start()
        return tunnel

    @property
    def url(self) -> str:
        """The address on this machine."""
        return f"unix://{self._folder / 'docker.sock'}"

    def said(self) -> str:
        """What ssh and the other machine said when it went wrong."""
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)  # its last words come last
        text = (self._folder / "log").read_bytes()[-_SAID_LIMIT:]
        return text.decode(errors="replace").strip()

    def close(self) -> None:
        """End every connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            with connection:
                self._processes.append(
                    subprocess.Popen(
                        self.command,
                        stdin=connection.fileno(),
                        stdout=connection.fileno(),
                        stderr=self._log,
                    )
                )
