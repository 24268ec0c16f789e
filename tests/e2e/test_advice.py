"""Each cause of a failed build has its own resolution, and following it makes the build succeed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

SAMPLE = Path(__file__).parents[2] / "samples" / "echo-inference"
GIT = ("git", "-c", "user.email=a@b.example", "-c", "user.name=a")

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("advice")]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that needs nothing, for no server."""
    root = Path(shutil.copytree(SAMPLE, tmp_path / "echo"))
    change(root, 'dependencies = ["pydantic>=2"]', "dependencies = []")
    change(root, 'distribution = ["llama-stack==0.7.3"]', "distribution = []")
    return root


def change(root: Path, old: str, new: str) -> None:
    path = root / "pyproject.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def build(
    cli: Cli, project: Path, words: Sequence[str], env: dict[str, str | None] | None
) -> subprocess.CompletedProcess[str]:
    options = ("--base=scratch", "--output", "oci:image", *words)
    return cli("build", project, *options, cwd=project.parent, env=env)


def refused(
    cli: Cli, project: Path, *words: str, env: dict[str, str | None] | None = None, status: int = 1
) -> str:
    """The resolution of a build that fails."""
    done = build(cli, project, words, env)
    assert done.returncode == status, done.stderr
    assert not (project.parent / "image").exists()
    return done.stderr.partition("Resolution: ")[2]


def builds(cli: Cli, project: Path, *words: str, env: dict[str, str | None] | None = None) -> None:
    done = build(cli, project, words, env)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("hidden", "until"),
    [("hatchling", "2022-01-01"), ("six", "2024-12-01"), ("cowsay", "2022-01-01")],
    ids=["backend", "dependency", "server"],
)
def test_a_date_that_hides_releases(cli: Cli, project: Path, hidden: str, until: str) -> None:
    words: tuple[str, ...] = ()
    if hidden == "six":
        change(project, "dependencies = []", 'dependencies = ["six==1.17.0"]')
    elif hidden == "cowsay":
        words = ("--distribution", "cowsay==6.1", "--allow-failure", "It has no API.")
    told = refused(cli, project, *words, env={"UV_EXCLUDE_NEWER": until})
    assert told.startswith("Unset UV_EXCLUDE_NEWER")
    assert f"it hides every release of {hidden} that is newer than {until[:-1]}" in told
    builds(cli, project, *words, env={"UV_EXCLUDE_NEWER": None})


@pytest.mark.parametrize(
    ("address", "path", "told"),
    [
        ("git+file://{repository}@nosuch", None, "The repository has no nosuch."),
        ("git+file://{repository}/nowhere", None, "The repository cannot be cloned from here."),
        ("git+file://{repository}", "without-git", "git is not on PATH."),
    ],
)
def test_a_dependency_from_version_control(
    cli: Cli, project: Path, tmp_path: Path, address: str, path: str | None, told: str
) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "pyproject.toml").write_text('[project]\nname = "cowsay"\nversion = "9"\n')
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "one")):
        subprocess.run([*GIT, *words], cwd=repository, check=True)
    url = address.format(repository=repository)
    change(project, "dependencies = []", f'dependencies = ["cowsay @ {url}"]')
    change(
        project,
        "[tool.hatch.build",
        "[tool.hatch.metadata]\nallow-direct-references = true\n\n[tool.hatch.build",
    )
    env: dict[str, str | None] = {"PATH": str(tmp_path / path)} if path else {}
    resolution = refused(cli, project, env=env)
    assert resolution.startswith(told)
    assert "depend on a released version" in resolution

    change(project, f"cowsay @ {url}", "cowsay==6.1")
    builds(cli, project)


@pytest.mark.parametrize("way", ["remove", "name"])
@pytest.mark.parametrize("repository", [True, False])
def test_a_line_of_gitignore_that_drops_the_module(
    cli: Cli, project: Path, way: str, repository: bool
) -> None:
    if repository:
        subprocess.run([*GIT, "init", "-q"], cwd=project, check=True)
    ignore = project / ".gitignore"
    before = ignore.read_text()
    ignore.write_text(f"{before}src/echo_inference/\n")
    line = len(before.splitlines()) + 1
    told = refused(cli, project)
    assert told.startswith(
        f"Remove the line that hides it from git, .gitignore:{line}: src/echo_inference/:"
    )
    if way == "remove":
        ignore.write_text(before)
    else:
        table, setting = told.strip().rstrip(".").rpartition("[tool.hatch")[2].split("] ", 1)
        heading = f"[tool.hatch{table}]\n"
        change(project, heading, f"{heading}{setting}\n")
    builds(cli, project)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            'requires = ["hatchling>=1.26"]',
            'requires = ["no-such-backend-of-anybody"]',
            "Correct no-such-backend-of-anybody in [build-system] requires",
        ),
        (
            'requires = ["hatchling>=1.26"]',
            'requires = ["hatchling>=999"]',
            "Correct hatchling in [build-system] requires",
        ),
        (
            'build-backend = "hatchling.build"',
            'build-backend = "hatchling.nothing"',
            (
                "Correct build-backend in [build-system] of pyproject.toml, or its requires: they "
                "bring no module hatchling.nothing."
            ),
        ),
        (
            'build-backend = "hatchling.build"',
            'build-backend = "setuptools.build_meta"',
            (
                "Correct build-backend in [build-system] of pyproject.toml, or its requires: they "
                "bring no module setuptools."
            ),
        ),
    ],
)
def test_a_backend_that_cannot_be_had(
    cli: Cli, project: Path, old: str, new: str, told: str
) -> None:
    change(project, old, new)
    assert refused(cli, project).startswith(told)
    change(project, new, old)
    builds(cli, project)


def test_what_a_backend_needs_besides(cli: Cli, project: Path) -> None:
    (project / "hatch_build.py").write_text(
        "import cowsay\nfrom hatchling.builders.hooks.plugin.interface import BuildHookInterface\n"
        "class Hook(BuildHookInterface): ...\n"
    )
    change(project, "[tool.lls-provider]", "[tool.hatch.build.hooks.custom]\n\n[tool.lls-provider]")
    told = refused(cli, project)
    assert told.startswith("Add what provides cowsay to [build-system] requires")
    change(project, '["hatchling>=1.26"]', '["hatchling>=1.26", "cowsay==6.1"]')
    builds(cli, project)


def test_what_offline_lacks(cli: Cli, project: Path, tmp_path: Path) -> None:
    env: dict[str, str | None] = {
        "LLS_PROVIDER_CACHE": str(tmp_path / "cache"),
        "UV_CACHE_DIR": None,
    }
    told = refused(cli, project, "--offline", env=env, status=3)
    assert told.startswith("Run it once without --offline (UV_OFFLINE), so that")
    builds(cli, project, env=env)
    builds(cli, project, "--offline", env=env)
