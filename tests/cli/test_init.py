"""`init` as a user runs it, and what leads to it."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import results
from tests.cli.terminal import CTRL_D, DOWN, ENTER, Terminal
from tests.factories.environments import make_environment
from tests.factories.layouts import write_layout

from lls_provider.wheels.interpreter import find_interpreter

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
PLAIN = """\
from llama_stack_api import Api, InlineProviderSpec


def get_provider_spec():
    return [
        InlineProviderSpec(api=Api.safety, provider_type="inline::acme-guard"),
        InlineProviderSpec(api=Api.files, provider_type="inline::acme-files"),
    ]
"""


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """A project with two providers, which can be read."""
    project = write_layout(tmp_path / "my project", "setuptools_flat")
    (project / "acme_echo" / "provider.py").write_text(PLAIN)
    return project


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("server") / "venv"
    make_environment(find_interpreter().path, folder)
    return f"python:{folder}"


def answered(answer: str, *words: str | Path) -> tuple[int, str]:
    """The exit status of a command whose input and errors are a terminal, and what that showed."""
    with Terminal(
        *words, cwd=Path.cwd(), environment={"TERM": "dumb"}, stdout=subprocess.DEVNULL
    ) as screen:
        screen.type(answer)
        return screen.status(), screen.text.replace("\r\n", "\n")


def test_a_dry_run_shows_the_table(cli: Cli, several: Path) -> None:
    before = (several / "pyproject.toml").read_bytes()
    words = ("init", several, "--static", "--dry-run", "--provider-type", "inline::acme-files")
    done = cli(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        f"Would write into {several}/pyproject.toml:\n\n"
        '  [tool.lls-provider]\n  api = "files"\n  provider-type = "inline::acme-files"\n'
        '  module = "acme_echo"\n  vendor = "Acme GmbH"\n'
    )
    assert "\nNot known, or to be checked:\n  - Nothing was run (--static).\n" in done.stdout
    assert "Next:" not in done.stdout
    assert (several / "pyproject.toml").read_bytes() == before


def test_the_result_as_data(cli: Cli, several: Path) -> None:
    words = ("init", several, "--static", "--provider-type", "inline::acme-files")
    (document,) = results.check(cli(*words, "--format", "json").stdout)
    assert document["schema"] == "lls-provider/init/1"
    assert document["dry_run"] is False
    assert {it["key"]: it["value"] for it in document["settings"]} == {
        "api": "files",
        "provider-type": "inline::acme-files",
        "module": "acme_echo",
        "vendor": "Acme GmbH",
    }
    assert document["notes"][0] == "Nothing was run (--static)."


def test_the_next_commands_can_be_copied(cli: Cli, several: Path) -> None:
    done = cli("init", "--static", "--provider-type", "inline::acme-files", cwd=several)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(
        "Next:\n"
        "  lls-provider check .\n"
        "  lls-provider build --base scratch --output oci:image .\n"
        "  lls-provider up --check .\n"
    )


def test_several_without_a_terminal_are_listed(cli: Cli, several: Path) -> None:
    done = cli("init", several, "--static")
    assert done.returncode == 2
    assert "--provider-type inline::acme-guard" in done.stderr


def test_several_on_a_terminal_are_asked_about(several: Path) -> None:
    status, shown = answered("1\n", "init", several, "--static")
    assert status == 0, shown
    assert "  1) files inline::acme-files (acme_echo)\n" in shown
    assert 'api = "files"' in (several / "pyproject.toml").read_text()


@pytest.mark.slow
def test_several_are_chosen_with_the_arrow_keys(several: Path) -> None:
    words = ("init", several, "--static")
    with Terminal(*words, cwd=Path.cwd(), environment={"TERM": "xterm-256color"}) as screen:
        screen.until("> files inline::acme-files (acme_echo)")
        screen.type(DOWN + ENTER)
        assert screen.status() == 0
    assert 'api = "safety"' in (several / "pyproject.toml").read_text()


def test_without_an_answer_the_options_are_named(several: Path) -> None:
    status, shown = answered(CTRL_D, "init", several, "--static")
    assert status == 2
    assert "Name it with --module, --api or --provider-type." in shown


@pytest.mark.parametrize(
    "words", [("up", "--check"), ("build", "--output", "oci:image"), ("check",), ("test",)]
)
def test_every_command_names_init_and_following_it_gives_the_table(
    cli: Cli, several: Path, words: tuple[str, ...]
) -> None:
    done = cli(words[0], several, *words[1:])
    assert done.returncode == 1
    told = done.stderr + done.stdout
    (advice,) = re.findall(r"`(lls-provider init [^`]+)`", told)
    followed = cli(*shlex.split(advice)[1:], "--static", "--provider-type=inline::acme-guard")
    assert followed.returncode == 0, followed.stderr
    assert "no table" not in cli("check", several).stdout


@pytest.mark.network
def test_up_offers_it_on_a_terminal(tmp_path: Path, server: str) -> None:
    project = write_layout(tmp_path, "setuptools_flat")
    before = (project / "pyproject.toml").read_bytes()
    status, shown = answered("n\n", "up", project, "--check", "--server", server)
    assert status == 1
    assert "has no table [tool.lls-provider]" in shown
    assert (project / "pyproject.toml").read_bytes() == before

    status, shown = answered("\n", "up", project, "--check", "--server", server)
    assert "Wrote into" in shown
    assert (project / "pyproject.toml").read_bytes() != before
    assert "has no table" not in shown  # it goes on, to an environment that has no server
    assert "ERROR: " in shown
    assert status != 0
