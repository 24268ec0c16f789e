"""Servers of the tests' own, of which nothing is left when a test ends."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from typing import Any


class Ending(socketserver.ThreadingMixIn):
    """A server with a thread for each connection, none of which outlives it.

    The threads of connections that are kept alive would go on for the whole run, and code that
    forks only where it is alone would no longer do so.
    """

    daemon_threads = False  # so that server_close waits for them

    def __init__(self, *args: Any, **more: Any) -> None:
        self._accepted: list[socket.socket] = []
        super().__init__(*args, **more)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection."""
        self._accepted.append(request)
        super().process_request(request, client_address)

    def server_close(self) -> None:
        """End every connection, then wait for their threads."""
        for connection in self._accepted:
            with contextlib.suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()


@contextlib.contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    """Have a server answer meanwhile, in a thread of its own, and close it."""
    # looked at often, so that stopping takes no half a second a test
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
