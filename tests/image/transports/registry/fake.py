"""A registry in memory that misbehaves on request, and a proxy that cuts connections."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import re
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.engines.serving import Ending

# gets the request and may answer it; returns whether it did
Fault = Callable[["Request"], bool]

TOKEN = "t0ken"  # noqa: S105 - what the fake gives out


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str  # without the query
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


class Request(http.server.BaseHTTPRequestHandler):
    """One request, answered by the distribution specification unless a fault answers it."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do(self) -> None:
        parts = urlsplit(self.path)
        self.where, self.query = parts.path, parse_qs(parts.query)
        self.registry = self.server.registry
        if self.command != "PATCH":
            self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        else:
            self.body = b""  # a fault may want to read it itself
        self.registry.seen.append(
            Seen(self.command, self.where, self.query, dict(self.headers), self.body)
        )
        for number, (method, pattern, fault) in enumerate(self.registry.faults):
            if method == self.command and re.search(pattern, self.where):
                del self.registry.faults[number]
                if fault(self):
                    return
                break
        if self.registry.login and not self.authorized():
            return
        self.serve()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do  # noqa: N815 - the base's names

    def authorized(self) -> bool:
        if self.where == "/token":
            return True
        if self.headers.get("Authorization") == self.registry.login:
            return True
        self.answer(401, headers={"WWW-Authenticate": self.registry.challenge})
        return False

    def serve(self) -> None:
        match = re.fullmatch(
            r"/v2/(.+)/(manifests|blobs/uploads|blobs|referrers)/([^/]*)", self.where
        )
        if self.where == "/token":
            self.answer(200, json.dumps({"token": TOKEN}).encode())
        elif self.where == "/v2/":
            self.answer(200)
        elif match is None:
            self.answer(404)
        else:
            {
                "manifests": self.manifest,
                "blobs/uploads": self.upload,
                "blobs": self.blob,
                "referrers": self.list_referrers,
            }[match[2]](match[3])

    def manifest(self, target: str) -> None:
        if self.command == "PUT":
            digest = digest_of(self.body)
            kind = self.headers["Content-Type"]
            self.registry.manifests |= {target: (kind, self.body), digest: (kind, self.body)}
            headers = {"Location": self.where, "Docker-Content-Digest": digest}
            subject = json.loads(self.body).get("subject")
            if self.registry.referrers and subject:
                headers["OCI-Subject"] = subject["digest"]
            self.answer(201, headers=headers)
        elif target in self.registry.manifests:
            kind, data = self.registry.manifests[target]
            self.answer(200, data, {"Content-Type": kind, "Docker-Content-Digest": digest_of(data)})
        else:
            self.answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "unknown"}]}')

    def list_referrers(self, digest: str) -> None:
        if not self.registry.referrers:
            self.answer(404)
            return
        found = []
        for name, (kind, data) in self.registry.manifests.items():
            manifest = json.loads(data)
            if name == digest_of(data) and manifest.get("subject", {}).get("digest") == digest:
                described = {"mediaType": kind, "digest": name, "size": len(data)}
                found.append({**described, "artifactType": manifest["artifactType"]})
        index = {"schemaVersion": 2, "manifests": found}
        kind = "application/vnd.oci.image.index.v1+json"
        self.answer(200, json.dumps(index).encode(), {"Content-Type": kind})

    def blob(self, digest: str) -> None:
        data = self.registry.blobs.get(digest)
        if data is None:
            self.answer(404)
            return
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if match:
            start = int(match[1])
            told = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.answer(206, data[start:], {"Content-Range": told})
        else:
            self.answer(200, data)

    def upload(self, name: str) -> None:
        uploads = self.registry.uploads
        if self.command == "POST":
            if self.query.get("mount", [""])[0] in self.registry.mountable:
                self.answer(201)
                return
            name = f"upload{len(uploads)}"
            uploads[name] = bytearray()
            self.answer(202, headers={"Location": f"{self.where}{name}?state=1"})
        elif name not in uploads:
            self.answer(404)
        elif self.command == "PATCH":
            self.receive(uploads[name], int(self.headers["Content-Length"]))
            self.answer(202, headers={"Location": f"{self.where}?state=2"})
        elif self.command == "GET":
            range_ = f"0-{max(len(uploads[name]) - 1, 0)}"
            self.answer(204, headers={"Location": f"{self.where}?state=3", "Range": range_})
        else:
            data = bytes(uploads.pop(name))
            digest = self.query["digest"][0]
            if digest_of(data) == digest:
                self.registry.blobs[digest] = data
                self.answer(201, headers={"Docker-Content-Digest": digest})
            else:
                self.answer(400, b'{"errors": [{"code": "DIGEST_INVALID", "message": "no"}]}')

    def receive(self, into: bytearray, length: int) -> None:
        """Take ``length`` bytes of the body; when they are not all, the connection ends."""
        while length and (piece := self.rfile.read1(min(length, 1 << 16))):
            into += piece
            length -= len(piece)
            self.registry.received += len(piece)

    def cut(self) -> None:
        """End the connection without an answer."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> bool:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        return True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Nothing: a test says what it wants to know."""


