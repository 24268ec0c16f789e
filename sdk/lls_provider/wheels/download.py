"""Downloads one file: streamed, hash-checked, resumed, with bounded retries.

Nothing stands under the final name that was not verified.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from lls_provider.errors import Code, SdkError, Where
from lls_provider.wheels.cache import locked, storage_error

if TYPE_CHECKING:
    import requests

    from lls_provider.progress import Advance

_CHUNK = 256 * 1024
_ATTEMPTS = 4
_TIMEOUT = (10.0, 60.0)  # seconds to connect, seconds between two pieces
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_PARTIAL = 206


class _Interrupted(Exception):  # noqa: N818 - a signal between functions of this module
    """The transfer broke; what has arrived is kept for the next attempt."""


def new_session() -> requests.Session:
    """An HTTP session: proxies and netrc from the environment, TLS verified.

    Besides the variables that requests knows, SSL_CERT_FILE (which uv obeys) names the
    certificates.
    """
    import requests

    session = requests.Session()
    certificates = os.environ.get("SSL_CERT_FILE")
    if certificates and not os.environ.get("REQUESTS_CA_BUNDLE"):
        session.verify = certificates
    return session


def download(
    url: str,
    target: Path,
    *,
    sha256: str,
    session: requests.Session,
    advance: Advance,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Bring ``url`` (https, http or file) to ``target`` and verify it.

    Two processes that want the same file load it once. Raises SdkError NETWORK, HASH_MISMATCH,
    FILE_MISSING or NO_SPACE; a partial file stays beside ``target`` for the next try, except
    where its hash is wrong.
    """
    partial = target.with_name(target.name + ".partial")
    with locked(target.with_name(target.name + ".lock")):
        if target.is_file():
            advance(target.stat().st_size)
            return
        counted = _Counted(advance)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                found = _attempt(url, partial, session, counted)
                break
            except _Interrupted as error:
                if attempt == _ATTEMPTS:
                    raise _network(url, f"{error} ({_ATTEMPTS} attempts)") from error
                sleep(2.0 ** (attempt - 1) / 2)
            except OSError as error:
                raise storage_error(error, partial) from error
        if found != sha256:
            partial.unlink(missing_ok=True)
            raise SdkError(
                Code.HASH_MISMATCH,
                f"{target.name} is not the file that was locked",
                why=f"Expected sha256 {sha256}\nReceived sha256 {found}\nFrom {_shown(url)}",
                where=Where(file=target.name),
                resolution="Do not use it. Ask the index's owner why the file changed; a proxy or "
                "a mirror may have altered it.",
            )
        partial.replace(target)


def local_path(url: str) -> Path | None:
    """The path of a ``file:`` URL, None for any other."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


class _Counted:
    """Tells the progress each byte of a file once, over several attempts."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self._told = 0

    def reached(self, size: int) -> None:
        if size > self._told:
            self._advance(size - self._told)
            self._told = size


def _attempt(url: str, partial: Path, session: requests.Session, counted: _Counted) -> str:
    """One try, from where the last one ended; returns the sha256 of the whole file."""
    import requests

    digest = hashlib.sha256()
    start = _hash_partial(partial, digest)
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
            if answer.status_code in _RETRIED:
                raise _Interrupted(f"the server answered {answer.status_code} {answer.reason}")
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                partial.unlink(missing_ok=True)
                raise _Interrupted("the server has less of the file than had arrived")
            if not answer.ok:
                raise _network(url, f"the server answered {answer.status_code} {answer.reason}")
            resumed = answer.status_code == _PARTIAL and _starts_at(answer, start)
            if not resumed:
                digest, start = hashlib.sha256(), 0
            expected = answer.headers.get("Content-Length", "")
            received = 0
            with partial.open("ab" if resumed else "wb") as sink:
                for chunk in answer.iter_content(_CHUNK):
                    sink.write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
                    counted.reached(start + received)
            if expected.isdigit() and received != int(expected):
                raise _Interrupted(f"the connection ended after {received} of {expected} bytes")
    except requests.exceptions.SSLError as error:
        raise _network(url, f"TLS: {_cause(error)}") from error
    except requests.RequestException as error:
        raise _Interrupted(_cause(error)) from error
    return digest.hexdigest()


def _hash_partial(partial: Path, digest: hashlib._Hash) -> int:
    size = 0
    try:
        with partial.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except FileNotFoundError:
        return 0
    return size


def _starts_at(answer: requests.Response, start: int) -> bool:
    return answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _cause(error: BaseException) -> str:
    """The innermost reason: what requests and urllib3 wrap around it helps nobody."""
    seen: BaseException = error
    while True:
        inner = getattr(seen, "reason", None) or (seen.args[0] if seen.args else None)
        if not isinstance(inner, BaseException):
            break
        seen = inner
    text = str(seen) or type(seen).__name__
    return text.split("object at 0x")[-1].partition(">: ")[2] or text


def _shown(url: str) -> str:
    """The URL without credentials or query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"


def _network(url: str, why: str) -> SdkError:
    return SdkError(
        Code.NETWORK,
        f"Cannot download {unquote(urlsplit(url).path).rpartition('/')[2]}",
        why=f"{why}\nFrom {_shown(url)}",
        resolution="Check the network, the proxy (HTTPS_PROXY) and the certificates "
        "(SSL_CERT_FILE), then run the command again: what has arrived is kept.",
    )
