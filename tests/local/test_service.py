"""The stand-in service of a project: how `up` starts it, and what it says when that fails."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.local.call import free_port
from lls_provider.local.service import choose_service, start_service
from lls_provider.local.workspace import Workspace
from lls_provider.project.settings import Settings, UpSettings, read_settings

SAMPLES = Path(__file__).parents[2] / "samples"
PYTHON = Path(sys.executable)
LISTENING = """\
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["WORD"].encode())

http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with Workspace() as made:
        yield made


def service(folder: Path, code: str) -> Path:
    path = folder / "service.py"
    path.write_text(textwrap.dedent(code))
    return path


def refused(file: Path, workspace: Workspace, timeout: float = 30) -> SdkError:
    with pytest.raises(SdkError) as caught:
        start_service(file, workspace, PYTHON, dict(os.environ), timeout=timeout)
    assert caught.value.code is Code.SERVICE_FAILED
    return caught.value


def test_it_listens_when_it_is_returned_and_ends_with_the_workspace(tmp_path: Path) -> None:
    file = service(tmp_path, LISTENING)
    with Workspace() as workspace:
        url = start_service(file, workspace, PYTHON, {**os.environ, "WORD": "here"})
        with urllib.request.urlopen(url) as response:
            assert response.read() == b"here"
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url)


def test_one_that_ends_is_told_with_its_output(tmp_path: Path, workspace: Workspace) -> None:
    error = refused(service(tmp_path, "raise SystemExit('no index')"), workspace)
    assert error.what == "The service service.py ended with exit status 1 before it listened"
    assert error.why == "no index"


def test_one_that_does_not_listen_is_told(tmp_path: Path, workspace: Workspace) -> None:
    error = refused(service(tmp_path, "import time; time.sleep(60)"), workspace, 0.3)
    assert "did not listen on port" in error.what
    assert error.why == "It printed nothing."


def test_the_advice_runs_it_by_hand(tmp_path: Path, workspace: Workspace) -> None:
    file = service(tmp_path, "import os; raise SystemExit(os.environ['PORT'])")
    error = refused(file, workspace)
    command = error.resolution.split("`")[1]
    port = str(free_port())
    command = command.replace("8000", port).replace("python", sys.executable)
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == port


def with_service(name: str, file: Path | None) -> Settings:
    settings = read_settings(SAMPLES / "echo-inference")
    return replace(settings, name=name, up=UpSettings(service=file))


def test_a_project_without_one_has_none(tmp_path: Path) -> None:
    one = with_service("one", tmp_path)
    assert choose_service([with_service("none", None)]) is None
    assert choose_service([with_service("none", None), one]) == tmp_path


def test_two_of_them_are_refused(tmp_path: Path) -> None:
    both = [with_service("one", tmp_path), with_service("two", tmp_path)]
    with pytest.raises(SdkError) as caught:
        choose_service(both)
    assert caught.value.code is Code.USAGE
    assert "remove 'service'" in caught.value.resolution
    assert choose_service([both[0], with_service("two", None)]) == tmp_path
