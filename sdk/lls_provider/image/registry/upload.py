"""Uploads one blob: not at all where it is there already, resumed where the connection broke.

A blob that is not whole has no name in a registry: what is broken off leaves nothing behind
but an upload, which the registry forgets after a while.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from lls_provider.image.model import sha256
from lls_provider.image.registry import failures
from lls_provider.image.registry.repository import CREATED, STORED
from lls_provider.image.registry.transport import Busy
from lls_provider.wheels.http import ATTEMPTS, RETRIED, Counted, Interrupted

if TYPE_CHECKING:
    from lls_provider.errors import SdkError
    from lls_provider.image.registry.repository import Repository
    from lls_provider.image.registry.transport import Answer
    from lls_provider.progress import Advance

_BEGUN = frozenset({201, 202})
_TAKEN = frozenset({201, 202, 204})
# an upload that the registry has lost, holds otherwise than we think, or got damaged
_LOST = frozenset({400, 404, 416})
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")
_BYTES = "application/octet-stream"
_DOING = "push"
_PIECE = 128 << 10


class Outcome(Enum):
    """What became of a blob."""

    THERE = "there already"
    MOUNTED = "taken from another repository"
    PUSHED = "pushed"


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes to upload; ``chunks`` gives them from their start each time it is called."""

    digest: str
    size: int
    chunks: Callable[[], Iterator[bytes]]


def upload(
    repository: Repository, blob: Blob, *, advance: Advance, source: str | None = None
) -> Outcome:
    """Bring ``blob`` into the repository; ``source`` is one that may have it already.

    Raises SdkError NETWORK when no attempt came through, REGISTRY_DENIED, REGISTRY_FAILED, and
    what ``chunks`` raises.
    """
    counted = Counted(advance)
    location = ""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            location, offset = _resume(repository, blob, location) if location else ("", 0)
            if not location:
                if repository.has_blob(blob.digest):
                    counted.reached(blob.size)
                    return Outcome.THERE
                location = _begin(repository, blob, source)
                if not location:
                    counted.reached(blob.size)
                    return Outcome.MOUNTED
            location = _send(repository, location, _Rest(blob, offset, counted))
            _finish(repository, location, blob.digest)
            return Outcome.PUSHED
        except Interrupted as error:
            if attempt == ATTEMPTS:
                raise _given_up(repository, blob, error) from error
            if isinstance(error, Busy) and error.answer.status in _LOST:
                location = ""  # the next attempt begins anew
            repository.transport.sleep(error.wait(attempt))
    raise AssertionError("the loop returns or raises")


def upload_bytes(repository: Repository, data: bytes) -> None:
    """Bring a small blob, such as a configuration, into the repository."""
    blob = Blob(sha256(data), len(data), lambda: iter([data]))
    upload(repository, blob, advance=lambda _amount: None)


@dataclass(slots=True)
class _Rest:
    """A blob from ``offset`` to its end, as a request's body."""

    blob: Blob
    offset: int
    counted: Counted

    def __len__(self) -> int:
        return self.blob.size - self.offset

    def __iter__(self) -> Iterator[bytes]:
        place = 0
        for chunk in self.blob.chunks():
            skipped = max(self.offset - place, 0)
            # there is a time to send a piece in: a slow line must be able to
            for start in range(skipped, len(chunk), _PIECE):
                end = min(start + _PIECE, len(chunk))
                yield chunk[start:end]
                self.counted.reached(place + end)
            place += len(chunk)


def _begin(repository: Repository, blob: Blob, source: str | None) -> str:
    """The address of a new upload; empty when the registry mounted the blob instead."""
    query = {"mount": blob.digest, "from": source} if source else {}
    url = repository.url("blobs/uploads") + (f"?{urlencode(query)}" if query else "")
    answer = repository.transport.ask("POST", url, doing=_DOING, expected=_BEGUN)
    if answer.status in CREATED and query:
        return ""
    return _location(repository, answer)


def _resume(repository: Repository, blob: Blob, location: str) -> tuple[str, int]:
    """Where a broken upload goes on and how much of it is there; no address: it does not."""
    answer = repository.transport.once("GET", location)
    match = _RANGE.fullmatch(answer.headers.get("Range", ""))
    # "0-0" says one byte or none: which of them, nobody can tell
    if answer.status not in _TAKEN or match is None or match[1] == "0":
        return "", 0
    offset = int(match[1]) + 1
    if offset > blob.size:
        return "", 0
    told = answer.headers.get("Location")
    return (_location(repository, answer) if told else location), offset


def _send(repository: Repository, location: str, rest: _Rest) -> str:
    if not rest and rest.offset:
        return location
    headers = {"Content-Type": _BYTES}
    if rest.offset:
        headers["Content-Range"] = f"{rest.offset}-{rest.blob.size - 1}"
    answer = repository.transport.once("PATCH", location, headers=headers, body=rest)
    return _location(repository, _settled(repository, answer, _TAKEN))


def _finish(repository: Repository, location: str, digest: str) -> None:
    separator = "&" if urlsplit(location).query else "?"
    answer = repository.transport.once(
        "PUT",
        f"{location}{separator}{urlencode({'digest': digest})}",
        headers={"Content-Type": _BYTES},
    )
    _settled(repository, answer, STORED)


def _settled(repository: Repository, answer: Answer, expected: frozenset[int]) -> Answer:
    if answer.status in expected:
        return answer
    if answer.status in RETRIED | _LOST:
        raise Busy(answer)
    return repository.transport.checked(answer, doing=_DOING, expected=expected)


def _given_up(repository: Repository, blob: Blob, error: Interrupted) -> SdkError:
    if isinstance(error, Busy):
        answer = error.answer
        return failures.failed(
            repository.reference, _DOING, answer.status, answer.body, asked=error.asked
        )
    why = f"{blob.digest}: {error} ({ATTEMPTS} attempts)."
    return failures.network(repository.reference, _DOING, why)


def _location(repository: Repository, answer: Answer) -> str:
    return repository.transport.resolve(answer.headers.get("Location"), answer)
