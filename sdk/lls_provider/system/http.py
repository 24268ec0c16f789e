"""What every HTTP transfer of ours has in common: the session, the waits, what errors may show.

Whose certificates are believed: what uv is reported by variables holds for our transfers too.

``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` together take the place of the usual authorities; of a
directory every file counts, whatever its name (OpenSSL would want the hash of its subject). With
``UV_SYSTEM_CERTS`` (once ``UV_NATIVE_TLS``) the system's authorities do.

The adapter of every HTTP session: whose certificates it believes, which answers are complete.

An answer whose header broke off is an error (RFC 9112, section 8). `http.client` takes the end of a
connection for the end of the header: a cut ``Location`` would be followed.
"""

from __future__ import annotations

import functools
import http.client
import io
import os
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter

from lls_provider.system.cache import is_enabled

if TYPE_CHECKING:
    import requests
    from requests import PreparedRequest, Response

    from lls_provider.progress import Advance


ATTEMPTS = 4
TIMEOUT = (10.0, 60.0)  # seconds to connect, seconds between two pieces
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


WAIT_LIMIT = 30.0
"""Seconds that a server's ``Retry-After`` is waited for at the most, before each attempt."""


class Interrupted(Exception):  # noqa: N818 - a signal between functions, never seen by users
    """The transfer broke in a way that another attempt may mend.

    ``asked`` are the seconds that the server asks the client to wait; None where it does not say.
    """

    def __init__(self, why: str, asked: float | None = None) -> None:
        super().__init__(why if asked is None else f"{why} and asked to wait {asked:.0f} s")
        self.asked = asked

    def wait(self, attempt: int) -> float:
        """Seconds to wait after attempt number ``attempt`` (from 1), at most WAIT_LIMIT."""
        return wait_before(attempt) if self.asked is None else min(self.asked, WAIT_LIMIT)


class Counted:
    """Reports the progress each byte of a file once, over several attempts."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self._told = 0

    def reached(self, size: int) -> None:
        """So many bytes of the file are through."""
        if size > self._told:
            self._advance(size - self._told)
            self._told = size


def new_session(*, redirects: bool = True, unverified: tuple[str, ...] = ()) -> requests.Session:
    """An HTTP session: proxies and netrc from the environment, TLS verified.

    Without ``redirects`` they are answers like others. The certificates of the hosts in
    ``unverified`` are not looked at. SSL_CERT_FILE and SSL_CERT_DIR, which uv obeys, win over the
    variables that requests knows.
    """
    from requests import Session

    if unverified:
        import urllib3

        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    session = Session()
    if not redirects:  # with allow_redirects=False requests would read their bodies, however long
        session.get_redirect_target = lambda _response: None  # type: ignore[assignment, method-assign]
    certificates = certificate_files(os.environ)
    for scheme in ("http://", "https://"):
        session.mount(scheme, SessionAdapter(certificates, unverified))
    return session


def retry_deadline(environ: Mapping[str, str]) -> tuple[float, float]:
    """Seconds to connect, seconds between two pieces: as uv is reported (``UV_HTTP_TIMEOUT``)."""
    told = environ.get("UV_HTTP_TIMEOUT", "")
    return TIMEOUT[0], float(told) if told.isdecimal() and int(told) else TIMEOUT[1]


def wait_before(attempt: int) -> float:
    """Seconds to wait after attempt number ``attempt`` (from 1): 0.5, 1, 2."""
    return 2.0 ** (attempt - 1) / 2


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """The seconds that ``Retry-After`` requires, reported as a number or a date (RFC 9110, 10.2.3).

    None where it does not exist or cannot be read. ``now`` is the time in seconds since 1970.
    """
    told = headers.get("Retry-After", "").strip()
    if told.isascii() and told.isdigit():
        return float(told[:9])
    try:
        moment = parsedate_to_datetime(told)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:  # an old form of dates, always in UTC
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - (time.time() if now is None else now))


def network_cause(error: BaseException) -> str:
    """The innermost reason: what requests and urllib3 wrap around it helps no one."""
    *_, seen = _within(error)
    root, asked = seen.__cause__, getattr(seen, "conn", None)
    if isinstance(root, OSError) and root.strerror and asked is not None:
        return f"{asked.host}:{asked.port}: {root.strerror}"  # the proxy's, where there is one
    if type(seen).__module__ == "builtins" and isinstance(seen, OSError) and seen.strerror:
        return seen.strerror
    text = str(seen) or type(seen).__name__
    return text.split("object at 0x")[-1].partition(">: ")[2] or text


def network_reason(error: BaseException, timeout: tuple[float, float]) -> str:
    """Why a transfer broke, in words: `cause`, or how long nothing came."""
    from requests import ConnectTimeout
    from urllib3.exceptions import ReadTimeoutError

    if isinstance(error, ConnectTimeout):
        return f"no connection came about in {timeout[0]:g} seconds"
    for it in _within(error):
        if isinstance(it, ReadTimeoutError):
            return f"nothing came for {timeout[1]:g} seconds"
        if isinstance(it, TimeoutError):  # while sending, the first of the two holds
            return f"nothing was taken for {timeout[0]:g} seconds"
    return network_cause(error)


def _within(error: BaseException) -> Iterator[BaseException]:
    """An error and those in it, from the outside in."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        within = (getattr(seen, "reason", None), *seen.args)
        seen = next((it for it in within if isinstance(it, BaseException)), None)


def shown_url(url: str) -> str:
    """The URL without credentials or query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"


_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[\w+/=\s]+-----END CERTIFICATE-----")
_SYSTEM = ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS")
_PORTS = {"http": 80, "https": 443}


def certificate_files(environ: Mapping[str, str]) -> str:
    """The certificates that the variables name, as PEM; empty when there are none."""
    file, folders = environ.get("SSL_CERT_FILE", ""), environ.get("SSL_CERT_DIR", "")
    if not file and not folders and any(is_enabled(environ, it) for it in _SYSTEM):
        system = ssl.get_default_verify_paths()
        file, folders = system.cafile or "", system.capath or ""
    return _certificates(file, folders)


@functools.lru_cache
def _certificates(file: str, folders: str) -> str:
    """Read once a run: a system has hundreds of files, and each download has a session."""
    found: dict[bytes, None] = {}
    for path in _files(file, folders):
        try:
            found |= dict.fromkeys(_CERTIFICATE.findall(path.read_bytes()))
        except OSError:
            continue  # as uv passes over it
    return b"\n".join(found).decode("ascii")


def _files(file: str, folders: str) -> Iterator[Path]:
    if file:
        yield Path(file)
    for text in folders.split(os.pathsep):
        try:
            yield from sorted(it for it in Path(text).iterdir() if it.is_file()) if text else ()
        except OSError:
            continue


def unverified_hosts(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The hosts whose certificates are not verified (``UV_INSECURE_HOST``)."""
    return tuple(environ.get("UV_INSECURE_HOST", "").split())


def is_named(url: str, hosts: tuple[str, ...]) -> bool:
    """Whether one of ``hosts`` (``[SCHEME://]HOST[:PORT]``, or ``*``) is that of ``url``."""
    return any(_is(urlsplit(url), it) for it in hosts)


def _is(url: Any, host: str) -> bool:
    if host == "*":
        return True
    try:
        told = urlsplit(host if "://" in host else f"//{host}")
        port = told.port
    except ValueError:
        return False
    return (
        told.hostname == url.hostname
        and told.scheme in ("", url.scheme)
        and port in (None, url.port or _PORTS.get(url.scheme))
    )


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
