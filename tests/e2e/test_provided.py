"""Every command beside a server whose packages no index has (contract decision 12)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.factories.environments import make_environment, put_package

from lls_provider.wheels.environment import ensure_environment
from lls_provider.wheels.loading import load_distribution

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

SAMPLE = Path(__file__).parents[2] / "samples" / "echo-inference"
# on no index; with a local version; with a vendor's version
CORPORATE = {"corp-sdk-internal": "1.4", "torch": "2.6.0+cpu", "cowsay": "6.1+vendor.1"}
NEEDS = 'dependencies = ["pydantic>=2", "corp-sdk-internal>=1", "torch>=2.4", "cowsay<7"]'

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("provided")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A provider that needs what its server alone has."""
    project = Path(shutil.copytree(SAMPLE, tmp_path_factory.mktemp("provided") / "echo"))
    path = project / "pyproject.toml"
    text = path.read_text()
    assert 'dependencies = ["pydantic>=2"]' in text
    path.write_text(text.replace('dependencies = ["pydantic>=2"]', NEEDS))
    tests = project / "tests"
    tests.mkdir(exist_ok=True)
    (tests / "test_server.py").write_text(
        "from importlib.metadata import version\n"
        "def test_it_sees_the_servers():\n"
        "    assert version('torch') == '2.6.0+cpu'\n"
    )
    return project


@pytest.fixture(scope="module")
def environment(project: Path) -> Path:
    """The real server's packages, and those that no index has."""
    real = ensure_environment(load_distribution("llama-stack==0.7.3")).python
    folder = project.parent / "server"
    make_environment(real, folder)
    show = "import sysconfig; print(sysconfig.get_path('purelib'))"
    theirs, ours = (
        subprocess.run([it, "-c", show], capture_output=True, check=True, text=True).stdout.strip()
        for it in (real, folder / "bin" / "python")
    )
    (Path(ours) / "real.pth").write_text(f"{theirs}\n")
    for name, version in CORPORATE.items():
        module = name.replace("-", "_")
        put_package(Path(ours), name, version)
        (Path(ours) / f"{module}.py").write_text("here = True\n")
    # pip writes the first line of a command for one Python
    command = (real.parent / "llama").read_text().partition("\n")[2]
    (folder / "bin" / "llama").write_text(f"#!{folder / 'bin' / 'python'}\n{command}")
    (folder / "bin" / "llama").chmod(0o755)
    return folder


def freeze(environment: Path, path: Path) -> str:
    """What `pip freeze` says of it."""
    pins = load_distribution(f"python:{environment}").requirements()
    path.write_text("\n".join(pins) + "\n")
    return str(path)


def carried(cli: Cli, image: str) -> int:
    """How many wheels an image has."""
    done = cli("inspect", image, "--format", "json")
    assert done.returncode == 0, done.stderr
    wheels: int = json.loads(done.stdout)["provider"]["wheels"]
    return wheels


@pytest.mark.parametrize("kind", ["environment", "freeze file"])
def test_it_is_built_locked_checked_and_compared(
    cli: Cli, project: Path, environment: Path, tmp_path: Path, kind: str
) -> None:
    server = (
        f"python:{environment}"
        if kind == "environment"
        else freeze(environment, tmp_path / "server.txt")
    )
    first, second = f"oci:{tmp_path / 'first'}", f"oci:{tmp_path / 'second'}"
    beside = ("--distribution", server)
    lock = ("--lock-file", str(tmp_path / "pylock.toml"))
    built = cli("build", project, *beside, "--base=scratch", "--output", first, "--lock", *lock)
    assert built.returncode == 0, built.stderr
    text = (tmp_path / "pylock.toml").read_text()
    assert "file:" not in text
    assert "path =" not in text

    locked = cli("build", project, *beside, "--base=scratch", "--output", second, "--locked", *lock)
    assert locked.returncode == 0, locked.stderr
    assert (tmp_path / "first/index.json").read_text() == (
        (tmp_path / "second/index.json").read_text()
    )
    for command in (("check", first), ("compat", first, *beside)):
        done = cli(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert carried(cli, first) == 1


def test_a_trial_beside_a_server_that_cannot_be_installed_is_a_warning(
    cli: Cli, project: Path, environment: Path, tmp_path: Path
) -> None:
    server = freeze(environment, tmp_path / "server.txt")
    output = f"oci:{tmp_path / 'image'}"
    done = cli("build", project, "--distribution", server, "--base=scratch", "--output", output)
    assert done.returncode == 0, done.stderr
    assert "WARNING: not tried beside" in done.stderr

    done = cli("test", project, "--distribution", server)
    assert done.returncode == 1
    assert "The packages of" in done.stderr
    assert "python:PATH in place of" in done.stderr


@pytest.mark.server
def test_it_is_tested_and_served(cli: Cli, project: Path, environment: Path) -> None:
    """What the resolution of an error names: the environment."""
    server = f"python:{environment}"
    done = cli("test", project, "--distribution", server)
    assert done.returncode == 0, done.stderr
    done = cli("up", project, "--server", server, "--check")
    assert done.returncode == 0, done.stderr
    assert "remote::echo-inference" in done.stdout
