"""Starting a server: its environment, its command, and who answers on its port."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from lls_provider.contract.document import dump
from lls_provider.errors import Code, SdkError
from lls_provider.local.call import HOST, free_port
from lls_provider.local.log_diagnosis import LogDiagnosis
from lls_provider.local.server import Server, ended, server_environment, start_command
from lls_provider.local.workspace import Workspace
from lls_provider.wheels.distribution import Distribution
from lls_provider.wheels.environment import Environment, ensure_environment
from lls_provider.wheels.interpreter import Interpreter
from lls_provider.wheels.loading import load_distribution
from lls_provider.wheels.servers import line_named


def test_the_environment_keeps_state_and_foreign_settings_out(tmp_path: Path) -> None:
    inherited = {
        "PATH": "/usr/bin",
        "HTTPS_PROXY": "http://proxy",
        "HOME": "/home/user",
        "PYTHONPATH": "/other",
        "PYTHONHOME": "/other",
        "VIRTUAL_ENV": "/venv",
        "LLAMA_STACK_CONFIG": "/other.yaml",
        "OGX_WORKERS": "4",
        "LLS_PROVIDER_ID": "other",
        "XDG_CACHE_HOME": "/home/user/.cache",
    }
    values = server_environment(
        inherited,
        home=tmp_path / "home",
        temporary=tmp_path / "tmp",
        packages=[tmp_path / "packages"],
        given={"ACME_TOKEN": "1", "OGX_WORKERS": "2", "PYTHONPATH": "/mine"},
    )
    assert values["PATH"] == "/usr/bin"
    assert values["HTTPS_PROXY"] == "http://proxy"
    assert values["HOME"] == str(tmp_path / "home")
    assert values["TMPDIR"] == str(tmp_path / "tmp")
    assert values["PYTHONPATH"] == f"{tmp_path / 'packages'}:/mine"
    assert (values["ACME_TOKEN"], values["OGX_WORKERS"]) == ("1", "2")
    gone = {"PYTHONHOME", "VIRTUAL_ENV", "LLAMA_STACK_CONFIG", "LLS_PROVIDER_ID", "XDG_CACHE_HOME"}
    assert not gone & set(values)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, "exit status 0"),
        (-signal.SIGTERM, "killed by SIGTERM"),
        (-signal.SIGKILL, "killed by SIGKILL, often for lack of memory"),
        (-99, "killed by signal 99"),
    ],
)
def test_an_end_is_told_in_words(status: int, text: str) -> None:
    assert ended(status) == text


def environment(folder: Path, server: str | None) -> Environment:
    python = folder / "bin" / "python"
    interpreter = Interpreter(python, (3, 12, 0))
    line = line_named(server) if server else None
    return Environment(python, Distribution("mine", {}, interpreter, line, python))


def test_the_port_is_a_flag_because_llama_stack_ignores_the_file(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "llama").touch()
    command = start_command(environment(tmp_path, "llama-stack"), Path("/run.yaml"), 8321)
    assert command == [
        str(tmp_path / "bin" / "llama"),
        "stack",
        "run",
        "/run.yaml",
        "--port",
        "8321",
    ]


def test_an_environment_without_the_servers_command_is_told(tmp_path: Path) -> None:
    with pytest.raises(SdkError) as caught:
        start_command(environment(tmp_path, "ogx"), Path("/run.yaml"), 8321)
    assert caught.value.code is Code.SERVER_FAILED
    assert str(tmp_path / "bin" / "ogx") in caught.value.why


def test_an_environment_without_a_server_is_told(tmp_path: Path) -> None:
    with pytest.raises(SdkError) as caught:
        start_command(environment(tmp_path, None), Path("/run.yaml"), 8321)
    assert caught.value.code is Code.USAGE


class Stranger(http.server.BaseHTTPRequestHandler):
    """Says that it is in good health, whatever is asked."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.mark.server
@pytest.mark.parametrize("name", ["llama-stack==0.7.3", "ogx==1.5.0"])
def test_a_strangers_health_is_not_taken_for_the_servers(name: str) -> None:
    real = ensure_environment(load_distribution(name))
    line = real.distribution.line
    assert line is not None
    with (
        http.server.ThreadingHTTPServer((HOST, 0), Stranger) as stranger,
        Workspace() as workspace,
    ):
        thread = threading.Thread(target=stranger.serve_forever)
        thread.start()
        try:
            port = stranger.server_address[1]
            home = workspace.make_directory("home")
            config = workspace.root / "run.yaml"
            config.write_text(dump(line.minimal_config(real.distribution.pins[line.name])))
            log = workspace.root / "server.log"
            server = Server(
                workspace, label=name, port=port, log=log, suspects=LogDiagnosis(home, {})
            )
            server.start(
                start_command(real, config, port),
                environment=server_environment(
                    os.environ, home=home, temporary=home, packages=[], given={}
                ),
                directory=home,
            )
            with pytest.raises(SdkError) as caught:
                server.wait_ready()
        finally:
            stranger.shutdown()
            thread.join()
    assert caught.value.code is Code.PORT_TAKEN
    assert f"Process {os.getpid()} (" in caught.value.why


def test_a_server_that_is_never_ready_is_given_up_and_stopped() -> None:
    with Workspace() as workspace:
        server = Server(
            workspace,
            label="sleeper",
            port=free_port(),
            log=workspace.root / "server.log",
            suspects=LogDiagnosis(workspace.root, {}),
        )
        server.start(["/bin/sleep", "600"], environment=os.environ, directory=workspace.root)
        group = server.group
        with pytest.raises(SdkError) as caught:
            server.wait_ready(timeout=0.3)
        server.stop()
    assert caught.value.code is Code.SERVER_FAILED
    assert "was not ready within 0.3 seconds" in caught.value.what
    assert subprocess.run(["/bin/kill", "-0", "--", f"-{group}"], capture_output=True).returncode
