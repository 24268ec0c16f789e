"""The pages about projects that exist: their commands run, in their order."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.docs.site import environment
from tests.docs.test_pages import FENCE, ROOT
from tests.docs.test_tutorial import Session
from tests.docs.transcripts import Command, matches, normal, steps
from tests.factories.template_versions import commit, git, make_first_project

pytestmark = pytest.mark.slow

HOW_TO = ROOT / "docs" / "how-to"


def console(page: str) -> list[str]:
    """The command lines of a page's console blocks."""
    text = (HOW_TO / page).read_text("utf-8")
    blocks = [content for _, _, language, content in FENCE.findall(text) if language == "console"]
    return re.findall(r"^\$ (.+)$", "".join(blocks), re.MULTILINE)


def run(line: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a line in a shell whose `lls-provider` is this one."""
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.network
@pytest.mark.server
def test_a_provider_is_adopted_as_the_page_and_the_error_of_up_say(tmp_path: Path) -> None:
    project = Path(shutil.copytree(ROOT / "samples" / "echo-inference", tmp_path / "acme-echo"))
    file = project / "pyproject.toml"
    before, table, after = file.read_text().partition("[tool.lls-provider]")
    _, rest, tail = after.partition("[tool.pytest")
    assert table
    assert rest
    file.write_text(before + rest + tail)
    failed = run("lls-provider up acme-echo --check", tmp_path)
    assert failed.returncode == 1
    advice = re.findall(r"`(lls-provider init [^`]+)`", failed.stderr)
    lines = console("adopt-an-existing-provider.md")
    assert len(lines) == 5
    assert advice == [lines[1]]
    for line in lines:
        done = run(line, tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        if "--dry-run" in line:
            assert file.read_text() == before + rest + tail
    assert 'distribution = ["llama-stack==0.7.3", "ogx==1.5.0"]\n' in file.read_text()
    assert "remote::echo-inference" in done.stdout


def test_a_project_is_updated_as_the_page_says(tmp_path: Path) -> None:
    project = make_first_project(tmp_path)
    (project / "src" / "acme_echo" / "mine.py").write_text('"""Mine."""\n')
    commit(project)
    lines = console("update-from-the-template.md")
    assert len(lines) == 6
    for line in lines:
        done = run(line, tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        if "--dry-run" in line:
            assert "+version = " in done.stdout
            assert git(project, "status", "--porcelain") == ""
    assert (project / "src" / "acme_echo" / "mine.py").exists()
    assert 'vendor = "Acme Corporation"' in (project / "pyproject.toml").read_text()


@pytest.mark.network
@pytest.mark.server
def test_a_published_provider_is_packaged_as_the_page_shows(tmp_path: Path) -> None:
    text = (HOW_TO / "package-a-published-provider.md").read_text("utf-8")
    page, _, _ = text.partition("## When the provider does not fit the server")
    session = Session(tmp_path)
    commands = [it for it in steps(page) if isinstance(it, Command)]
    assert [it.line.split()[1] for it in commands] == ["build", "check", "up"]
    for step in commands:
        output = session.run(step.line, tmp_path)
        assert matches(step.output, output), f"{step.line}\n{normal(output)}"
