"""An answer is whole or an error, wherever the connection ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from lls_provider.system.http import new_session

ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nLocation: https://storage.example.com/a\r\n\r\nok"


@contextmanager
def sending(data: bytes) -> Iterator[str]:
    """A server that sends ``data`` to one client and hangs up."""

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            while not client.recv(1 << 16).endswith(b"\r\n\r\n"):
                pass
            client.sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join()


def get(url: str) -> requests.Response:
    with new_session() as session:
        session.trust_env = False
        return session.get(url, timeout=10, allow_redirects=False)


def test_a_whole_answer_is_one() -> None:
    with sending(ANSWER) as url:
        answer = get(url)
    assert answer.headers["Location"] == "https://storage.example.com/a"
    assert answer.content == b"ok"


@pytest.mark.parametrize("length", range(len(ANSWER)))
def test_an_answer_that_is_cut_is_an_error(length: int) -> None:
    with sending(ANSWER[:length]) as url, pytest.raises(requests.RequestException):
        get(url)
