"""Each bad input gives one clear error and leaves nothing behind."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Engine = Callable[[str], str]

SAMPLE = Path(__file__).parents[2] / "samples" / "echo-inference"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLE, tmp_path / "project"))


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Temporary files of the command go where this test sees whether any stays."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def one_error(done: subprocess.CompletedProcess[str], status: int) -> str:
    """The message, after checking that it is one, ours, and holds a way out."""
    said = done.stderr
    assert done.returncode == status, said
    assert said.count("ERROR: ") == 1, said
    assert len(re.findall(r"^Resolution: \S", said, re.MULTILINE)) == 1, said
    assert "lls_provider/" not in said, "a traceback of ours"
    assert done.stdout == ""
    return said[said.index("ERROR: ") :]


def edit(project: Path, old: str, new: str) -> int:
    """Change pyproject.toml; returns the line of the change."""
    path = project / "pyproject.toml"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return text[: text.index(old)].count("\n") + 1


def build(cli: Cli, project: Path, **options: object) -> subprocess.CompletedProcess[str]:
    before = sorted(project.rglob("*"))
    done = cli(
        *("build", project, "--base", "scratch", "--output", f"oci:{project.parent / 'oci'}"),
        **options,
    )
    assert not (project.parent / "oci").exists()
    assert sorted(project.rglob("*")) == before
    return done


def test_no_pyproject(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    message = one_error(build(cli, tmp_path / "empty"), 1)
    assert "pyproject.toml" in message


def test_no_section_for_us(cli: Cli, project: Path) -> None:
    path = project / "pyproject.toml"
    path.write_text(path.read_text().partition("[tool.lls-provider]")[0])
    message = one_error(build(cli, project), 1)
    assert str(path) in message
    assert "[tool.lls-provider]" in message


def test_wrong_api(cli: Cli, project: Path) -> None:
    line = edit(project, '\napi = "inference"\nprovider-type', '\napi = "infernce"\nprovider-type')
    message = one_error(build(cli, project), 1)
    assert f"pyproject.toml:{line + 1}" in message
    assert "inference" in message


def test_a_module_that_does_not_exist(cli: Cli, project: Path) -> None:
    line = edit(project, 'module = "echo_inference"', 'module = "echo_infrence"')
    message = one_error(build(cli, project), 1)
    assert f"pyproject.toml:{line}" in message
    assert "echo_infrence" in message


def test_invalid_toml(cli: Cli, project: Path) -> None:
    line = edit(project, 'module = "echo_inference"', "module = echo inference")
    message = one_error(build(cli, project), 1)
    assert f"pyproject.toml:{line}" in message


@pytest.mark.network
def test_an_unsatisfiable_dependency_shows_uvs_explanation(cli: Cli, project: Path) -> None:
    line = edit(project, '"pydantic>=2"', '"pydantic<2"')
    message = one_error(build(cli, project), 1)
    assert f"pyproject.toml:{line}:" in message
    assert "llama-stack==0.7.3 provides pydantic==" in message
    assert "your requirements are unsatisfiable" in message


@pytest.mark.engine
def test_no_network(cli: Cli, engine: Engine, project: Path, tmp_path: Path) -> None:
    cache = {"UV_CACHE_DIR": str(tmp_path / "uv"), "LLS_PROVIDER_CACHE": str(tmp_path / "cache")}
    quick = {**cache, "UV_HTTP_RETRIES": "0"}
    done = build(cli, project, env=quick, prefix=[engine("unshare"), "-rn"])
    message = one_error(done, 3)
    assert "could not be reached" in message


def test_no_python_for_the_server(cli: Cli, project: Path) -> None:
    # what is reported is the only candidate: the machine may well have a newer one
    done = build(cli, project, env={"LLS_PROVIDER_PYTHON": "/usr/bin/python3"})
    message = one_error(done, 3)
    assert "3.12" in message
    assert "/usr/bin/python3" in message


def test_the_port_is_taken(cli: Cli, project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = one_error(cli("up", project, "--check", "--port", str(port)), 3)
    assert str(port) in message


@pytest.mark.network
@pytest.mark.server
@pytest.mark.parametrize("server", ["llama-stack==0.7.3", "ogx==1.5.0"])
def test_a_provider_that_fails_as_the_server_starts(cli: Cli, project: Path, server: str) -> None:
    """Preflight passes, then the adapter cannot be made: the true cause is reported."""
    module = project / "src" / "echo_inference" / "inference.py"
    first = "    return EchoAdapter(config)\n"
    text = module.read_text()
    assert first in text
    module.write_text(text.replace(first, f"    import a_module_that_is_nowhere\n\n{first}"))
    message = one_error(cli("up", project, "--server", server, "--check"), 1)
    assert "No module named 'a_module_that_is_nowhere'" in message
    assert "get_provider_spec not found" not in message


@pytest.mark.network
@pytest.mark.server
def test_a_missing_import_is_told_by_preflight(cli: Cli, project: Path) -> None:
    provider = project / "src" / "echo_inference" / "provider.py"
    provider.write_text(f"import a_module_that_is_nowhere\n{provider.read_text()}")
    done = cli("up", project, "--server", "llama-stack==0.7.3", "--check")
    message = one_error(done, 1)
    assert "No module named 'a_module_that_is_nowhere'" in message
    assert "get_provider_spec not found" not in message


@pytest.mark.engine
def test_the_disk_is_full(cli: Cli, engine: Engine, project: Path, tmp_path: Path) -> None:
    """A real file system of 256 KB under the output; the build itself has room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = 'mount -t tmpfs -o size=256k tmpfs "$0" && "$@"; s=$?; ls -A "$0" >&2; exit $s'
    done = cli(
        *("build", project, "--base", "scratch", "--output", f"oci:{disk / 'oci'}"),
        prefix=[engine("unshare"), "-rm", "sh", "-c", script, str(disk)],
    )
    message = one_error(done, 3)
    assert "No space" in message
    # what `ls` printed after the message: nothing was left on the full disk
    assert message.rstrip().splitlines()[-1].startswith("Resolution: ")
