"""The adapter of every HTTP session: which certificates it trusts, which answers are complete.

An answer whose header broke off is an error (RFC 9112, section 8). `http.client` takes the end of a
connection for the end of the header: a cut ``Location`` would be followed. requests is imported
with this module, so only a session imports it.
"""

from __future__ import annotations

import functools
import http.client
import io
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter

from lls_provider.system.tls import is_named

if TYPE_CHECKING:
    from requests import PreparedRequest, Response


class SessionAdapter(HTTPAdapter):
    """Certificates as given, hosts that need none, and answers whose header is complete.

    Each redirect comes here again, so that an exception for one host is none for the next.
    """

    def __init__(self, certificates: str = "", unverified: tuple[str, ...] = ()) -> None:
        self._certificates = certificates
        self._unverified = unverified
        super().__init__()

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Response:
        """As requests does it; what it read from its own variables does not count beside uv's."""
        if is_named(request.url or "", self._unverified):
            verify = False
        elif self._certificates and verify:
            verify = True
        return super().send(request, stream, timeout, verify, cert, proxies)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """As requests does it; the certificates are those that were given."""
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
        conn.ConnectionCls = _checking(conn.ConnectionCls)  # called for each pool of connections
        if self._certificates and verify and url.lower().startswith("https"):
            conn.ca_certs = conn.ca_cert_dir = None
            conn.conn_kw["ca_cert_data"] = self._certificates


class _Stream(io.BufferedReader):
    """Remembers the last line that was read of it."""

    last = b""

    def readline(self, size: int | None = -1, /) -> bytes:
        self.last = super().readline(size)
        return self.last


class _CheckedResponse(http.client.HTTPResponse):
    def begin(self) -> None:
        stream = self.fp = _Stream(self.fp.detach())
        super().begin()
        if stream.last not in (b"\r\n", b"\n"):
            self.close()
            raise http.client.HTTPException("the connection ended in the header of an answer")


@functools.cache
def _checking(connection: type[Any]) -> type[Any]:
    """The kind of connection, with answers that are checked."""
    if connection.response_class is _CheckedResponse:
        return connection
    return type(connection.__name__, (connection,), {"response_class": _CheckedResponse})
