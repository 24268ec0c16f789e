"""The command `lls-provider up` as a user runs it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import results

from lls_provider.bundle.bundle import Bundle
from lls_provider.local.call import HOST

MakeProvider = Callable[..., Bundle]

SERVER = "llama-stack==0.7.3"
CALL = [
    "--resource",
    'models={"model_id": "tiny", "model_type": "llm"}',
    "--call",
    (
        'POST /v1/chat/completions {"model": "acme-echo/tiny", '
        '"messages": [{"role": "user", "content": "hi"}]}'
    ),
]


def up(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "lls_provider.cli", "up", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(up(*arguments), capture_output=True, text=True, timeout=300)


@pytest.mark.server
def test_check_prints_the_documents_fields_and_nothing_else_on_stdout(
    make_provider: MakeProvider,
) -> None:
    done = run(str(make_provider().root), "--check", "--format", "json", *CALL)
    assert done.returncode == 0, done.stderr
    (document,) = results.check(done.stdout)
    assert list(document) == ["schema", "server", "phases", "providers", "call", "error"]
    assert document["error"] is None
    assert document["server"] == SERVER
    assert all(set(phase) == {"name", "seconds", "ok"} for phase in document["phases"])
    assert document["providers"] == [
        {"provider_id": "acme-echo", "api": "inference", "provider_type": "remote::acme-echo"}
    ]
    assert document["call"]["status"] == 200
    assert document["call"]["body"]["choices"][0]["message"]["content"] == "echo: hi"
    for phase in document["phases"]:
        assert re.search(rf"^ *{phase['name']} +done in \d+\.\d s$", done.stderr, re.MULTILINE)


@pytest.mark.server
def test_a_failure_in_json_shows_the_phases_and_the_cause_on_stderr(
    make_provider: MakeProvider,
) -> None:
    bundle = make_provider(files={"provider.py": "import absent_dependency\n"})
    done = run(str(bundle.root), "--check", "--format", "json")
    assert done.returncode == 1
    (document,) = results.check(done.stdout)
    assert [phase["name"] for phase in document["phases"] if not phase["ok"]] == ["preflight"]
    assert document["error"]["code"] == "validation-failed"
    assert (document["providers"], document["call"]) == ([], None)
    assert "ERROR: Provider validation failed" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.server
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["int", "term"]
)
def test_without_check_it_stays_up_until_a_signal(
    make_provider: MakeProvider, number: signal.Signals, status: int
) -> None:
    process = subprocess.Popen(
        up(str(make_provider().root), *CALL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    told = ""
    while "Call it: " not in told:
        line = process.stderr.readline()
        assert line, told
        told += line
    found = re.search(r"stays up at (http://127\.0\.0\.1:(\d+)) until", told)
    assert found is not None
    port = int(found[2])
    with socket.create_connection((HOST, port), 10):
        pass
    command = told.partition("Call it: ")[2]
    assert command.startswith(f"curl -X POST {found[1]}/v1/chat/completions ")
    process.send_signal(number)
    out, _rest = process.communicate(timeout=60)
    assert process.returncode == status
    assert "inference  acme-echo  remote::acme-echo" in out
    with socket.create_server((HOST, port)):
        pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["absent-folder"], 1, "There is no directory absent-folder"),
        ([], 2, "Missing argument 'TARGET...'"),
        ([".", "--config", "x"], 2, "--config cannot be understood"),
        ([".", "--call", "x"], 2, "--call cannot be understood"),
        ([".", "--env", "x"], 2, "--env cannot be understood"),
        ([".", "--resource", "x"], 2, "--resource cannot be understood"),
        ([".", "--port", "0"], 2, "--port"),
    ],
)
def test_a_wrong_command_line_is_one_clear_error(
    arguments: list[str], status: int, text: str
) -> None:
    done = run(*arguments, "--check")
    assert done.returncode == status
    assert text in done.stderr
    assert "Resolution: " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_taken_port_ends_with_the_status_for_the_machine(make_provider: MakeProvider) -> None:
    root = str(make_provider().root)
    with socket.create_server((HOST, 0)) as server:
        done = run(root, "--check", "--port", str(server.getsockname()[1]))
    assert done.returncode == 3
    assert "cannot be used" in done.stderr
    assert "--port" in done.stderr


def test_the_help_has_an_example(tmp_path: Path) -> None:
    done = subprocess.run(up("--help"), capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0
    assert "Example: lls-provider up" in done.stdout
