"""Fetches the files of a closure into the cache, in parallel, every hash checked.

A file is streamed, and resumed where it broke off, with bounded retries. Nothing is under its final
name that was not verified. A source becomes a wheel in the cache.
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import SILENT, Advance, Progress, counted, shown_size
from lls_provider.system.cache import cache_root, locked, storage_error, writing
from lls_provider.system.cache_sections import cache_section
from lls_provider.system.http import (
    ATTEMPTS,
    RETRIED,
    TIMEOUT,
    Counted,
    Interrupted,
    network_cause,
    network_reason,
    new_session,
    request_timeouts,
    retry_after,
    shown_url,
)
from lls_provider.wheels.uv_settings import index_logins, is_offline, local_path, wheelhouses

if TYPE_CHECKING:
    import requests

    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.resolve import LockedPackage

_JOBS = 8  # connections, not cores


def fetch(
    packages: Sequence[LockedPackage],
    *,
    interpreter: Interpreter,
    machine: str | None = None,
    base: Path | None = None,
    progress: Progress = SILENT,
    jobs: int = _JOBS,
) -> list[Path]:
    """The wheels of ``packages``, in their order, every hash verified.

    A source (sdist or directory) is built for ``interpreter``. A wheel that was compiled for this
    machine is reported as a warning, and refused if ``machine`` is another one. uv's settings, with
    logins and wheelhouses, are those of ``base``. Raises SdkError NETWORK,
    HASH_MISMATCH, WHEEL_BUILD_FAILED, WHEEL_INCOMPATIBLE, NO_SPACE, FILE_MISSING.
    """
    # what is in the cache needs no thread
    cached = [None if local_path(it.url) is not None else _in_cache(it) for it in packages]
    missing = [package for package, file in zip(packages, cached, strict=True) if file is None]
    fetched = iter(_fetched(missing, base, progress, jobs) if missing else ())
    files = [file or next(fetched) for file in cached]
    wheels = []
    for package, file in zip(packages, files, strict=True):
        if package.is_source:
            from lls_provider.wheels.pep517 import wheel_of_source

            file = wheel_of_source(
                package, file, interpreter, machine=machine, base=base, progress=progress
            )
        wheels.append(file)
    return wheels


def _fetched(
    packages: Sequence[LockedPackage], base: Path | None, progress: Progress, jobs: int
) -> list[Path]:
    """The files of packages that are not in the cache yet, in their order."""
    from concurrent.futures import ThreadPoolExecutor

    total = sum(package.size or 0 for package in packages)
    size = f" ({shown_size(total)})" if total else ""  # files of a directory have none
    progress.step(f"fetching {counted(len(packages), 'package')}{size}")
    with (
        progress.task("fetching", total) as advance,
        ThreadPoolExecutor(min(jobs, len(packages))) as pool,
    ):
        # each thread has the current indexes; a context can be entered by one thread at a time
        pending = [
            pool.submit(contextvars.copy_context().run, _file, package, advance, base)
            for package in packages
        ]
        try:
            return [it.result() for it in pending]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def cached_file(package: LockedPackage) -> Path | None:
    """The locked wheel if it is in the cache, where every file was verified; None otherwise."""
    return None if package.is_source else _in_cache(package)


def _in_cache(package: LockedPackage) -> Path | None:
    if package.sha256 is None:
        return None
    path = _cache_path(package.sha256, package.filename)
    return path if path.is_file() else None


@contextlib.contextmanager
def reporting_damage(fetched: Iterable[tuple[LockedPackage, Path]]) -> Iterator[None]:
    """Report a file that changed since it was fetched, instead of the error that it caused.

    Files are verified when they enter the cache and are not hashed before each use. Raises SdkError
    HASH_MISMATCH after removing the file from the cache.
    """
    try:
        yield
    except SdkError as error:
        for package, file in fetched:
            if package.sha256 is None or package.is_source or not file.is_file():
                continue
            with file.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            if found != package.sha256:
                raise _changed_file(file, found, package.sha256) from error
        raise


def _changed_file(file: Path, found: str, expected: str) -> SdkError:
    in_cache = file.is_relative_to(cache_root())
    if in_cache:
        file.unlink()
    return SdkError(
        Code.HASH_MISMATCH,
        f"{file.name} changed {'in the cache ' if in_cache else ''}since it was fetched",
        why=f"Its sha256 is {found}, expected {expected}.",
        where=Where(file=str(file)),
        resolution="Run the command again: the file was removed, and is fetched again. If this "
        "happens again, another process changes the cache or the disk is failing."
        if in_cache
        else "Run the command again, and do not change the file meanwhile.",
    )


def _cache_path(sha256: str, filename: str) -> Path:
    return cache_section("files") / sha256[:2] / sha256 / _plain(filename)


def _file(package: LockedPackage, advance: Advance, base: Path | None) -> Path:
    """The locked file, in the cache under its hash; a local one in place."""
    path = local_path(package.url)
    if path is not None:
        return _local(package, _located(package, path, base), advance)
    if package.sha256 is None:
        raise SdkError(
            Code.HASH_MISMATCH,
            f"The index has no sha256 for {package.filename}",
            why=f"From {package.url.partition('?')[0]}",
            resolution="Use an index that publishes hashes (PEP 503), or a wheelhouse directory.",
        )
    target = _cache_path(package.sha256, package.filename)
    with writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file():  # complete and verified: no session and no lock are needed
        advance(target.stat().st_size)
        return target
    if is_offline():
        raise SdkError(
            Code.NETWORK,
            f"{target.name} is not in the cache, and the network must not be used",
            why=f"From {shown_url(package.url)}",
            where=Where(file=target.name),
            resolution="Build once with the network: without --offline (UV_OFFLINE).",
        )
    from lls_provider.system.tls import unverified_hosts

    with new_session(unverified=unverified_hosts(os.environ)) as session:
        session.auth = index_logins(base)
        download(
            package.url,
            target,
            sha256=package.sha256,
            session=session,
            advance=advance,
            size=package.size,
            timeout=request_timeouts(os.environ),
        )
    return target


def _located(package: LockedPackage, path: Path, base: Path | None) -> Path:
    """The path of a local file: its own, else that of the same name in a wheelhouse."""
    if package.sha256 is not None and not path.exists():
        for wheelhouse in wheelhouses(base):
            candidate = wheelhouse / _plain(package.filename)
            if candidate.is_file():
                return candidate
    return path


def _local(package: LockedPackage, path: Path, advance: Advance) -> Path:
    """A local file or directory, used in place; a file's hash must be the locked one."""
    if path.is_dir():
        return path
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise SdkError(
            Code.FILE_MISSING,
            f"Cannot read {path.name}",
            why=error.strerror or str(error),
            where=Where(file=str(path)),
            resolution="Check the path of this dependency, or name the wheelhouse that has it with "
            "--find-links.",
        ) from error
    if package.sha256 not in (None, found):
        raise SdkError(
            Code.HASH_MISMATCH,
            f"{path.name} changed while it was used",
            why=f"Expected sha256 {package.sha256}\nFound sha256 {found}",
            where=Where(file=str(path)),
            resolution="Run the command again.",
        )
    advance(package.size or 0)
    return path


