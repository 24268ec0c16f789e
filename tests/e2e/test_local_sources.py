"""What `[tool.uv.sources]` names on this machine: directories, and members of a workspace."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.factories.projects import PROVIDER, write_project

pytestmark = pytest.mark.slow

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

WORDS = ("--python", "3.12", "--output", "oci:image", "--format", "json")


def digest(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["outputs"][0]["digest"])


def test_a_path_of_tool_uv_sources_is_built_and_locked(cli: Cli, bare: Any, tmp_path: Path) -> None:
    write_project(
        tmp_path / "acme",
        "acme",
        "shared",
        PROVIDER + '[tool.uv]\nno-index = true\n[tool.uv.sources]\nshared = { path = "../lib" }\n',
    )
    write_project(tmp_path / "lib", "shared", "", "")
    made = cli("build", "acme", "--lock", *WORDS, cwd=tmp_path, env=bare)
    first = digest(made)
    wheels = [it["file"] for it in json.loads(made.stdout)["images"][0]["wheels"]]
    assert wheels == ["acme-1.0-py3-none-any.whl", "shared-1.0-py3-none-any.whl"]
    text = (tmp_path / "acme" / "pylock.toml").read_text()
    assert 'path = "../lib"' in text
    assert str(tmp_path) not in text
    assert digest(cli("build", "acme", "--locked", *WORDS, cwd=tmp_path, env=bare)) == first
    settings = tmp_path / "acme" / "pyproject.toml"
    settings.write_text(settings.read_text().replace("../lib", "../other"))
    stale = cli("build", "acme", "--locked", *WORDS, cwd=tmp_path, env=bare)
    assert stale.returncode == 1
    assert "[tool.uv.sources] of the project changed" in stale.stderr


def wheels_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [it["file"] for it in json.loads(done.stdout)["images"][0]["wheels"]]


@pytest.mark.parametrize("place", ["member", "root"])
def test_members_of_a_workspace_are_built_and_locked(
    cli: Cli, bare: Any, tmp_path: Path, place: str
) -> None:
    """uv takes ``[tool.uv.sources]`` of the member, and of the workspace's root below it."""
    root = tmp_path / "repository"
    (root / ".git").mkdir(parents=True)
    tables = {
        name: f"[tool.uv.sources]\n{name} = {{ workspace = true }}\n" for name in ("shared", "deep")
    }
    both = "[tool.uv.sources]\nshared = { workspace = true }\ndeep = { workspace = true }\n"
    own = place == "member"
    write_project(
        root / "apps" / "acme", "acme", "shared", PROVIDER + (tables["shared"] if own else "")
    )
    write_project(root / "libs" / "one", "shared", "deep", tables["deep"] if own else "")
    write_project(root / "libs" / "two", "deep", "", "")
    (root / "pyproject.toml").write_text(
        '[tool.uv]\nno-index = true\n[tool.uv.workspace]\nmembers = ["apps/*", "libs/*"]\n'
        + ("" if own else both)
    )
    made = cli("build", "apps/acme", "--lock", *WORDS, cwd=root, env=bare)
    first = digest(made)
    assert wheels_of(made) == [
        "acme-1.0-py3-none-any.whl",
        "deep-1.0-py3-none-any.whl",
        "shared-1.0-py3-none-any.whl",
    ]
    text = (root / "apps" / "acme" / "pylock.toml").read_text()
    assert 'path = "../../libs/one"' in text
    assert 'path = "../../libs/two"' in text
    assert str(tmp_path) not in text
    (root / "server.txt").write_text("# nothing\n")
    checked = cli("check", "apps/acme", "--distribution", "server.txt", cwd=root, env=bare)
    assert "get_provider_spec() returned an empty list" in checked.stdout, checked.stderr
    # from another directory, and where the repository lies elsewhere
    moved = root.rename(tmp_path / "clone")
    again = cli("build", ".", "--locked", *WORDS, cwd=moved / "apps" / "acme", env=bare)
    assert digest(again) == first
    settings = (moved / "apps" / "acme" if own else moved) / "pyproject.toml"
    settings.write_text(settings.read_text().replace("shared = { workspace", "other = { workspace"))
    stale = cli("build", "apps/acme", "--locked", *WORDS, cwd=moved, env=bare)
    assert stale.returncode == 1
    assert "[tool.uv.sources] of the project changed" in stale.stderr


@pytest.mark.parametrize("repository", [False, True])
def test_a_folder_that_only_this_machine_has_is_not_locked(
    cli: Cli, bare: Any, tmp_path: Path, repository: bool
) -> None:
    project = tmp_path / "work" / "team" / "acme"
    write_project(
        project,
        "acme",
        "shared",
        PROVIDER + "[tool.uv]\nno-index = true\n"
        '[tool.uv.sources]\nshared = { path = "../../../private/lib" }\n',
    )
    write_project(tmp_path / "private" / "lib", "shared", "", "")
    if repository:
        (tmp_path / ".git").mkdir()
    done = cli("build", project, "--lock", *WORDS, cwd=tmp_path, env=bare)
    lock = project / "pylock.toml"
    if repository:
        assert digest(done)
        assert 'path = "../../../private/lib"' in lock.read_text()
        return
    assert done.returncode == 1
    assert "ERROR: shared comes from a directory that only this machine has" in done.stderr
    assert "Move shared into the provider's repository" in done.stderr
    assert not lock.exists()
    assert not (tmp_path / "image").exists()
    # without a lock nothing else needs the path
    assert digest(cli("build", project, *WORDS, cwd=tmp_path, env=bare))
