"""Debian's sshd on loopback for a run: its own host key and configuration, one key may log in."""

from __future__ import annotations

import contextlib
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

START_SECONDS = 60


@contextlib.contextmanager
def started(
    sshd: str, ssh: str, folder: Path, variables: Mapping[str, str]
) -> Iterator[tuple[int, Path]]:
    """Its port, and a directory with an `ssh` that knows its host key and has the key to log in.

    ``variables`` are what commands find in their environment there. Needs root.
    """
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    told = " ".join(f"{name}={value}" for name, value in variables.items())
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/user.pub\nPasswordAuthentication no\nStrictModes no\n"
        f"PermitRootLogin prohibit-password\nSetEnv {told}\n"
    )
    key = (folder / "host.pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}")
    (folder / "ssh_config").write_text(
        f"IdentityFile {folder}/user\nIdentitiesOnly yes\nBatchMode yes\n"
        f"UserKnownHostsFile {folder}/known_hosts\nStrictHostKeyChecking yes\n"
    )
    commands = folder / "bin"
    commands.mkdir()
    wrapper = commands / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {ssh} -F {shlex.quote(str(folder / "ssh_config"))} "$@"\n')
    wrapper.chmod(0o755)
    Path("/run/sshd").mkdir(exist_ok=True)  # where it shuts its unprivileged half in
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sshd, "-D", "-e", "-f", str(folder / "sshd_config")], stdout=log, stderr=log
        )
    try:
        _wait(process, port, folder / "log")
        yield port, commands
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
            return
        time.sleep(0.02)
    raise RuntimeError(f"sshd did not start: {log.read_text()}")
