"""One repository of a registry: manifests and blobs by name, every digest verified.

A blob that exists is not uploaded; an upload that breaks off is resumed. An incomplete blob has no
name in a registry: what is broken off leaves an upload, which the registry forgets after a while.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from lls_provider.image.image import INDEX_TYPES, MANIFEST_TYPE, MANIFEST_TYPES, sha256
from lls_provider.image.transports.registry import errors
from lls_provider.image.transports.registry.http import (
    RegistryBusy,
    RegistryClient,
    RegistryTimeouts,
)
from lls_provider.image.transports.registry.reference import is_digest
from lls_provider.system.http import ATTEMPTS, RETRIED, Counted, Interrupted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from lls_provider.errors import SdkError
    from lls_provider.image.transports.registry.http import RegistryResponse
    from lls_provider.image.transports.registry.reference import Reference
    from lls_provider.progress import Advance


_ACCEPT = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))
_DIGEST_HEADER = "Docker-Content-Digest"
OK = frozenset({200})
CREATED = frozenset({201})
# what registries answer to a manifest or blob that they have stored: 201 by the specification
STORED = CREATED | {200, 202, 204}
FOUND_OR_NOT = frozenset({200, 404})
_CHANGED = frozenset({412})  # it is no longer as it was read


@dataclass(frozen=True, slots=True)
class ManifestBytes:
    """A manifest or an index: its exact bytes."""

    data: bytes
    media_type: str

    @classmethod
    def of(cls, data: bytes, content_type: str = "") -> ManifestBytes:
        """A manifest of the type that it says; else of the one that the registry given."""
        try:
            media_type = json.loads(data).get("mediaType")
        except (ValueError, RecursionError, AttributeError):
            media_type = None  # the reader of the document refuses it, with its name
        plain = content_type.partition(";")[0].strip()
        return cls(data, media_type if isinstance(media_type, str) else plain or MANIFEST_TYPE)

    @property
    def digest(self) -> str:
        """The digest of the bytes."""
        return sha256(self.data)


@dataclass(frozen=True, slots=True)
class TaggedManifest:
    """A manifest, and what the registry calls this version of it (empty: nothing)."""

    manifest: ManifestBytes
    etag: str


class Repository:
    """The repository of ``reference``, opened for reading or, with ``push``, for writing.

    ``sources`` are other repositories of the registry whose blobs may be mounted. Close it, or
    use it as a context.
    """

    def __init__(
        self,
        reference: Reference,
        *,
        push: bool = False,
        sources: Sequence[str] = (),
        insecure: bool = False,
        limits: RegistryTimeouts | None = None,
    ) -> None:
        self.reference = reference
        actions = "pull,push" if push else "pull"
        self.transport = RegistryClient(
            reference,
            (
                f"repository:{reference.repository}:{actions}",
                *(f"repository:{source}:pull" for source in sources),
            ),
            insecure=insecure,
            limits=limits,
        )

    def __enter__(self) -> Repository:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.transport.close()

    def url(self, kind: str, name: str = "") -> str:
        """The address of a manifest, a blob or the place for uploads."""
        path = f"/v2/{self.reference.repository}/{kind}/{quote(name, safe=':')}"
        return self.transport.url(path)

    def manifest(self, target: str) -> ManifestBytes:
        """The manifest or index with the tag or digest ``target``.

        Raises SdkError IMAGE_MISSING, REGISTRY_DENIED, NETWORK, and REGISTRY_FAILED when it has
        another digest than was requested.
        """
        return self._verified(self._get_manifest(target, OK), target)

    def find_manifest(self, target: str) -> TaggedManifest | None:
        """As `manifest`; None if there is none."""
        answer = self._get_manifest(target, FOUND_OR_NOT)
        if answer.status not in OK:
            return None
        return TaggedManifest(self._verified(answer, target), answer.headers.get("ETag", ""))

    def _get_manifest(self, target: str, expected: frozenset[int]) -> RegistryResponse:
        return self.transport.ask(
            "GET",
            self.url("manifests", target),
            action="read",
            expected=expected,
            headers={"Accept": _ACCEPT},
        )

    def _verified(self, answer: RegistryResponse, target: str) -> ManifestBytes:
        expected = target if is_digest(target) else answer.headers.get(_DIGEST_HEADER, "")
        found = sha256(answer.body)
        if is_digest(expected) and found != expected:
            raise errors.protocol_error(
                self.reference, f"the manifest {expected} arrived with the digest {found}"
            )
        return ManifestBytes.of(answer.body, answer.headers.get("Content-Type", ""))

    def put_manifest(self, target: str, data: bytes, media_type: str) -> RegistryResponse:
        """Store a manifest under a tag or its digest. Raises what `manifest` raises."""
        return self._put_manifest(target, data, {"Content-Type": media_type}, STORED)

    def replace_manifest(
        self, target: str, data: bytes, media_type: str, conditions: Mapping[str, str]
    ) -> bool:
        """Store a manifest if the ``conditions`` (headers) hold; whether they did."""
        headers = {"Content-Type": media_type, **conditions}
        answer = self._put_manifest(target, data, headers, STORED | _CHANGED)
        return answer.status in STORED

    def _put_manifest(
        self, target: str, data: bytes, headers: Mapping[str, str], expected: frozenset[int]
    ) -> RegistryResponse:
        answer = self.transport.ask(
            "PUT",
            self.url("manifests", target),
            action="push",
            expected=expected,
            headers=headers,
            body=data,
        )
        stored = answer.headers.get(_DIGEST_HEADER, "")
        if stored and answer.status in STORED and stored != sha256(data):
            raise errors.protocol_error(
                self.reference,
                f"it stored the manifest {sha256(data)} under another digest, {stored:.100}",
            )
        return answer

    def blob(self, digest: str) -> bytes:
        """A small blob, not yet verified. Raises what `manifest` raises."""
        url = self.url("blobs", digest)
        return self.transport.ask("GET", url, action="read", expected=OK).body

    def has_blob(self, digest: str) -> bool:
        """Whether the repository has the blob."""
        answer = self.transport.ask(
            "HEAD", self.url("blobs", digest), action="push", expected=FOUND_OR_NOT
        )
        return answer.status in OK


_BEGUN = frozenset({201, 202})
_TAKEN = frozenset({201, 202, 204})
# an upload that the registry has lost, holds otherwise than we think, or got damaged
_LOST = frozenset({400, 404, 416})
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")
_BYTES = "application/octet-stream"
_ACTION = "push"
_PIECE = 128 << 10


class UploadOutcome(Enum):
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
) -> UploadOutcome:
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
                    return UploadOutcome.THERE
                location = _begin(repository, blob, source)
                if not location:
                    counted.reached(blob.size)
                    return UploadOutcome.MOUNTED
            location = _send(repository, location, _Rest(blob, offset, counted))
            _finish(repository, location, blob.digest)
            return UploadOutcome.PUSHED
        except Interrupted as error:
            if attempt == ATTEMPTS:
                raise _given_up(repository, blob, error) from error
            if isinstance(error, RegistryBusy) and error.answer.status in _LOST:
                location = ""  # the next attempt begins again
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
    answer = repository.transport.ask("POST", url, action=_ACTION, expected=_BEGUN)
    if answer.status in CREATED and query:
        return ""
    return _location(repository, answer)


def _resume(repository: Repository, blob: Blob, location: str) -> tuple[str, int]:
    """Where a broken upload goes on and how much of it is there; no address: it does not."""
    answer = repository.transport.once("GET", location)
    match = _RANGE.fullmatch(answer.headers.get("Range", ""))
    # "0-0" says one byte or none: which of them cannot be known
    if answer.status not in _TAKEN or match is None or match[1] == "0":
        return "", 0
    offset = int(match[1]) + 1
    if offset > blob.size:
        return "", 0
    renewed = answer.headers.get("Location")
    return (_location(repository, answer) if renewed else location), offset


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


def _settled(
    repository: Repository, answer: RegistryResponse, expected: frozenset[int]
) -> RegistryResponse:
    if answer.status in expected:
        return answer
    if answer.status in RETRIED | _LOST:
        raise RegistryBusy(answer)
    return repository.transport.checked(answer, action=_ACTION, expected=expected)


def _given_up(repository: Repository, blob: Blob, error: Interrupted) -> SdkError:
    if isinstance(error, RegistryBusy):
        answer = error.answer
        return errors.request_failed(
            repository.reference, _ACTION, answer.status, answer.body, retry_after=error.asked
        )
    why = f"{blob.digest}: {error} ({ATTEMPTS} attempts)."
    return errors.network_error(repository.reference, _ACTION, why)


def _location(repository: Repository, answer: RegistryResponse) -> str:
    return repository.transport.resolve(answer.headers.get("Location"), answer)
