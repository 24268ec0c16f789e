"""Ports: free, taken, by whom."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.local.call import HOST, free_port, group_listens, group_lives, require_free


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


def test_a_free_port_can_be_listened_on() -> None:
    port = free_port()
    require_free(port)
    with socket.create_server((HOST, port)):
        pass


def test_a_taken_port_names_its_holder_and_the_way_out(listener: int) -> None:
    with pytest.raises(SdkError) as caught:
        require_free(listener)
    error = caught.value
    assert error.code is Code.PORT_TAKEN
    assert error.status is ExitStatus.ENVIRONMENT
    assert str(listener) in error.what
    assert f"Process {os.getpid()} (" in error.why
    assert "--port" in error.resolution


def test_a_port_taken_on_all_addresses_is_taken() -> None:
    with (
        socket.create_server(("0.0.0.0", 0)) as server,  # noqa: S104
        pytest.raises(SdkError) as caught,
    ):
        require_free(server.getsockname()[1])
    assert caught.value.code is Code.PORT_TAKEN


def test_a_port_with_a_lingering_connection_is_free() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection((HOST, port)):
            connection, _address = server.accept()
            connection.close()  # the listening side closes first: TIME_WAIT stays with it
    require_free(port)


def test_a_process_group_is_told_from_a_stranger_on_its_port(listener: int) -> None:
    assert group_listens(os.getpgrp(), listener)
    stranger = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        assert not group_listens(stranger.pid, listener)
        assert group_lives(stranger.pid)
    finally:
        stranger.communicate(b"\n", timeout=30)
    assert not group_lives(stranger.pid)


def test_a_group_of_zombies_does_not_live() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, not yet reaped
    assert not group_lives(process.pid)
    process.wait()
