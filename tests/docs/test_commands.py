"""The page of commands is what the commands say of themselves.

``python tests/docs/test_commands.py`` writes it again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from lls_provider.cli.group import COMMANDS, group

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "reference" / "commands.md"
INTRODUCTION = """\
# Commands

What each command says with `--help`. Results go to stdout, progress and logs to stderr; the
exit statuses are explained under [errors](errors.md), the variables that commands read under
[settings](settings.md#variables). `install`, `install-all`, `extract`, `merge`, `preflight` and
`start` are also the commands of the zipapp `lls-provider.pyz`, which is what runs in a Pod.

"""


def told(*words: str) -> str:
    """A command's help as it is shown in a pipe, 80 columns wide."""
    done = subprocess.run(
        [sys.executable, "-m", "lls_provider.cli", *words, "--help"],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.rstrip()


def made() -> str:
    """The whole page."""
    table = "| command | does |\n|---|---|\n"
    table += "".join(f"| [`{name}`](#{name}) | {text} |\n" for name, text in COMMANDS.items())
    shown = f"\n```text\n{told()}\n```\n"
    for name in COMMANDS:
        shown += f"\n## {name}\n\n```text\n{told(name)}\n```\n"
        command = group.get_command(click.Context(group), name)
        for inner in command.commands if isinstance(command, click.Group) else ():
            shown += f"\n### {name} {inner}\n\n```text\n{told(name, inner)}\n```\n"
    return INTRODUCTION + table + shown


def unwrapped(text: str) -> list[str]:
    """The words: where help breaks its lines differs between versions of Python and click."""
    return text.split()


@pytest.mark.slow
def test_the_page_shows_each_commands_help() -> None:
    assert unwrapped(PAGE.read_text("utf-8")) == unwrapped(made()), (
        "write it again: python tests/docs/test_commands.py"
    )


def test_the_readme_lists_the_commands_as_help_does() -> None:
    rows = re.findall(
        r"^\| `lls-provider ([a-z-]+)` \| (.*) \|$", README.read_text("utf-8"), re.MULTILINE
    )
    listed = re.findall(
        r"^  ([a-z-]+) {2,}(\S.*(?:\n {12,}\S.*)*)",
        told().partition("\nCommands:\n")[2],
        re.MULTILINE,
    )
    assert rows == [(name, " ".join(text.split())) for name, text in listed]
    assert rows == list(COMMANDS.items())


if __name__ == "__main__":
    PAGE.write_text(made(), "utf-8")