class Server(Ending, http.server.HTTPServer):
    registry: FakeRegistry

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: connections that break are what this is for."""

    def get_request(self) -> tuple[socket.socket, Any]:
        self.registry.connections += 1
        return super().get_request()


@dataclass
class FakeRegistry:
    """Content, what was asked, and the faults to come: method, pattern of the path, what to do."""

    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    mountable: set[str] = field(default_factory=set)
    seen: list[Seen] = field(default_factory=list)
    faults: list[tuple[str, str, Fault]] = field(default_factory=list)
    login: str = ""  # the Authorization header that is requested
    challenge: str = ""
    connections: int = 0
    received: int = 0
    referrers: bool = False  # whether it keeps them by itself, as OCI 1.1 has it
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> FakeRegistry:
        self._server = Server(("127.0.0.1", 0), Request)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._server.registry = self
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fault(self, method: str, pattern: str, fault: Fault, times: int = 1) -> None:
        self.faults += [(method, pattern, fault)] * times

    def asked(self, method: str, pattern: str = "") -> list[Seen]:
        return [it for it in self.seen if it.method == method and re.search(pattern, it.path)]

    def ask_for_password(self, user: str, password: str) -> None:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.login, self.challenge = f"Basic {pair}", 'Basic realm="here"'

    def ask_for_token(self, realm: str = "") -> None:
        realm = realm or f"http://{self.host}/token"
        self.login = f"Bearer {TOKEN}"
        self.challenge = f'Bearer realm="{realm}",service="here",scope="other"'


def status(number: int, body: bytes = b"", **headers: str) -> Fault:
    """A fault: answer with this status."""

    def fault(request: Request) -> bool:
        if request.command == "PATCH":  # take the body: the connection goes on
            request.receive(bytearray(), int(request.headers["Content-Length"]))
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return request.answer(number, body, named)

    return fault


def cut(request: Request) -> bool:
    """A fault: no answer, the connection is reset."""
    request.cut()
    return True


def cut_after(length: int) -> Fault:
    """A fault: take so many bytes of an upload, then reset the connection."""

    def fault(request: Request) -> bool:
        name = request.where.rpartition("/")[2]
        request.receive(request.registry.uploads[name], length)
        request.cut()
        return True

    return fault


class CuttingProxy:
    """Hands bytes through to a server; ``cuts`` is after how many bytes each way it stops.

    A cut counts over all connections and happens once: ``(direction, bytes)``, where the
    direction is ``up`` or ``down``.
    """

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.passed: Counter[str] = Counter()
        self.cuts: list[tuple[str, int]] = []
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> CuttingProxy:
        self._accepting = self._run(self._accept)
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for it in self._sockets:
            _shut(it)
        for thread in self._threads:
            thread.join()

    def reset(self, *cuts: tuple[str, int]) -> None:
        """Count again, and cut there."""
        with self._lock:
            self.passed.clear()
            self.cuts = list(cuts)

    def _run(self, target: Callable[..., None], *args: Any) -> threading.Thread:
        running = threading.Event()

        def run() -> None:
            running.set()
            target(*args)

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()
        # coverage traces it now: Python refuses that to two threads that begin at one moment
        running.wait()
        return thread

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._sockets += [client, server]
            self._run(self._pump, client, server, "up")
            self._run(self._pump, server, client, "down")

    def _pump(self, source: socket.socket, sink: socket.socket, direction: str) -> None:
        try:
            while piece := source.recv(1 << 16):
                with self._lock:
                    due = [it for it in self.cuts if it[0] == direction]
                    room = min((it[1] for it in due), default=1 << 62) - self.passed[direction]
                    over = len(piece) > room
                    if over:
                        piece = piece[: max(room, 0)]
                        self.cuts.remove(min(due))
                    self.passed[direction] += len(piece)
                sink.sendall(piece)
                if over:
                    break
        except OSError:
            pass
        _shut(source)
        _shut(sink)


def _shut(it: socket.socket) -> None:
    with contextlib.suppress(OSError):
        it.shutdown(socket.SHUT_RDWR)
    it.close()
