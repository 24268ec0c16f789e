"""What a machine lacks, found on this one with parts of it hidden."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.engines.serving import running

from lls_provider.cli.doctor import _lines
from lls_provider.cli.group import _RUNTIME_COMMANDS, COMMANDS
from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.image.transports.registry.login import known_registries
from lls_provider.operations import doctor as module
from lls_provider.operations.doctor import (
    NEEDS,
    Health,
    Need,
    NeedState,
    command_health,
    doctor,
)

if TYPE_CHECKING:
    from tests.engines import containers


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home without settings, so that those of whoever runs the tests do not count."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG", "DOCKER_AUTH_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path


def found(name: str) -> Need:
    return module._examined(name, module._EXAMINED[name][1])


def lacking(*names: str) -> list[Need]:
    return [Need(name, NeedState.LACKING, "it is not there") for name in names]


def test_every_need_can_be_examined_and_every_command_exists() -> None:
    named = {it for needs in NEEDS.values() for it in (*needs.always, *needs.sometimes)}
    assert named == set(module._EXAMINED)
    needing_nothing = {"doctor", "cache", "completion"}
    assert [*NEEDS] == [it for it in COMMANDS if it not in {*_RUNTIME_COMMANDS, *needing_nothing}]


def test_a_command_lacks_what_it_always_needs() -> None:
    needs = lacking("uv", "daemon")
    (build, inspect) = command_health(["build", "inspect"], needs)
    assert (build.lacks, build.without) == (("uv",), ("daemon",))
    assert (inspect.lacks, inspect.without) == ((), ("daemon",))
    assert Health(tuple(needs), (build,)).status is ExitStatus.ENVIRONMENT
    assert Health(tuple(needs), (inspect,)).status is ExitStatus.OK


def test_the_text_says_it_for_each_command() -> None:
    needs = (
        Need("uv", NeedState.LACKING, "no uv", "tried\nall", "Install it:\n  it"),
        Need("daemon", NeedState.LACKING, "none"),
        Need("cache", NeedState.OK, "here"),
    )
    text = "\n".join(_lines(Health(needs, command_health(["build", "inspect", "new"], needs))))
    assert text.partition("\n\n")[2] == (
        "  uv       LACKING  no uv\n    tried\n    all\n    Resolution: Install it:\n      it\n"
        "  daemon   LACKING  none\n"
        "  cache    ok       here\n"
        "\n"
        "  build    lacks uv\n"
        "  inspect  partly: images in files; docker-daemon: needs daemon\n"
        "  new      ready"
    )


def test_a_command_that_is_partly_ready_says_which_uses_are_not() -> None:
    (check,) = command_health(["check"], lacking("python", "index"))
    assert [*check.partly()] == ["images and bundles", "a project needs python, index"]
    for name, needs in NEEDS.items():
        assert bool(needs.uses) == bool(needs.otherwise), name


def test_an_unknown_command_is_suggested_one() -> None:
    with pytest.raises(SdkError) as caught:
        doctor(["biuld"])
    assert caught.value.code is Code.USAGE
    assert "did you mean 'build'?" in caught.value.what


def test_only_what_is_asked_for_is_examined() -> None:
    assert {it.name for it in doctor(["new"]).needs} == {"git", "temporary"}
    assert [it.name for it in doctor(["diagnose"]).needs] == ["kubectl"]


def test_python_and_uv_are_those_of_a_build(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("python").state is NeedState.OK
    assert found("uv").what.startswith("uv 0.")
    monkeypatch.setenv("LLS_PROVIDER_PYTHON", "/no/python")
    need = found("python")
    assert need.state is NeedState.LACKING
    assert "/no/python" in need.why
    assert need.resolution
    monkeypatch.setenv("LLS_PROVIDER_PYTHON", "3.99")
    need = found("python")
    assert "python install 3.99" in need.resolution
    assert "doctor" not in need.resolution


class _Index(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture
def index() -> Iterator[str]:
    """An index without any package."""
    server = HTTPServer(("127.0.0.1", 0), _Index)
    with running(server):
        yield f"http://127.0.0.1:{server.server_port}/simple"


def test_an_index_that_answers_is_there_even_without_the_package(
    monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.replace("//", "//user:secret@"))
    need = found("index")
    assert need.state is NeedState.OK
    assert need.what.endswith("/simple answers")
    assert "secret" not in need.what


def test_an_index_that_does_not_answer_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{port}/simple")
        need = found("index")
    assert need.state is NeedState.LACKING
    assert "Connection refused" in need.why


def test_offline_no_index_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    assert found("index").state is NeedState.LIMITED


def test_registries_with_logins_are_named(machine: Path) -> None:
    assert found("registry").state is NeedState.LIMITED
    (machine / ".docker").mkdir()
    settings = {
        "auths": {"https://index.docker.io/v1/": {}, "quay.io": {"auth": "eDp5"}},
        "credHelpers": {"gcr.io": "gcloud"},
        "credsStore": "desktop",
    }
    (machine / ".docker" / "config.json").write_text(json.dumps(settings))
    assert known_registries() == ["gcr.io", "docker.io", "quay.io", "*"]
    need = found("registry")
    assert need.what == "There are logins for gcr.io, docker.io, quay.io, *"
    assert "eDp5" not in str(need)
    (machine / ".docker" / "config.json").write_text("{")
    broken = found("registry")
    assert (broken.state, broken.what) == (
        NeedState.LACKING,
        "The registry's credentials cannot be read",
    )


def test_a_daemon_that_is_not_there_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/socket")
    need = found("daemon")
    assert need.state is NeedState.LACKING
    assert need.resolution


@pytest.mark.engine
def test_a_daemon_says_what_it_is(
    podman_service: containers.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{podman_service.socket}")
    need = found("daemon")
    assert need.state is NeedState.OK, need
    assert need.what.startswith("Podman Engine ")


def test_kubectl_is_looked_for_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert found("kubectl").state is NeedState.LACKING
    (tmp_path / "kubectl").write_text("")
    (tmp_path / "kubectl").chmod(0o755)
    assert found("kubectl").what == str(tmp_path / "kubectl")


def test_a_git_that_can_merge_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found("git").what.startswith("git version ")
    (tmp_path / "git").write_text("#!/bin/sh\necho git version 2.34.1\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    need = found("git")
    assert (need.state, need.what) == (NeedState.LACKING, "git version 2.34.1 is too old")


def test_the_cache_and_temporary_space_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    assert found("cache").what.startswith(f"0 bytes in {tmp_path / 'cache'}; ")
    assert found("temporary").state is NeedState.OK
    (tmp_path / "file").touch()
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "file"))
    need = found("cache")
    assert need.state is NeedState.LACKING
    assert "LLS_PROVIDER_CACHE" in need.resolution
