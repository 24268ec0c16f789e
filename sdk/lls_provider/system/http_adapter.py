"""Answers whose header broke off are errors, as RFC 9112 section 8 wants them to be.

`http.client` takes the end of a connection for the end of the header: a cut ``Location`` would
be followed as if it were whole.
"""

from __future__ import annotations

import http.client
from typing import Any

from requests import Response, Session
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_ENDS = (b"\r\n", b"\n")


class _Lines:
    """A stream that remembers the last line that was read of it."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.last = b""

    def readline(self, limit: int = -1) -> bytes:
        self.last = self.stream.readline(limit)
        return self.last

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _Response(http.client.HTTPResponse):
    def begin(self) -> None:
        lines = _Lines(self.fp)
        self.fp: Any = lines
        super().begin()
        self.fp = lines.stream
        if lines.last not in _ENDS:
            self.close()
            raise http.client.HTTPException("the connection ended in the header of an answer")


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class WholeHeaders(HTTPAdapter):
    """The adapter of requests, with connections that look for the header's end."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As requests does it; the pools are ours."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """As requests does it; the pools are ours."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


_POOLS = {"http": _Pool, "https": _SecurePool}


class NoRedirects(Session):
    """A session that leaves redirects to its user: also their bodies, which it would read whole."""

    def get_redirect_target(self, resp: Response) -> None:  # noqa: ARG002
        """None, whatever the answer says."""
        return
