"""TLS: the certificates that transfers trust, from the same variables as uv, and the HTTP adapter.

``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` together replace the usual authorities. Every file of a
directory counts, whatever its name (OpenSSL would require the hash of its subject). With
``UV_SYSTEM_CERTS`` (formerly ``UV_NATIVE_TLS``) the authorities of the system count. The adapter
also refuses an answer whose header broke off. This module imports requests, so it is imported only
where a session is made.
"""

from __future__ import annotations

import functools
import http.client
import io
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from requests.adapters import HTTPAdapter

from lls_provider.system.cache import is_enabled

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[\w+/=\s]+-----END CERTIFICATE-----")
_SYSTEM = ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS")
_PORTS = {"http": 80, "https": 443}


def trusted_certificates(environ: Mapping[str, str]) -> str:
    """The certificates that the variables name, as PEM; empty when there are none."""
    file, directories = environ.get("SSL_CERT_FILE", ""), environ.get("SSL_CERT_DIR", "")
    if not file and not directories and any(is_enabled(environ, it) for it in _SYSTEM):
        system = ssl.get_default_verify_paths()
        file, directories = system.cafile or "", system.capath or ""
    return _certificates(file, directories)


@functools.lru_cache
def _certificates(file: str, directories: str) -> str:
    """Read once a run: a system has hundreds of files, and each download has a session."""
    found: dict[bytes, None] = {}
    for path in _files(file, directories):
        try:
            found |= dict.fromkeys(_CERTIFICATE.findall(path.read_bytes()))
        except OSError:
            continue  # uv skips it too
    return b"\n".join(found).decode("ascii")


def _files(file: str, directories: str) -> Iterator[Path]:
    if file:
        yield Path(file)
    for text in directories.split(os.pathsep):
        try:
            yield from sorted(it for it in Path(text).iterdir() if it.is_file()) if text else ()
        except OSError:
            continue


def unverified_hosts(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The hosts whose certificates are not verified (``UV_INSECURE_HOST``)."""
    return tuple(environ.get("UV_INSECURE_HOST", "").split())


def is_named(url: str, hosts: tuple[str, ...]) -> bool:
    """Whether one of ``hosts`` (``[SCHEME://]HOST[:PORT]``, or ``*``) is that of ``url``."""
    return any(_matches(urlsplit(url), it) for it in hosts)


def _matches(url: SplitResult, host: str) -> bool:
    if host == "*":
        return True
    try:
        parts = urlsplit(host if "://" in host else f"//{host}")
        port = parts.port
    except ValueError:
        return False
    return (
        parts.hostname == url.hostname
        and parts.scheme in ("", url.scheme)
        and port in (None, url.port or _PORTS.get(url.scheme))
    )


class SessionAdapter(HTTPAdapter):
    """Uses the given certificates, skips unverified hosts, and requires complete headers.

    Every redirect passes through it again, so an exception for one host does not extend to the
    next.
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
        """Send as requests does; what requests read from its own variables is overridden."""
        if is_named(request.url or "", self._unverified):
            verify = False
        elif self._certificates and verify:
            verify = True
        return super().send(request, stream, timeout, verify, cert, proxies)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Verify as requests does, against the given certificates."""
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
        conn.ConnectionCls = _checking(conn.ConnectionCls)  # called for each pool of connections
        if self._certificates and verify and url.lower().startswith("https"):
            conn.ca_certs = conn.ca_cert_dir = None
            conn.conn_kw["ca_cert_data"] = self._certificates


@functools.cache
def _checking(connection: type[Any]) -> type[Any]:
    """The connection class, with responses whose header is checked."""
    if connection.response_class is _CheckedResponse:
        return connection
    return type(connection.__name__, (connection,), {"response_class": _CheckedResponse})


class _CheckedResponse(http.client.HTTPResponse):
    """Raises where the header broke off (RFC 9112, section 8).

    `http.client` takes the end of a connection for the end of the header, so a ``Location`` that
    was cut would be followed.
    """

    def begin(self) -> None:
        stream = self.fp = _Stream(self.fp.detach())
        super().begin()
        if stream.last not in (b"\r\n", b"\n"):
            self.close()
            raise http.client.HTTPException("the connection ended in the header of an answer")


class _Stream(io.BufferedReader):
    """Remembers the last line that was read from it."""

    last = b""

    def readline(self, size: int | None = -1, /) -> bytes:
        self.last = super().readline(size)
        return self.last
