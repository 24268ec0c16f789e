"""A small HTTP service on loopback that answers as vLLM does, and keeps what was asked.

`lls-provider up` starts it as a program, the tests as a context. The reply tells the tokens that a
request may use at most.
"""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class VLLM(ThreadingHTTPServer):
    """The service; ``bodies`` has what was asked for."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        """Listen on a port, by default a free one."""
        self.bodies: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", port), Handler)


class Handler(BaseHTTPRequestHandler):
    server: VLLM

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._reply({"object": "list", "data": [{"id": "chat"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        text = f"at most {body['max_tokens']} tokens"
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "text": text,
            "message": {"role": "assistant", "content": text},
        }
        head = {"id": "1", "object": "chat.completion", "created": 1, "model": body["model"]}
        self._reply({**head, "choices": [choice]})

    def _reply(self, document: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())


if __name__ == "__main__":
    VLLM(port=int(os.environ["PORT"])).serve_forever()
