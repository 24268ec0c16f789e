"""A small HTTP service on loopback that answers as SearXNG does: see `ANSWERS` for its failures.

`lls-provider up` starts it as a program, the tests as a context.
"""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

RESULTS = [
    {"title": "Heron", "url": "https://birds.example.org/heron", "content": "A wading bird."},
    {"title": "Hérons", "url": "https://fr.example.com/h", "content": None, "score": 1.5},
    {"title": "Not it", "url": "https://notexample.org/", "content": "Another domain."},
]
# a query that is answered with this status and this text
ANSWERS = {
    "forbidden": (403, "Forbidden"),
    "limited": (429, "Too Many Requests"),
    "broken": (500, "Internal Server Error"),
    "page": (200, "<html>SearXNG</html>"),
    "other": (200, '{"results": ["no object"]}'),
    "empty": (200, '{"results": []}'),
}


class SearxngService:
    """The service; ``queries`` has the parameters of each search that came."""

    def __init__(self, port: int = 0) -> None:
        """Listen on a port, by default a free one."""
        self.queries: list[dict[str, str]] = []
        self.ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = False  # so that closing waits for them
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """What a configuration names as ``base_url``."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Start to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop."""
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(service: SearxngService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/healthz":
                return self._send(200, "OK")
            if parts.path != "/search":
                return self._send(404, "Not Found")
            params = {name: value[0] for name, value in parse_qs(parts.query).items()}
            service.queries.append(params)
            if params["q"] == "silent":
                service.ended.wait(60)
                return None
            return self._send(*ANSWERS.get(params["q"], (200, json.dumps({"results": RESULTS}))))

        def _send(self, status: int, text: str) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

    return Handler


if __name__ == "__main__":
    with SearxngService(port=int(os.environ["PORT"])) as service:
        service.ended.wait()
