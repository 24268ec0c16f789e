"""A daemon that is reached by SSH: a real sshd on loopback, with a real dockerd behind it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.engines.sshd import started

from lls_provider.bundle.bundle import Bundle
from lls_provider.errors import Code, SdkError
from lls_provider.image.bundle_image import compose
from lls_provider.image.transports.daemon import (
    AddressError,
    Daemon,
    DaemonOutput,
    find_daemon,
    ssh_command,
)
from lls_provider.image.transports.registry.reference import tagged

if TYPE_CHECKING:
    from tests.engines.containers import Engine as Container

MakeBundle = Callable[..., Bundle]


@pytest.mark.parametrize(
    ("address", "words", "far"),
    [
        ("ssh://host", [], "docker system dial-stdio"),
        ("ssh://me@host:22", ["-l", "me", "-p", "22"], "docker system dial-stdio"),
        (
            "ssh://host/run/a b;c.sock",
            [],
            "docker --host 'unix:///run/a b;c.sock' system dial-stdio",
        ),
    ],
)
def test_what_ssh_is_called_with(address: str, words: list[str], far: str) -> None:
    *command, separator, host, told = ssh_command(address)
    assert command == ["ssh", "-T", "-o", "ConnectTimeout=30", *words]
    assert (separator, host, told) == ("--", "host", far)


@pytest.mark.parametrize(
    "address",
    ["ssh://", "ssh://me:secret@host", "ssh://host:secret", "ssh://host?secret", "ssh://h#secret"],
)
def test_another_address_is_refused_without_repeating_it(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AddressError) as caught:
        ssh_command(address)
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(SdkError) as told:
        Daemon.connect()
    assert told.value.code is Code.USAGE
    assert "secret" not in told.value.render()


@pytest.fixture(scope="module")
def host(
    engine: Callable[[str], str], docker: Container, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """``ssh://…`` of the run's daemon; the ssh on PATH is the real one with a configuration."""
    folder = tmp_path_factory.mktemp("sshd")
    folder.chmod(0o700)
    variables = {"DOCKER_HOST": f"unix://{docker.socket}"}
    with (
        started(engine("sshd"), engine("ssh"), folder, variables) as (port, commands),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
        yield f"ssh://root@127.0.0.1:{port}"


@pytest.mark.engine
def test_an_image_goes_there_and_comes_back(
    host: str, make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    image = compose(make_bundle())
    known = DaemonOutput(tagged("localhost/acme/far:1")).write(image)
    found = find_daemon(tagged("localhost/acme/far:1")).image()
    assert [it.diff_id for it in found.layers] == [it.diff_id for it in image.layers]
    assert known.startswith("sha256:")
    with Daemon.connect() as daemon:
        assert daemon.address == host.replace("root@", "")


@pytest.mark.engine
def test_what_ssh_says_is_told_with_a_way_out(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for address, word in (
        (host.replace("root@", "nobody-knows@"), "Permission denied"),
        ("ssh://root@127.0.0.1:1", "Connection refused"),
        (f"{host}/nowhere.sock", "nowhere.sock"),
    ):
        monkeypatch.setenv("DOCKER_HOST", address)
        with pytest.raises(SdkError) as caught:
            Daemon.connect()
        assert caught.value.code is Code.DAEMON_FAILED
        assert word in caught.value.why
        assert "system dial-stdio" in caught.value.resolution
        assert "ssh -nNT -L" in caught.value.resolution


def test_without_ssh_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://host")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SdkError, match="cannot be reached") as caught:
        Daemon.connect()
    assert "no ssh on this machine" in caught.value.why


@pytest.mark.engine
def test_nothing_is_left_of_a_connection(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with Daemon.connect() as daemon:
        assert daemon.tunnel is not None
        folder, processes = daemon.tunnel._directory, daemon.tunnel._processes
        assert folder.is_dir()
    assert not folder.exists()
    assert processes
    assert all(isinstance(it.returncode, int) for it in processes)
