"""`up --watch` as a user runs it: a change of the source is served by the real server."""

from __future__ import annotations

import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lls_provider.local.call import parse_call, send

pytestmark = [pytest.mark.server, pytest.mark.network]

SAMPLE = Path(__file__).parents[2] / "samples" / "echo-inference"
SERVER = "llama-stack==0.7.3"
CALL = parse_call(
    'POST /v1/chat/completions {"model": "echo-inference/echo", '
    '"messages": [{"role": "user", "content": "hello"}]}'
)
ANSWER = "self.config.prefix + last_user_text"
SECONDS = 240


class Watching:
    """A running `up --watch`, whose stderr is read as it comes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.told = ""
        assert process.stderr is not None
        self._descriptor = process.stderr.fileno()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._descriptor, selectors.EVENT_READ)

    def until(self, pattern: str) -> re.Match[str]:
        """Read until something is told that was not told in an earlier call."""
        end = time.monotonic() + SECONDS
        while (found := re.search(pattern, self.told)) is None:
            assert self._selector.select(end - time.monotonic()), self.told
            data = os.read(self._descriptor, 1 << 16)
            assert data, self.told
            self.told += data.decode()
        self.told = self.told[found.end() :]
        return found


@contextmanager
def _watching(*arguments: str | Path) -> Iterator[Watching]:
    command = [sys.executable, "-m", "lls_provider.cli", "up", "--watch", *map(str, arguments)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Watching(process)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _said(port: int) -> Any:
    reply = send(CALL, port, timeout=60)
    assert reply.status == 200, reply.body
    return reply.body["choices"][0]["message"]["content"]


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_a_changed_answer_is_served_on_the_same_port_and_errors_are_survived(
    tmp_path: Path,
) -> None:
    project = tmp_path / "project"
    shutil.copytree(SAMPLE, project)
    source = project / "src" / "echo_inference" / "inference.py"
    with _watching(project, "--server", SERVER) as watching:
        port = int(watching.until(r"stays up at http://127\.0\.0\.1:(\d+) ")[1])
        assert _said(port) == "You said: hello"

        # a settings error leaves the server as it was
        _change(project / "pyproject.toml", 'api = "inference"', 'api = "inferense"')
        watching.until(r"inferense.*(?s:.*)The server goes on\.")
        assert _said(port) == "You said: hello"

        _change(project / "pyproject.toml", 'api = "inferense"', 'api = "inference"')
        _change(source, ANSWER, f'"New. " + {ANSWER}')
        watching.until(r"Served after")
        assert _said(port) == "New. You said: hello"
        watching.until(r"All providers validated successfully")

        # what no longer loads is told by preflight, and the server is stopped
        _change(source, "from __future__", "import absent_dependency\nfrom __future__")
        watching.until(r"ERROR: Provider validation failed(?s:.*)The server is stopped\.")
        _change(source, "import absent_dependency\n", "")
        watching.until(r"Served after")
        assert _said(port) == "New. You said: hello"
        watching.process.send_signal(signal.SIGINT)
        out, _rest = watching.process.communicate(timeout=60)
        assert watching.process.returncode == 130
    assert out.decode().count(f"{SERVER} serves:") == 3


def test_in_json_each_run_is_a_document(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(SAMPLE, project)
    with _watching(project, "--server", SERVER, "--format", "json") as watching:
        watching.until(r"Served after")
        watching.process.send_signal(signal.SIGTERM)
        out, _rest = watching.process.communicate(timeout=60)
    assert watching.process.returncode == 143
    document = json.loads(out)
    assert document["server"] == SERVER
    assert document["call"]["status"] == 200


@pytest.mark.parametrize("more", [("--check",), ()])
def test_watch_needs_a_project_and_no_check(tmp_path: Path, more: tuple[str, ...]) -> None:
    target = str(SAMPLE) if more else f"oci-archive:{tmp_path / 'image.tar'}"
    (tmp_path / "image.tar").write_bytes(b"")
    command = [sys.executable, "-m", "lls_provider.cli", "up", target, "--watch", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "--watch" in done.stderr
