"""`build --lock` and `build --locked` as provider CI runs them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Engine = Callable[[str], str]

SAMPLE = Path(__file__).parents[2] / "samples" / "echo-inference"

SERVER = (
    "annotated-types==0.7.0\npydantic==2.12.0\npydantic-core==2.41.1\n"
    "typing-extensions==4.15.0\ntyping-inspection==0.4.2\n"
)

STALE = (
    "Resolution: Write it again with --lock in place of --locked, and commit it with the change."
)

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("locked")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A provider with a dependency that no server has."""
    project = Path(shutil.copytree(SAMPLE, tmp_path_factory.mktemp("locked") / "echo"))
    path = project / "pyproject.toml"
    text = path.read_text().replace(
        'dependencies = ["pydantic>=2"]', 'dependencies = ["cowsay==6.1"]'
    )
    assert "cowsay" in text
    path.write_text(text)
    (project.parent / "server.txt").write_text(SERVER)
    return project


def build(cli: Cli, project: Path, *words: str, **options: object) -> str:
    """The digest of the image."""
    done = cli(
        *("build", project, "--base", "scratch", "--distribution", "server.txt"),
        *("--allow-failure", "the server is a list of versions"),
        *("--python", "3.12", "--output", "oci:image", "--format", "json", *words),
        cwd=project.parent,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["outputs"][0]["digest"])


@pytest.fixture(scope="module")
def digest(cli: Cli, project: Path) -> str:
    """Of the image that was built when the lock was written."""
    return build(cli, project, "--lock")


def test_a_locked_build_gives_the_same_digest_again_and_again(
    cli: Cli, project: Path, digest: str
) -> None:
    assert build(cli, project, "--locked") == digest
    assert build(cli, project, "--locked") == digest


def test_a_locked_build_needs_no_network_when_everything_is_in_the_cache(
    cli: Cli, engine: Engine, project: Path, digest: str
) -> None:
    assert build(cli, project, "--locked", prefix=[engine("unshare"), "-n"]) == digest


def test_a_wheel_that_changed_in_the_cache_is_told_and_fetched_anew(
    cli: Cli, project: Path, digest: str, tmp_path: Path
) -> None:
    environment = {"LLS_PROVIDER_CACHE": str(tmp_path)}
    assert build(cli, project, "--locked", env=environment) == digest
    for place in (100, -20):  # in a member, in the archive's directory
        (wheel,) = tmp_path.glob("files/*/*/cowsay-*.whl")
        data = bytearray(wheel.read_bytes())
        data[place] ^= 0xFF
        wheel.write_bytes(data)
        done = cli(
            *("build", project, "--base", "scratch", "--distribution", "server.txt", "--locked"),
            *("--allow-failure", "whatever", "--output", "oci:damaged"),
            cwd=project.parent,
            env=environment,
        )
        assert done.returncode == 1
        assert f"ERROR: {wheel.name} changed in the cache since it was fetched" in done.stderr
        assert "Run the command again" in done.stderr
        assert not (project.parent / "damaged").exists()
        assert build(cli, project, "--locked", env=environment) == digest


def test_a_lock_that_the_project_has_left_behind_is_stale(
    cli: Cli, project: Path, digest: str, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(project, tmp_path / "echo"))
    (tmp_path / "server.txt").write_text(SERVER.replace("2.12.0", "2.11.0"))
    path = other / "pyproject.toml"
    path.write_text(path.read_text().replace("cowsay==6.1", "cowsay>=6"))
    words = ("build", "echo", "--base", "scratch", "--distribution", "server.txt")
    done = cli(*words, "--locked", "--output", "oci:image", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-9:] == [
        "ERROR: The lock pylock.toml is stale",
        "",
        "File: echo/pylock.toml",
        "",
        "new: the provider needs cowsay>=6",
        "no longer: the provider needs cowsay==6.1",
        "server.txt has pydantic 2.11.0, and the lock was made beside pydantic 2.12.0",
        "",
        STALE,
    ]
    assert not (tmp_path / "image").exists()


def test_a_build_without_a_lock_says_how_to_make_one(cli: Cli, tmp_path: Path) -> None:
    project = shutil.copytree(SAMPLE, tmp_path / "echo")
    done = cli("build", project, "--base", "scratch", "--locked", "--output", "oci:x", cwd=tmp_path)
    assert done.returncode == 1
    assert f"There is no lock {project / 'pylock.toml'}" in done.stderr
    assert "Write it with --lock" in done.stderr
