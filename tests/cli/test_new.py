"""`new` as a user runs it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def test_it_says_what_to_do_next(cli: Cli, tmp_path: Path) -> None:
    done = cli("new", "my echo", "--no-input", "name=acme-echo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "my echo" / "pyproject.toml").is_file()
    assert done.stdout.splitlines() == [
        "Made my echo",
        "",
        "Next:",
        "  lls-provider test 'my echo'",
        "  lls-provider check 'my echo'",
        "  lls-provider up --check 'my echo'",
    ]


def test_without_a_folder_the_name_is_the_folder(cli: Cli, tmp_path: Path) -> None:
    done = cli("new", "name=acme-echo", "--no-input", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "acme-echo" / "pyproject.toml").is_file()


def test_questions_without_a_terminal_say_how_to_answer(cli: Cli, tmp_path: Path) -> None:
    done = cli("new", "acme-echo", cwd=tmp_path)
    assert done.returncode == 2
    assert "ERROR: No answer to 'name'" in done.stderr
    assert "--no-input" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_answer_leaves_nothing(cli: Cli, tmp_path: Path) -> None:
    done = cli("new", "acme-echo", "--no-input", "api=infernce", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean 'inference'" in done.stderr
    assert list(tmp_path.iterdir()) == []
