"""`new` as a user runs it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.factories.template_versions import commit, commit_conflict, git, make_first_project

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
        "  lls-provider build --base scratch --output oci:image 'my echo'",
        "  lls-provider up --check 'my echo'",
    ]


def test_without_a_folder_the_name_is_the_folder(cli: Cli, tmp_path: Path) -> None:
    done = cli("new", "name=acme-echo", "--no-input", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "acme-echo" / "pyproject.toml").is_file()


@pytest.mark.parametrize("words", [("name=acme-echo",), ("acme-echo",), (".",), ("a=b/acme",)])
def test_a_directory_with_content_is_refused_at_once_with_one_that_is_free(
    cli: Cli, tmp_path: Path, words: tuple[str, ...]
) -> None:
    for name in ("acme-echo", "a=b/acme"):
        (tmp_path / name / "precious").mkdir(parents=True)
    refused = cli("new", *words, cwd=tmp_path)  # its input is empty: a question would fail
    assert refused.returncode == 1, refused.stderr
    assert "is not empty" in refused.stderr
    advice = re.search(r"`lls-provider (.+)`", refused.stderr)
    assert advice is not None, refused.stderr
    done = cli(*shlex.split(advice[1]), "--no-input", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


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


@pytest.mark.slow
def test_an_update_says_what_it_did_and_how_to_undo_it(cli: Cli, tmp_path: Path) -> None:
    project = make_first_project(tmp_path / "my projects")
    dry = cli("new", project, "--update", "--dry-run", "--no-input")
    assert dry.returncode == 0, dry.stderr
    assert "+version = " in dry.stdout
    assert f"Would update {project} from version 1 to " in dry.stdout
    listed = cli("new", project, "--update", "--dry-run", "--no-input", "--format", "json")
    assert {"path": "pyproject.toml", "change": "changed"} in json.loads(listed.stdout)["files"]
    assert git(project, "status", "--porcelain") == ""

    done = cli("new", "--update", "--no-input", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "  changed  pyproject.toml\n" in done.stdout
    (undo,) = re.findall(r"^Undo it with: (.+)$", done.stdout, re.MULTILINE)
    assert git(project, "status", "--porcelain") != ""
    subprocess.run(["/bin/sh", "-c", undo], cwd=project, check=True)
    assert git(project, "status", "--porcelain") == ""

    assert cli("new", "--update", "--no-input", cwd=project).returncode == 0
    commit(project)
    again = cli("new", project, "--update", "--no-input")
    assert again.returncode == 0
    assert again.stdout.endswith("of the template already.\n")


def test_an_update_with_a_conflict_is_an_error(cli: Cli, tmp_path: Path) -> None:
    project = make_first_project(tmp_path)
    commit_conflict(project)
    done = cli("new", project, "--update", "--no-input")
    assert done.returncode == 1
    assert "  conflict pyproject.toml\n" in done.stdout
    assert "git add" not in done.stdout
    assert "ERROR: The update left 1 file in conflict" in done.stderr
    assert "CONFLICT (content): Merge conflict in pyproject.toml" in done.stderr


def test_a_dry_run_lists_the_files_and_makes_none(cli: Cli, tmp_path: Path) -> None:
    words = ("acme-echo", "--no-input")
    dry = cli("new", *words, "--dry-run", cwd=tmp_path)
    assert (dry.returncode, list(tmp_path.iterdir())) == (0, [])
    first, *files = dry.stdout.splitlines()
    assert first == "Would make acme-echo:"
    assert cli("new", *words, "--format", "json", cwd=tmp_path).returncode == 0
    made = tmp_path / "acme-echo"
    found = sorted(str(it.relative_to(made)) for it in made.rglob("*") if it.is_file())
    assert [it.strip() for it in files] == found
