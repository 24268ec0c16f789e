"""The main job through the real command: new, then what the README of the project shows."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Engine = Callable[[str], str]

SERVERS = ["llama-stack==0.7.3", "ogx==1.5.0"]

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("main-job")]


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shown(project: Path, command: str) -> list[str]:
    """The first line of the project's README with one of our commands, without the program."""
    for line in (project / "README.md").read_text("utf-8").splitlines():
        if line.startswith(f"lls-provider {command} "):
            return shlex.split(line, comments=True)[1:]
    raise AssertionError(f"the README shows no {command!r}")


@pytest.fixture(scope="module")
def project(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("new") / "echo"
    ok(cli("new", path, "--no-input", "name=acme-echo", "api=inference", "kind=remote"))
    return path


@pytest.fixture(scope="module")
def layout(cli: Cli, project: Path) -> Path:
    """The image, built in the project's own directory as its author would."""
    # the registry of the base that the project names cannot be reached from here
    ok(cli(*shown(project, "build"), "--base", "scratch", cwd=project))
    return project / "oci"


def test_the_projects_own_tests_pass(cli: Cli, project: Path) -> None:
    done = cli(*shown(project, "test"), cwd=project)
    assert "passed" in ok(done)


def test_the_project_keeps_every_rule(cli: Cli, project: Path) -> None:
    done = cli(*shown(project, "check"), "--format", "json", cwd=project)
    (report,) = json.loads(ok(done))["reports"]
    assert report["ok"]
    assert [it for it in report["findings"] if it["level"] != "ok"] == []


def test_a_judge_accepts_the_image(engine: Engine, layout: Path) -> None:
    done = subprocess.run(
        [engine("skopeo"), "inspect", f"oci:{layout}"], capture_output=True, text=True, check=False
    )
    labels = json.loads(ok(done))["Labels"]
    assert labels["org.opencontainers.image.title"] == "acme-echo"


def test_the_image_keeps_every_rule(cli: Cli, layout: Path) -> None:
    ok(cli("check", f"oci:{layout}"))


def test_building_again_gives_the_same_digest(cli: Cli, project: Path, layout: Path) -> None:
    first = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    again = cli(
        *("build", project, "--base", "scratch", "--output", f"oci:{project / 'again'}"),
        *("--format", "json"),
    )
    assert [it["digest"] for it in json.loads(ok(again))["outputs"]] == [first]


@pytest.mark.server
@pytest.mark.parametrize("server", SERVERS)
def test_the_provider_answers_on_a_real_server(cli: Cli, project: Path, server: str) -> None:
    done = cli(*shown(project, "up"), "--server", server, "--format", "json", cwd=project)
    result = json.loads(ok(done))
    assert result["server"] == server
    assert {
        "provider_id": "acme-echo",
        "api": "inference",
        "provider_type": "remote::acme-echo",
    } in result["providers"]
    assert result["call"]["status"] == 200
    assert result["call"]["body"]["object"] == "chat.completion"
    assert result["call"]["body"]["choices"][0]["message"]["role"] == "assistant"
    assert all(phase["ok"] for phase in result["phases"])
    names = [phase["name"] for phase in result["phases"]]
    order = ["build", "unpack", "install", "extract", "merge", "preflight", "server"]
    assert [name for name in names if name in order] == order


@pytest.mark.server
def test_an_image_is_a_target_too(cli: Cli, layout: Path) -> None:
    config = 'acme-echo={"url": "http://127.0.0.1:1"}'
    done = cli("up", f"oci:{layout}", "--check", "--format", "json", "--config", config)
    result = json.loads(ok(done))
    assert "acme-echo" in {it["provider_id"] for it in result["providers"]}
