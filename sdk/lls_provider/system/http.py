"""HTTP: the session that every transfer uses, how long it waits, what errors may show."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import requests

    from lls_provider.progress import Advance


ATTEMPTS = 4
TIMEOUT = (10.0, 60.0)  # seconds to connect, seconds between two pieces
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


WAIT_LIMIT = 30.0
"""Seconds that are waited for a server's ``Retry-After`` at most, before each attempt."""


class Interrupted(Exception):  # noqa: N818 - a signal between functions, never seen by users
    """The transfer failed in a way that another attempt may fix.

    ``asked`` are the seconds that the server asks the client to wait; None if it does not say.
    """

    def __init__(self, why: str, asked: float | None = None) -> None:
        super().__init__(why if asked is None else f"{why} and asked to wait {asked:.0f} s")
        self.asked = asked

    def wait(self, attempt: int) -> float:
        """Seconds to wait after attempt number ``attempt`` (from 1), at most WAIT_LIMIT."""
        return wait_before(attempt) if self.asked is None else min(self.asked, WAIT_LIMIT)


class Counted:
    """Reports each byte of a file to a progress once, over several attempts."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self._reported = 0

    def reached(self, size: int) -> None:
        """``size`` bytes of the file are transferred."""
        if size > self._reported:
            self._advance(size - self._reported)
            self._reported = size


def new_session(*, redirects: bool = True, unverified: tuple[str, ...] = ()) -> requests.Session:
    """An HTTP session: proxies and netrc from the environment, TLS verified.

    Without ``redirects`` they are returned like other responses. The certificates of the hosts in
    ``unverified`` are not verified. SSL_CERT_FILE and SSL_CERT_DIR, which uv reads, take precedence
    over the variables that requests reads.
    """
    from requests import Session

    from lls_provider.system.tls import SessionAdapter, trusted_certificates

    if unverified:
        import urllib3

        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    session = Session()
    if not redirects:  # with allow_redirects=False requests would read their bodies, however long
        session.get_redirect_target = lambda _response: None  # type: ignore[assignment, method-assign]
    certificates = trusted_certificates(os.environ)
    for scheme in ("http://", "https://"):
        session.mount(scheme, SessionAdapter(certificates, unverified))
    return session


def request_timeouts(environ: Mapping[str, str]) -> tuple[float, float]:
    """Seconds to connect, seconds between two pieces (uv's ``UV_HTTP_TIMEOUT``)."""
    text = environ.get("UV_HTTP_TIMEOUT", "")
    return TIMEOUT[0], float(text) if text.isdecimal() and int(text) else TIMEOUT[1]


def wait_before(attempt: int) -> float:
    """Seconds to wait after attempt number ``attempt`` (from 1): 0.5, 1, 2."""
    return 2.0 ** (attempt - 1) / 2


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """The seconds that ``Retry-After`` asks for, a number or a date (RFC 9110, 10.2.3).

    None if it is missing or cannot be read. ``now`` is the time in seconds since 1970.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:  # an old form of dates, always in UTC
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - (time.time() if now is None else now))


def network_cause(error: BaseException) -> str:
    """The innermost reason, without what requests and urllib3 wrap around it."""
    *_, seen = _within(error)
    root, connection = seen.__cause__, getattr(seen, "conn", None)
    if isinstance(root, OSError) and root.strerror and connection is not None:
        return f"{connection.host}:{connection.port}: {root.strerror}"  # the proxy's, if any
    if type(seen).__module__ == "builtins" and isinstance(seen, OSError) and seen.strerror:
        return seen.strerror
    text = str(seen) or type(seen).__name__
    return text.split("object at 0x")[-1].partition(">: ")[2] or text


def network_reason(error: BaseException, timeout: tuple[float, float]) -> str:
    """Why a transfer failed: `network_cause`, or how long nothing was received."""
    from requests import ConnectTimeout
    from urllib3.exceptions import ReadTimeoutError

    if isinstance(error, ConnectTimeout):
        return f"no connection was made in {timeout[0]:g} seconds"
    for it in _within(error):
        if isinstance(it, ReadTimeoutError):
            return f"nothing was received for {timeout[1]:g} seconds"
        if isinstance(it, TimeoutError):  # while sending, the first of the two timeouts applies
            return f"nothing was accepted for {timeout[0]:g} seconds"
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
