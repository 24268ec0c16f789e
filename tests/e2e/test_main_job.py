"""The main job through the real command: new → test → check → build → up, on both servers."""

from __future__ import annotations

import json
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


@pytest.fixture(scope="module")
def project(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("new") / "echo"
    ok(cli("new", path, "--no-input", "name=acme-echo", "api=inference", "kind=remote"))
    return path


@pytest.fixture(scope="module")
def layout(cli: Cli, project: Path) -> Path:
    """The image, built in the project's own directory as its author would."""
    ok(cli("build", ".", "--base", "scratch", "--output", "oci:oci", cwd=project))
    return project / "oci"


def test_the_projects_own_tests_pass(cli: Cli, project: Path) -> None:
    done = cli("test", project)
    assert "passed" in ok(done)


def test_the_project_keeps_every_rule(cli: Cli, project: Path) -> None:
    done = cli("check", project, "--format", "json")
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
    done = cli("up", project, "--server", server, "--check", "--format", "json")
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
