"""Downloads one file: streamed, hash-checked, resumed, with bounded retries.

Nothing is under the final name that was not verified.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from lls_provider.errors import Code, SdkError, Where
from lls_provider.system.cache import locked, storage_error
from lls_provider.system.http import (
    ATTEMPTS,
    RETRIED,
    TIMEOUT,
    Counted,
    Interrupted,
    network_cause,
    network_reason,
    retry_after,
    shown_url,
)

if TYPE_CHECKING:
    import requests

    from lls_provider.progress import Advance

_CHUNK = 256 * 1024
_SLOWEST = 1024  # bytes a second
_PARTIAL = 206
_DENIED = frozenset({401, 403})


class Fetcher(Protocol):
    """What a file is asked of: a session of requests, or a client that knows how to log in."""

    def get(
        self,
        url: str,
        /,
        *,
        headers: Mapping[str, str],
        stream: bool,
        timeout: tuple[float, float],
    ) -> requests.Response:
        """The answer, its body not yet read."""
        ...


def download(
    url: str,
    target: Path,
    *,
    sha256: str,
    session: Fetcher,
    advance: Advance,
    size: int | None = None,
    timeout: tuple[float, float] = TIMEOUT,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Bring ``url`` (https, http or file) to ``target`` and verify it.

    Two processes that want the same file load it once. A file of more than ``size`` bytes is
    not the one that is meant, and not loaded to its end. ``timeout`` are the seconds to wait for
    a connection and for the next piece. Raises SdkError NETWORK, HASH_MISMATCH,
    FILE_MISSING or NO_SPACE; a partial file stays beside ``target`` for the next try, except
    where its hash is wrong.
    """
    partial = target.with_name(target.name + ".partial")
    with locked(target.with_name(target.name + ".lock")):
        if target.is_file():
            advance(target.stat().st_size)
            return
        counted = Counted(advance)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                found = _attempt(url, partial, session, counted, size, timeout)
                break
            except Interrupted as error:
                if attempt == ATTEMPTS:
                    raise _network(url, f"{error} ({ATTEMPTS} attempts)") from error
                sleep(error.wait(attempt))
            except OSError as error:
                raise storage_error(error, partial) from error
        if found != sha256:
            partial.unlink(missing_ok=True)
            raise SdkError(
                Code.HASH_MISMATCH,
                f"{target.name} is not the file that was locked",
                why=f"Expected sha256 {sha256}\nReceived sha256 {found}\nFrom {shown_url(url)}",
                where=Where(file=target.name),
                resolution="Do not use it. Ask the index's owner why the file changed; a proxy or "
                "a mirror may have altered it.",
            )
        partial.replace(target)


def local_path(url: str) -> Path | None:
    """The path of a ``file:`` URL, None for any other."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _attempt(
    url: str,
    partial: Path,
    session: Fetcher,
    counted: Counted,
    limit: int | None,
    timeout: tuple[float, float],
) -> str:
    """One try, from where the last one ended; returns the sha256 of the whole file."""
    import requests
    import urllib3

    digest = hashlib.sha256()
    start = _hash_partial(partial, digest)
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with session.get(url, headers=headers, stream=True, timeout=timeout) as answer:
            if answer.status_code in RETRIED:
                raise Interrupted(
                    f"the server answered {answer.status_code} {answer.reason}",
                    retry_after(answer.headers),
                )
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                partial.unlink(missing_ok=True)
                raise Interrupted("the server has less of the file than had arrived")
            if answer.status_code in _DENIED:
                raise _denied(url, f"the server answered {answer.status_code} {answer.reason}")
            if not answer.ok:
                raise _network(url, f"the server answered {answer.status_code} {answer.reason}")
            resumed = answer.status_code == _PARTIAL and _starts_at(answer, start)
            if not resumed:
                digest, start = hashlib.sha256(), 0
            expected = answer.headers.get("Content-Length", "")
            received = 0
            with partial.open("ab" if resumed else "wb") as sink:
                for chunk in _pieces(answer, timeout[1]):
                    sink.write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
                    if limit is not None and start + received > limit:
                        return f"unknown: it has more than {limit:,} bytes"
                    counted.reached(start + received)
            if expected.isdigit() and received != int(expected):
                raise Interrupted(f"the connection ended after {received} of {expected} bytes")
    except requests.exceptions.SSLError as error:
        raise _network(url, f"TLS: {network_cause(error)}") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise Interrupted(network_reason(error, timeout)) from error
    return digest.hexdigest()


def _pieces(answer: requests.Response, seconds: float) -> Iterator[bytes]:
    """The body as it comes. What only trickles for so long is as good as silent: Interrupted."""
    began, came = time.monotonic(), 0
    while piece := answer.raw.read1(_CHUNK, decode_content=True):
        yield piece
        came += len(piece)
        passed = time.monotonic() - began
        if passed >= seconds:
            if came < _SLOWEST * passed:
                raise Interrupted(f"only {came:,} bytes came in {passed:.0f} seconds")
            began, came = time.monotonic(), 0


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


def _denied(url: str, why: str) -> SdkError:
    error = _network(url, why)
    error.resolution = (
        "Give the login of the index: UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD for "
        "an index with a name, or ~/.netrc."
    )
    return error


def _network(url: str, why: str) -> SdkError:
    return SdkError(
        Code.NETWORK,
        f"Cannot download {unquote(urlsplit(url).path).rpartition('/')[2]}",
        why=f"{why}\nFrom {shown_url(url)}",
        resolution="Check the network, the proxy (HTTPS_PROXY) and the certificates "
        "(SSL_CERT_FILE), for a slow index raise UV_HTTP_TIMEOUT, then run the command again: what "
        "has arrived is kept.",
    )
