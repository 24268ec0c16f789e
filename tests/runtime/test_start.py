"""All phases in one container: what runs, in which order, and what the process becomes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.cli.arguments import main
from lls_provider.runtime.start import (
    StartRequest,
    commands,
    parse_providers,
    server_environment,
    start,
)

MakeBundle = Callable[..., Path]
ECHO = {"id": "echo", "api": "inference", "image": "acme/echo:1", "source": "/a"}
GUARD = {"id": "guard", "api": "safety", "image": "acme/guard:1", "source": "/b", "config": "{}"}


def _request(**more: Any) -> StartRequest:
    values: dict[str, Any] = {
        "providers": [ECHO, GUARD],
        "root": "/r",
        "base": None,
        "merged": None,
        "command": ["/bin/server", "run"],
    }
    return StartRequest(**{**values, **more})


def test_the_phases_run_in_their_order() -> None:
    lines = commands(_request())
    assert [line[0] for line in lines] == ["install", "install", "extract", "merge", "preflight"]
    assert lines[1] == [
        *("install", "--provider-id", "guard", "--api", "safety", "--image", "acme/guard:1"),
        *("--source", "/b", "--config", "{}", "--order", "1", "--root", "/r"),
    ]
    assert lines[-1][-4:] == ["--run-yaml", "/r/config/run.yaml", "--root", "/r"]


def test_a_base_is_merged_and_a_merged_file_is_only_checked() -> None:
    lines = commands(_request(base="/etc/x.yaml"))
    assert [line[0] for line in lines] == ["install", "install", "merge", "preflight"]
    assert lines[2] == ["merge", "--base", "/etc/x.yaml", "--root", "/r"]
    lines = commands(_request(merged="/etc/x.yaml"))
    assert [line[0] for line in lines] == ["install", "install", "preflight"]
    assert "/etc/x.yaml" in lines[-1]


class _BecameError(Exception):
    """What would have been another program."""


def _become(program: str, arguments: list[str], environment: Mapping[str, str]) -> NoReturn:
    raise _BecameError(program, arguments, environment["RUN_CONFIG_PATH"])


def test_the_first_failure_ends_it_with_its_status() -> None:
    ran: list[str] = []

    def run(arguments: Sequence[str]) -> int:
        ran.append(arguments[0])
        return 3 if arguments[0] == "merge" else 0

    assert start(_request(), run, _become) == 3
    assert ran == ["install", "install", "extract", "merge"]


@pytest.mark.parametrize(
    ("more", "run_yaml"),
    [
        ({}, "/r/config/run.yaml"),
        ({"base": "/etc/x.yaml"}, "/r/config/run.yaml"),
        ({"merged": "/etc/x.yaml"}, "/etc/x.yaml"),
    ],
)
def test_it_becomes_the_command_on_the_merged_configuration(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str], run_yaml: str
) -> None:
    monkeypatch.setenv("RUN_CONFIG_PATH", "/etc/ogx/config.yaml")
    with pytest.raises(_BecameError) as caught:
        start(_request(**more), lambda _: 0, _become)
    assert caught.value.args == ("/bin/server", ["/bin/server", "run"], run_yaml)


def test_every_variable_that_names_a_configuration_names_the_merged_one() -> None:
    found = server_environment(
        {
            "RUN_CONFIG_PATH": "/etc/ogx/config.yaml",  # as the operator sets it
            "MY_CONFIG": "/opt/app-root/run.yaml",  # as an image may name its own
            "OTHER": "/opt/app-root",
        },
        "/r/config/run.yaml",
    )
    assert found == {
        "RUN_CONFIG_PATH": "/r/config/run.yaml",
        "LLAMA_STACK_CONFIG": "/r/config/run.yaml",
        "OGX_CONFIG": "/r/config/run.yaml",
        "MY_CONFIG": "/r/config/run.yaml",
        "OTHER": "/opt/app-root",
    }


def test_a_command_that_does_not_exist_is_told() -> None:
    with pytest.raises(SdkError) as caught:
        start(_request(command=["/no/such/server"]), lambda _: 0)
    assert caught.value.code is Code.TOOL_MISSING
    assert "/no/such/server" in caught.value.what


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "not JSON"),
        ("{}", "at least one"),
        ("[]", "at least one"),
        ("[1]", "Entry 0 is not an object"),
        (json.dumps([ECHO, {**ECHO, "secret": "s3cret"}]), "unknown keys ['secret']"),
        (json.dumps([{"id": "a"}]), "lacks ['api', 'image', 'source']"),
        (json.dumps([{**ECHO, "config": {"password": "s3cret"}}]), "not text"),
    ],
)
def test_providers_that_cannot_be_understood_are_told_without_their_values(
    text: str, word: str
) -> None:
    with pytest.raises(SdkError) as caught:
        parse_providers(text)
    assert caught.value.code is Code.USAGE
    message = caught.value.render()
    assert word in message
    assert "s3cret" not in message
    advice = caught.value.resolution
    parse_providers(advice[advice.index("'[") + 1 : advice.index("]'") + 1])


def test_the_real_command_installs_and_leaves_its_error(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    """Preflight has no server here: the container ends with its message and status."""
    source = make_bundle("echo", files={"echo/provider.py": "import no_such_module"})
    base = tmp_path / "run.yaml"
    base.write_text("version: 2\n")
    log = tmp_path / "log"
    providers = json.dumps([{**ECHO, "source": str(source)}])
    arguments = ["start", "--root", str(tmp_path), "--base", str(base), "--providers", providers]
    command = [*arguments, "--", "/bin/echo", "became the server"]
    done = subprocess.run(
        [sys.executable, "-m", "lls_provider.runtime", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Installed provider 'echo'" in done.stdout
    assert "no_such_module" in done.stderr
    assert "became the server" not in done.stdout
    assert not log.exists()
    assert (tmp_path / "config" / "run.yaml").is_file()


def test_the_real_command_becomes_the_server(make_bundle: MakeBundle, tmp_path: Path) -> None:
    """With nothing to load, since the configuration was merged without the provider."""
    source = make_bundle("echo")
    merged = tmp_path / "run.yaml"
    merged.write_text("version: 2\nproviders: {}\n")
    providers = json.dumps([{**ECHO, "source": str(source)}])
    arguments = ["start", "--root", str(tmp_path), "--merged", str(merged)]
    # the signals that Python ignores, as a mask, of a program that is not Python
    shown = ["/bin/sh", "-c", "grep SigIgn /proc/self/status; echo became"]
    done = subprocess.run(
        [sys.executable, "-m", "lls_provider.runtime", *arguments, "--providers", providers, "--",
         *shown],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *_, ignored, became = done.stdout.splitlines()
    assert became == "became"
    mask = int(ignored.split()[1], 16)
    assert not mask & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)


def test_several_providers_are_installed_until_one_fails(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    listed = [
        {**ECHO, "source": str(make_bundle("echo")), "container": "install-providers"},
        {**GUARD, "source": str(tmp_path / "absent")},
        {**ECHO, "id": "third", "source": str(make_bundle("third"))},
    ]
    command = ["install-all", "--root", str(tmp_path), "--providers", json.dumps(listed)]
    done = subprocess.run(
        [sys.executable, "-m", "lls_provider.runtime", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert done.stdout == "Installed provider 'echo' (order 0): 1 package\n"
    assert "acme/guard:1" in done.stderr
    metadata = tmp_path / "external-providers" / "metadata"
    assert [it.name for it in metadata.iterdir()] == ["echo"]
    assert "install-providers" in (metadata / "echo" / "crd-config.yaml").read_text()

    listed[1]["source"] = str(make_bundle("guard", api="safety"))
    command[-1] = json.dumps(listed)
    assert main(command) == 0
    assert sorted(it.name for it in metadata.iterdir()) == ["echo", "guard", "third"]


@pytest.mark.parametrize("words", [["start", "--", "/bin/true"], ["install-all"]])
def test_bad_arguments_are_bad_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command, *rest = words
    assert main([command, "--providers", "[]", *rest]) == 2
    assert "--providers cannot be understood" in capsys.readouterr().err