def _plain(filename: str) -> str:
    """The name, if it is a plain one: an index must not choose a path."""
    if Path(filename).name != filename or filename in ("", ".", ".."):
        raise SdkError(
            Code.RESOLUTION_FAILED,
            f"The index names a file {filename!r}",
            why="It is not a plain file name.",
            resolution="Do not use this index.",
        )
    return filename


_CHUNK = 256 * 1024
_SLOWEST = 1024  # bytes a second
_PARTIAL = 206
_DENIED = frozenset({401, 403})


class Fetcher(Protocol):
    """What requests a file: a session of requests, or a client that can log in."""

    def get(
        self,
        url: str,
        /,
        *,
        headers: Mapping[str, str],
        stream: bool,
        timeout: tuple[float, float],
    ) -> requests.Response:
        """The response, its body not yet read."""
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
    """Download ``url`` (https, http or file) to ``target`` and verify it.

    Two processes that need the same file download it once. A file of more than ``size`` bytes is
    the wrong file, and is not downloaded to its end. ``timeout`` are the seconds to wait for a
    connection and for the next chunk. Raises SdkError NETWORK, HASH_MISMATCH, FILE_MISSING or
    NO_SPACE; a partial file stays next to ``target`` for the next attempt, unless its hash is
    wrong.
    """
    partial = target.with_name(target.name + ".partial")
    with locked(target.with_name(target.name + ".lock")):
        if target.is_file():
            advance(target.stat().st_size)
            return
        bytes_counted = Counted(advance)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                found = _attempt(url, partial, session, bytes_counted, size, timeout)
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


def _attempt(
    url: str,
    partial: Path,
    session: Fetcher,
    bytes_counted: Counted,
    limit: int | None,
    timeout: tuple[float, float],
) -> str:
    """One attempt, from where the last one ended; returns the sha256 of the whole file."""
    import requests
    import urllib3

    digest = hashlib.sha256()
    start = _hash_partial(partial, digest)
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with session.get(url, headers=headers, stream=True, timeout=timeout) as response:
            if response.status_code in RETRIED:
                raise Interrupted(
                    f"the server answered {response.status_code} {response.reason}",
                    retry_after(response.headers),
                )
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                partial.unlink(missing_ok=True)
                raise Interrupted("the server has less of the file than was received")
            if response.status_code in _DENIED:
                raise _denied(url, f"the server answered {response.status_code} {response.reason}")
            if not response.ok:
                raise _network(url, f"the server answered {response.status_code} {response.reason}")
            resumed = response.status_code == _PARTIAL and _starts_at(response, start)
            if not resumed:
                digest, start = hashlib.sha256(), 0
            expected = response.headers.get("Content-Length", "")
            received = 0
            with partial.open("ab" if resumed else "wb") as sink:
                for chunk in _chunks(response, timeout[1]):
                    sink.write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
                    if limit is not None and start + received > limit:
                        return f"unknown: it has more than {limit:,} bytes"
                    bytes_counted.reached(start + received)
            if expected.isdigit() and received != int(expected):
                raise Interrupted(f"the connection ended after {received} of {expected} bytes")
    except requests.exceptions.SSLError as error:
        raise _network(url, f"TLS: {network_cause(error)}") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise Interrupted(network_reason(error, timeout)) from error
    return digest.hexdigest()


def _chunks(response: requests.Response, seconds: float) -> Iterator[bytes]:
    """The body in chunks as they arrive. Raises Interrupted if it is too slow for ``seconds``."""
    start, received = time.monotonic(), 0
    while chunk := response.raw.read1(_CHUNK, decode_content=True):
        yield chunk
        received += len(chunk)
        elapsed = time.monotonic() - start
        if elapsed >= seconds:
            if received < _SLOWEST * elapsed:
                raise Interrupted(f"only {received:,} bytes came in {elapsed:.0f} seconds")
            start, received = time.monotonic(), 0


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


def _starts_at(response: requests.Response, start: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


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
