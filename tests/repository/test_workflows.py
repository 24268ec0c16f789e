"""Workflows, hooks and tasks are valid, least in rights, and run what exists."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
HOOKS = ROOT / ".pre-commit-config.yaml"
RIGHTS = {"publish": {"id-token": "write"}, "site": {"contents": "write"}}
PINNED = re.compile(r"uses: (?:\$/\S+|[\w./-]+@[0-9a-f]{40} # v\d+(?:\.\d+)+)")


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )


def document(path: Path) -> dict[str, Any]:
    # BaseLoader: GitHub reads YAML 1.2, where "on" is not a boolean
    loaded = yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader)  # noqa: S506
    assert isinstance(loaded, dict)
    return loaded


def jobs(path: Path) -> dict[str, Any]:
    found = document(path)["jobs"]
    assert isinstance(found, dict)
    return found


def commands() -> list[str]:
    return [
        step["run"]
        for path in WORKFLOWS
        for job in jobs(path).values()
        for step in job.get("steps", [])
        if "run" in step
    ]


def sessions() -> set[str]:
    """The sessions of the noxfile, as nox lists them: those it runs by default and the others."""
    done = run("-m", "nox", "--list")
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"^[*-] (\S+) -> ", done.stdout, re.MULTILINE))


@pytest.mark.slow
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda it: it.name)
def test_a_workflow_agrees_with_githubs_schema(path: Path) -> None:
    done = run("-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_schema_finds_what_is_wrong(tmp_path: Path) -> None:
    wrong = tmp_path / "ci.yml"
    wrong.write_text("on: push\njobs:\n  a:\n    runs-on: x\n    steps: [{runs: ls}]\n", "utf-8")
    done = run("-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", wrong)
    assert done.returncode == 1


@pytest.mark.slow
def test_dependabots_settings_agree_with_their_schema() -> None:
    path = ROOT / ".github" / "dependabot.yml"
    done = run("-m", "check_jsonschema", "--builtin-schema", "vendor.dependabot", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda it: it.name)
def test_a_workflow_has_few_rights_and_runs_pinned_actions(path: Path) -> None:
    assert document(path)["permissions"] == {}
    for name, job in jobs(path).items():
        assert job["permissions"] == RIGHTS.get(name, {"contents": "read"}), name
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] == "false"
    uses = [line.strip() for line in path.read_text("utf-8").splitlines() if "uses:" in line]
    assert uses
    assert [line for line in uses if not PINNED.fullmatch(line.removeprefix("- "))] == []


def test_only_an_approved_tag_that_passed_ci_is_published() -> None:
    release = document(ROOT / ".github" / "workflows" / "release.yml")
    assert release["on"] == {"push": {"tags": ["v*"]}}
    publish = release["jobs"]["publish"]
    assert publish["environment"] == "pypi"
    assert sorted(publish["needs"]) == ["build", "ci"]


def test_ci_tests_every_python_that_the_package_names() -> None:
    classifiers = re.findall(
        r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text()
    )
    matrix = jobs(ROOT / ".github" / "workflows" / "ci.yml")["tests"]["strategy"]["matrix"]
    assert matrix["python"] == classifiers == ["3.11", "3.12", "3.13", "3.14"]
    assert {f"tests-{version}" for version in classifiers} <= sessions()


def test_what_workflows_run_exists() -> None:
    text = "\n".join(commands())
    scripts = re.findall(r"\S+\.py\b|\.ci/\S+", text)
    assert ".ci/run" in scripts
    assert [name for name in scripts if not (ROOT / name).is_file()] == []
    named = {
        word
        for words in re.findall(r"nox -s (.*?)(?: --|$)", text, re.MULTILINE)
        for word in words.split()
    }
    matrix = {word for word in named if "$" in word}
    assert matrix == {'"tests-$PYTHON"'}
    assert named - matrix <= sessions()


def test_the_tasks_are_those_that_contributing_lists() -> None:
    listed = re.findall(r"^\| `nox -s (\w+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    assert set(listed) == {name.partition("-")[0] for name in sessions()}


def test_the_hooks_are_valid_and_run_commands_that_the_tests_install() -> None:
    done = run("-m", "pre_commit", "validate-config", HOOKS)
    assert done.returncode == 0, done.stdout + done.stderr
    local = [
        hook for it in document(HOOKS)["repos"] if it["repo"] == "local" for hook in it["hooks"]
    ]
    entries = [hook["entry"].split() for hook in local]
    assert {tuple(words[:2]) for words in entries} >= {("ruff", "check"), ("ruff", "format")}
    beside = str(Path(sys.executable).parent)
    assert [words[0] for words in entries if not shutil.which(words[0], path=beside)] == []


def test_hooks_of_others_are_pinned() -> None:
    revisions = re.findall(r"^ +rev: (.*)$", HOOKS.read_text("utf-8"), re.MULTILINE)
    others = [it for it in document(HOOKS)["repos"] if it["repo"] != "local"]
    assert len(revisions) == len(others)
    assert all(re.fullmatch(r"[0-9a-f]{40} # frozen: v\S+", it) for it in revisions)
