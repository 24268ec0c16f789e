"""Wheels that tests make, and an index on loopback that serves them, faults included."""

from __future__ import annotations

import hashlib
import http.server
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.engines.serving import Ending, running
from tests.factories.wheels import MakeWheel, write_wheel

from lls_provider.wheels.interpreter import Interpreter, find_interpreter


@pytest.fixture(scope="session")
def interpreter() -> Interpreter:
    return find_interpreter()


@pytest.fixture
def make_wheel(tmp_path: Path) -> MakeWheel:
    """Write a wheel with one module, which has its version, beside the others."""

    def make(name: str, version: str = "1.0", **more: Any) -> Path:
        files = {f"{name}.py": f"version = {version!r}\n"}
        return write_wheel(tmp_path / "wheels", name, version, files, **more)

    return make


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of `make_wheel` as the only place that uv takes packages from; a new cache."""
    folder = tmp_path / "wheels"
    empty = tmp_path / "no-index"
    for place in (folder, empty):
        place.mkdir(exist_ok=True)
    monkeypatch.setenv("UV_DEFAULT_INDEX", empty.as_uri())
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    return folder


@dataclass
class Index:
    """A server on loopback. ``faults`` holds, by path, what goes wrong in the next answers."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)  # path, Range header
    ranges: bool = True

    def serve(self, wheel: Path) -> str:
        """Offer a file; returns its URL."""
        self.files[f"/{wheel.name}"] = wheel.read_bytes()
        return f"{self.url}/{wheel.name}"

    def serve_simple(self, *wheels: Path, root: str = "simple") -> str:
        """Offer wheels as a simple index (PEP 503) at ``root``; returns the index's URL."""
        pages: dict[str, str] = {}
        for wheel in wheels:
            url = self.serve(wheel)
            digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
            name = wheel.name.partition("-")[0].replace("_", "-")
            pages[name] = pages.get(name, "") + (
                f'<a href="{url}#sha256={digest}">{wheel.name}</a>\n'
            )
        for name, links in pages.items():
            self.files[f"/{root}/{name}/"] = f"<!DOCTYPE html><html>{links}</html>".encode()
        return f"{self.url}/{root}"


@pytest.fixture
def index() -> Iterator[Index]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            state.requests.append((self.path, wanted))
            fault = (state.faults.get(self.path) or [""]).pop(0)
            if state.faults.get(self.path) == []:
                del state.faults[self.path]
            data = state.files.get(self.path)
            if fault.isdigit():
                self._answer(int(fault), b"")
            elif data is None:
                self._answer(404, b"nothing here")
            elif wanted and state.ranges:
                start = int(wanted.removeprefix("bytes=").partition("-")[0])
                span = f"bytes {start}-{len(data) - 1}/{len(data)}"
                self._answer(206, data[start:], fault, {"Content-Range": span})
            else:
                self._answer(200, data, fault)

        def do_HEAD(self) -> None:
            data = state.files.get(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()

        def _answer(
            self, status: int, data: bytes, fault: str = "", headers: dict[str, str] | None = None
        ) -> None:
            if fault == "wrong":
                data = bytes(len(data))
            self.send_response(status)
            kind = "text/html" if self.path.endswith("/") else "application/octet-stream"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if fault.startswith("cut"):  # half-way, or after so many bytes
                _, _, place = fault.partition("@")
                self.wfile.write(data[: int(place) if place else len(data) // 2])
                self.close_connection = True
            elif fault == "stall":  # half-way, until the client goes
                self.wfile.write(data[: len(data) // 2])
                self.connection.recv(1)
                self.close_connection = True
            else:
                self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    class Server(Ending, http.server.HTTPServer):
        """The index's server."""

    server = Server(("127.0.0.1", 0), Handler)
    state = Index(f"http://127.0.0.1:{server.server_address[1]}")
    with running(server):
        yield state


@pytest.fixture(scope="session")
def uv_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of uv for the tests alone, so that it asks each Python once a run."""
    return tmp_path_factory.mktemp("uv-cache")


@pytest.fixture
def offer(
    index: Index, uv_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Make files the only ones that uv can get, from the index on loopback; returns its URL."""

    def serve(*files: Path) -> str:
        # a port may come again within a run: the cache must not know the index by then
        url = index.serve_simple(*files, root=tmp_path.name)
        monkeypatch.setenv("UV_DEFAULT_INDEX", url)
        monkeypatch.setenv("UV_CACHE_DIR", str(uv_cache))
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        return url

    return serve
