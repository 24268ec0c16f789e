"""The calls to the server, against a real HTTP server of the standard library."""

from __future__ import annotations

import http.server
import json
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.engines.serving import running

from lls_provider.errors import Code, SdkError
from lls_provider.local.call import HOST, free_port, is_healthy, list_providers, parse_call, send
from lls_provider.local.plan import CallReply, ServedProvider
from lls_provider.project.sample_call import SampleCall

pytestmark = pytest.mark.slow

ENTRY = {"provider_id": "acme-echo", "api": "inference", "provider_type": "remote::acme-echo"}


class Handler(http.server.BaseHTTPRequestHandler):
    """Replies what the test put there and keeps what it was sent."""

    replies: ClassVar[dict[str, tuple[int, bytes]]] = {}
    received: ClassVar[list[tuple[str, str, Message, bytes]]] = []

    def _reply(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.received.append((self.command, self.path, self.headers, data))
        if self.path == "/hangup":
            self.close_connection = True
            return
        status, body = self.replies.get(self.path, (404, b"nothing here"))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _reply  # noqa: N815 - the names the standard library asks for

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def port() -> Iterator[int]:
    Handler.replies, Handler.received = {}, []
    server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
    with running(server):
        yield server.server_address[1]


def test_a_call_is_method_path_and_json() -> None:
    assert parse_call('post /v1/x {"a": [1, "b c"]}') == SampleCall(
        "POST", "/v1/x", {"a": [1, "b c"]}
    )
    assert parse_call(" GET /v1/x?y=1 ") == SampleCall("GET", "/v1/x?y=1")


@pytest.mark.parametrize(
    "text", ["", "GET", "/v1/x", "FETCH /v1/x", "GET v1/x", "POST /v1/x {a}", "GET /v1/ü"]
)
def test_a_wrong_call_shows_how_to_write_it(text: str) -> None:
    with pytest.raises(SdkError) as caught:
        parse_call(text)
    assert caught.value.code is Code.USAGE
    assert "POST /v1/chat/completions" in caught.value.resolution


def test_a_json_body_is_sent_and_a_json_reply_is_parsed(port: int) -> None:
    Handler.replies["/v1/x"] = (201, b'{"said": "h\xc3\xa9"}')
    reply = send(SampleCall("POST", "/v1/x", {"say": "hé"}), port, timeout=10)
    assert reply == CallReply(201, {"said": "hé"})
    method, _path, headers, data = Handler.received[0]
    assert (method, headers["Content-Type"]) == ("POST", "application/json")
    assert json.loads(data) == {"say": "hé"}


def test_a_reply_that_is_no_json_is_text(port: int) -> None:
    assert send(SampleCall("GET", "/absent"), port, timeout=10) == CallReply(404, "nothing here")
    assert Handler.received[0][2]["Content-Type"] is None


def test_an_empty_object_is_a_body_too(port: int) -> None:
    send(SampleCall("POST", "/v1/x", {}), port, timeout=10)
    assert Handler.received[0][3] == b"{}"


def test_a_form_with_files_is_multipart(port: int, tmp_path: Path) -> None:
    sample = tmp_path / 'a "b".txt'
    sample.write_bytes(b"one\r\ntwo\x00")
    call = SampleCall("POST", "/v1/x", form={"mode": "ü"}, files={"file": sample})
    send(call, port, timeout=10)
    _method, _path, headers, data = Handler.received[0]
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    parts = BytesParser().parsebytes(head + data).get_payload()
    assert isinstance(parts, list)
    field, file = parts
    assert isinstance(field, Message)
    assert isinstance(file, Message)
    assert field.get_payload(decode=True) == "ü".encode()
    assert file["Content-Disposition"] == 'form-data; name="file"; filename="a %22b%22.txt"'
    assert file["Content-Type"] == "text/plain"
    assert b"one\r\ntwo\x00\r\n" in data


def test_a_file_that_cannot_be_read_is_told(port: int, tmp_path: Path) -> None:
    with pytest.raises(SdkError) as caught:
        send(SampleCall("POST", "/v1/x", files={"file": tmp_path / "absent"}), port, timeout=10)
    assert caught.value.code is Code.FILE_UNREADABLE
    assert Handler.received == []


@pytest.mark.parametrize("path", ["/hangup"])
def test_a_server_that_hangs_up_is_a_failed_call(port: int, path: str) -> None:
    with pytest.raises(SdkError) as caught:
        send(SampleCall("GET", path), port, timeout=10)
    assert caught.value.code is Code.CALL_FAILED
    assert "RemoteDisconnected" in caught.value.why


def test_no_server_is_a_failed_call_and_no_health() -> None:
    port = free_port()
    assert not is_healthy(port)
    with pytest.raises(SdkError) as caught:
        send(SampleCall("GET", "/"), port, timeout=10)
    assert caught.value.code is Code.CALL_FAILED


def test_only_status_200_is_health(port: int) -> None:
    assert not is_healthy(port)
    Handler.replies["/v1/health"] = (503, b"{}")
    assert not is_healthy(port)
    Handler.replies["/v1/health"] = (200, b'{"status":"OK"}')
    assert is_healthy(port)


def test_a_proxy_of_the_user_is_not_asked(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://{HOST}:1")
    Handler.replies["/v1/health"] = (200, b"{}")
    assert is_healthy(port)


def test_the_providers_are_listed(port: int) -> None:
    Handler.replies["/v1/providers"] = (200, json.dumps({"data": [ENTRY]}).encode())
    assert list_providers(port) == (ServedProvider("acme-echo", "inference", "remote::acme-echo"),)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"error": "broken"}'),
        (200, b"[]"),
        (200, b"<html>"),
        (200, b'{"data": [{"provider_id": "x"}]}'),
        (200, b'{"data": null}'),
    ],
)
def test_anything_else_than_a_list_of_providers_is_told(
    port: int, status: int, body: bytes
) -> None:
    Handler.replies["/v1/providers"] = (status, body)
    with pytest.raises(SdkError) as caught:
        list_providers(port)
    assert caught.value.code is Code.SERVER_FAILED
    assert "GET /v1/providers" in caught.value.why
