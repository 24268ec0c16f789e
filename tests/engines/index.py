"""A private package index on loopback: simple pages and files behind a login, TLS if wanted."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import http.server
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.engines.serving import running

USER, PASSWORD = "alice", "hunter2-of-the-index"


@dataclass
class PrivateIndex:
    """``folder`` holds the files. ``asked`` are the paths that were requested with the login.

    Of the paths in ``stalling`` half arrives, once each.
    """

    host: str
    folder: Path
    scheme: str
    asked: list[str] = field(default_factory=list)
    stalling: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}/simple"

    @property
    def with_login(self) -> str:
        return f"{self.scheme}://{USER}:{PASSWORD}@{self.host}/simple"


@contextlib.contextmanager
def private_index(folder: Path, certificate: Path | None = None) -> Iterator[PrivateIndex]:
    """Serve the wheels of ``folder``; with a certificate (and key in one file) over TLS."""
    expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = self.path.strip("/").split("/")
            if self.headers.get("Authorization") != expected:
                self._answer(401, b"", {"WWW-Authenticate": 'Basic realm="index"'})
                return
            if self.command == "GET":
                state.asked.append(self.path)
            if parts[0] == "simple":
                files = [it for it in sorted(folder.iterdir()) if _project(it) == parts[1]]
                links = "".join(f'<a href="/files/{it.name}#{_digest(it)}">x</a>' for it in files)
                self._answer(200 if files else 404, links.encode(), {"Content-Type": "text/html"})
            else:
                self._answer(200, (folder / parts[-1]).read_bytes(), {})

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            # uv reads no more of a wheel than its metadata, and goes
            with contextlib.suppress(ConnectionError):
                if self.command == "GET" and self.path in state.stalling:
                    state.stalling.remove(self.path)
                    self.wfile.write(body[: len(body) // 2])
                    self.connection.recv(1)  # until the client goes
                elif self.command == "GET":
                    self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with _serving(Handler, certificate) as port:
        state = PrivateIndex(f"127.0.0.1:{port}", folder, "https" if certificate else "http")
        yield state


@contextlib.contextmanager
def proxy(target: str) -> Iterator[tuple[str, list[str]]]:
    """A proxy that leads every host to ``target``; its URL, and what it was requested."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            connection = http.client.HTTPConnection(target, timeout=30)
            headers = {name: it for name, it in self.headers.items() if name.lower() != "host"}
            connection.request(self.command, urlsplit(self.path).path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with _serving(Handler, None) as port:
        yield f"http://127.0.0.1:{port}", asked


@contextlib.contextmanager
def tunnel(target: str) -> Iterator[tuple[str, list[str]]]:
    """A proxy that connects every host to ``target``; its URL, and the hosts it was requested."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=30) as there:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_pour, args=(there, self.connection))
                back.start()
                _pour(self.connection, there)
                back.join()
            self.close_connection = True

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with _serving(Handler, None) as port:
        yield f"http://127.0.0.1:{port}", asked


def _pour(source: socket.socket, sink: socket.socket) -> None:
    """Hand on what ``source`` sends until it ends."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def make_certificate(openssl: str, folder: Path) -> tuple[Path, Path]:
    """A CA, and a certificate of it with its key for loopback and index.invalid: two files."""

    def run(*words: str | Path) -> None:
        subprocess.run([openssl, *map(str, words)], check=True, capture_output=True, cwd=folder)

    key = ("-newkey", "rsa:2048", "-nodes")
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA")
    run("req", *key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=127.0.0.1")
    (folder / "names").write_text("subjectAltName = IP:127.0.0.1, DNS:index.invalid\n")
    ca = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
    run("x509", "-req", "-in", "request.pem", *ca, "-extfile", "names", "-out", "cert.pem")
    both = folder / "server.pem"
    both.write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
    return folder / "ca.pem", both


@contextlib.contextmanager
def _serving(
    handler: type[http.server.BaseHTTPRequestHandler], certificate: Path | None
) -> Iterator[int]:
    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that does not trust the certificate is not an error of the test."""

    server = Server(("127.0.0.1", 0), handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    with running(server):
        yield int(server.server_address[1])


def _project(path: Path) -> str:
    return path.name.partition("-")[0].replace("_", "-")


def _digest(path: Path) -> str:
    return f"sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"
