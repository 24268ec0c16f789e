"""The listing, each command's help, and what asking for help imports."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lls_provider import __version__
from lls_provider.cli.group import _RUNTIME_COMMANDS, COMMANDS
from lls_provider.project.answers import ANSWERS, UNASKED
from lls_provider.project.template_apis import template_apis

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_listing_shows_every_command_in_the_order_of_a_providers_life(cli: Cli) -> None:
    done = cli("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    assert re.findall(r"^  ([a-z][a-z-]*)  +\S", done.stdout, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_with_an_example(cli: Cli, name: str) -> None:
    done = cli(name, "--help")
    assert done.returncode == 0
    assert done.stderr == ""
    assert re.search(rf"^ *[Ee]xample:\s+lls-provider(\.pyz)? {name}\b", done.stdout, re.MULTILINE)


# the runtime's help is argparse's
@pytest.mark.parametrize("name", [None, *(it for it in COMMANDS if it not in _RUNTIME_COMMANDS)])
def test_every_help_lists_the_exit_statuses(cli: Cli, name: str | None) -> None:
    text = " ".join(cli(*([name] if name else []), "--help").stdout.split())
    assert "Exit status: 0 fine, 1 the thing checked is wrong, 2 bad usage" in text


@pytest.mark.parametrize("name", [it for it in COMMANDS if it not in _RUNTIME_COMMANDS])
def test_a_narrow_terminal_holds_every_line(cli: Cli, name: str) -> None:
    text = cli(name, "--help", env={"COLUMNS": "60"}).stdout
    assert [line for line in text.splitlines() if len(line) > 60] == []


def test_the_help_of_new_lists_every_answer_and_every_api(cli: Cli) -> None:
    text = cli("new", "--help").stdout
    lists = text[text.index("\nAnswers:") : text.index("\nOptions:")]
    listed = re.findall(r"^  ([a-z_]+) +\S", lists, re.MULTILINE)
    assert listed == [*ANSWERS, *template_apis()]
    unasked = lists[lists.index("\nAnswers that are never asked for:") : lists.index("\nAPIs,")]
    assert set(re.findall(r"^  ([a-z_]+) +\S", unasked, re.MULTILINE)) == UNASKED


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_both_spellings_of_help_are_known_everywhere(cli: Cli, flag: str) -> None:
    for words in ([], ["check"], ["install"]):
        assert cli(*words, flag).stdout.lower().startswith("usage: lls-provider")


def test_the_version(cli: Cli) -> None:
    assert cli("--version").stdout == f"lls-provider {__version__}\n"


def test_asking_for_the_listing_imports_click_and_no_command() -> None:
    script = (
        "import sys, click; before = set(sys.modules)\n"
        "from lls_provider.cli import main\n"
        "try: main(['--help'])\n"
        "finally: print(*sorted(set(sys.modules) - before), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    modules = done.stderr.split()
    ours = {name for name in modules if name.startswith("lls_provider")}
    assert {f"lls_provider.cli.{name}" for name in COMMANDS} & ours == set()
    heavy = {"rich", "cookiecutter", "requests", "yaml", "packaging", "json", "subprocess"}
    assert heavy & set(modules) == set()
    assert len(ours) < 13, ours


def test_no_command_at_all_shows_the_listing_on_stderr(cli: Cli) -> None:
    done = cli()
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Usage: lls-provider")


def test_the_installed_command_is_the_same(cli: Cli) -> None:
    command = Path(sys.executable).with_name("lls-provider")
    done = subprocess.run([command, "--help"], capture_output=True, text=True)
    assert done.stdout == cli("--help").stdout
