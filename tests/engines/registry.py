"""Debian's docker-registry on loopback, started for a run, its content in a run's directory."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

START_SECONDS = 60
# bcrypt of "s3cret", which is what docker-registry reads
HTPASSWD = "me:$2b$04$aaaaaaaaaaaaaaaaaaaaaOQR.Q7VZZ6jxvoKQt0/3c9sfBdZBlcKK\n"


@contextlib.contextmanager
def started(command: str, folder: Path, more: str = "") -> Iterator[str]:
    """``host:port`` of a registry; ``more`` joins its configuration."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = folder / "config.yml"
    config.write_text(
        "version: 0.1\nlog:\n  level: error\n"
        f"storage:\n  filesystem:\n    rootdirectory: {folder / 'data'}\n"
        f"http:\n  addr: 127.0.0.1:{port}\n  secret: test\n{more}"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([command, "serve", str(config)], stdout=log, stderr=log)
    try:
        _wait(process, port, folder / "log")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            opener.open(f"http://127.0.0.1:{port}/v2/", timeout=5).close()
            return
        except urllib.error.HTTPError:  # it requires a login: it is up
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"docker-registry did not start: {log.read_text()}")
