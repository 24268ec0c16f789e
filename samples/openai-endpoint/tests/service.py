"""A small HTTP service on loopback that speaks the OpenAI protocol, also streaming.

`lls-provider up` starts it as a program, the tests as a context.

What it does depends on the model that a request names, so that every failure is a real one: see
`MODELS`. ``agent`` calls the first tool that it is offered, and then tells what the tool returned.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

MODELS = {
    "tiny": "says what the user said",
    "chat": "the same",
    "agent": "calls a tool",
    "words": "embeds",
    "silent": "never answers",
    "trickling": "answers a byte at a time, without end",
    "broken": "answers 500",
    "garbled": "answers no JSON",
    "empty": "answers JSON that is no completion",
    "halfway": "ends its stream early",
    "failing": "reports an error in its stream",
}
KEY = "s3cret"


class OpenAIService:
    """The service; ``requests`` has the path, the headers and the body of what came."""

    def __init__(self, key: str | None = None, port: int = 0) -> None:
        """Listen on a port, by default a free one.

        With a ``key``, requests without it are answered with 401.
        """
        self.key = key
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.ended = threading.Event()
        self._open: list[socket.socket] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = False  # so that closing waits for them
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """What a configuration names as ``base_url``."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        """Start to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop, and end the connections that are open."""
        self.ended.set()
        self._server.shutdown()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed already
        self._server.server_close()
        self._thread.join()

    def opened(self, connection: socket.socket) -> None:
        """Remember a connection."""
        self._open.append(connection)


def _handler(service: OpenAIService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            service.opened(self.connection)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            if self._accepted(None):
                self._json(200, {"object": "list", "data": [{"id": name} for name in MODELS]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self._accepted(body):
                return
            model = body["model"]
            if model not in MODELS:
                self._error(404, f"The model `{model}` does not exist")
            elif model == "silent":
                service.ended.wait(60)
            elif model == "trickling":
                self._trickle()
            elif model == "broken":
                self._error(500, "out of memory")
            elif model == "garbled":
                self._send(200, "text/html", b"<html>It works!</html>")
            elif model == "empty":
                self._json(200, {"id": "none", "choices": "none"})
            elif self.path.endswith("/embeddings"):
                self._json(200, _embeddings(body))
            elif body.get("stream"):
                self._stream(body)
            else:
                self._json(200, _completion(body))

        def _accepted(self, body: Any) -> bool:
            service.requests.append((self.path, dict(self.headers), body))
            if service.key in (None, self.headers.get("Authorization", "")[len("Bearer ") :]):
                return True
            self._error(401, "Incorrect API key provided")
            return False

        def _json(self, status: int, document: Any) -> None:
            self._send(status, "application/json", json.dumps(document).encode())

        def _error(self, status: int, message: str) -> None:
            self._json(status, {"error": {"message": message, "type": "error"}})

        def _send(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _start(self, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True

        def _trickle(self) -> None:
            self._start("application/json")
            try:
                while not service.ended.wait(0.02):
                    self.wfile.write(b" ")
            except OSError:
                return  # the client had enough

        def _stream(self, body: Any) -> None:
            self._start("text/event-stream")
            for event in _events(body):
                self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                self.wfile.flush()
            if body["model"] == "failing":
                self.wfile.write(b'data: {"error": {"message": "the model crashed"}}\n\n')
            elif body["model"] != "halfway":
                self.wfile.write(b"data: [DONE]\n\n")

    return Handler


def _head(body: Any, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": body["model"]}


def _message(body: Any) -> dict[str, Any]:
    """What the model says: a text, or the call of a tool."""
    if "prompt" in body:
        return {"content": f"{body['prompt']}, and so on"}
    last = body["messages"][-1]
    if body["model"] != "agent":
        return {"role": "assistant", "content": f"You said: {_text(last['content'])}"}
    if last["role"] == "tool":
        return {"role": "assistant", "content": f"Found: {_text(last['content'])}"}
    if not body.get("tools"):
        return {"role": "assistant", "content": "no tool"}
    function = {
        "name": body["tools"][0]["function"]["name"],
        "arguments": json.dumps({"query": _text(last["content"])}),
    }
    call = {"index": 0, "id": "call-1", "type": "function", "function": function}
    return {"role": "assistant", "tool_calls": [call]}


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _reason(message: dict[str, Any]) -> str:
    return "tool_calls" if "tool_calls" in message else "stop"


def _completion(body: Any) -> dict[str, Any]:
    message = _message(body)
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    if "prompt" in body:
        choice = {"index": 0, "text": message["content"], "finish_reason": "stop"}
        return {**_head(body, "text_completion"), "choices": [choice], "usage": usage}
    choice = {"index": 0, "message": message, "finish_reason": _reason(message)}
    return {**_head(body, "chat.completion"), "choices": [choice], "usage": usage}


def _events(body: Any) -> Iterator[dict[str, Any]]:
    message = _message(body)
    if "prompt" in body:
        for word in message["content"].split(" "):
            choice = {"index": 0, "text": f"{word} ", "finish_reason": "stop"}
            yield {**_head(body, "text_completion"), "choices": [choice]}
        return
    head = _head(body, "chat.completion.chunk")
    content = message.get("content") or ""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": content[at : at + 8]} for at in range(0, len(content), 8)]
    if "tool_calls" in message:
        deltas.append({"tool_calls": message["tool_calls"]})
    for delta in deltas:
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    choice = {"index": 0, "delta": {}, "finish_reason": _reason(message)}
    yield {**head, "choices": [choice]}


def _embeddings(body: Any) -> dict[str, Any]:
    """A direction for each text: how many of its letters are a, e and i."""
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    data = [
        {"object": "embedding", "index": at, "embedding": [text.count(it) + 0.1 for it in "aei"]}
        for at, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return {"object": "list", "model": body["model"], "data": data, "usage": usage}


if __name__ == "__main__":
    with OpenAIService(port=int(os.environ["PORT"])) as service:
        service.ended.wait()
