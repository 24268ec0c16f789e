"""One repository of a registry: manifests and blobs by name, with every digest verified.

A blob that exists is not uploaded; an interrupted upload is resumed. An incomplete blob has no name
in a registry: an abandoned upload expires.
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
# the statuses of registries for a stored manifest or blob: 201 by the specification
STORED = CREATED | {200, 202, 204}
FOUND_OR_NOT = frozenset({200, 404})
_CHANGED = frozenset({412})  # it has changed since it was read


@dataclass(frozen=True, slots=True)
class ManifestBytes:
    """A manifest or an index: its exact bytes."""

    data: bytes
    media_type: str

    @classmethod
    def of(cls, data: bytes, content_type: str = "") -> ManifestBytes:
        """Return a manifest of the type that it names, else of the registry's type."""
        try:
            media_type = json.loads(data).get("mediaType")
        except (ValueError, RecursionError, AttributeError):
            media_type = None  # the reader of the document reports the error
        plain = content_type.partition(";")[0].strip()
        return cls(data, media_type if isinstance(media_type, str) else plain or MANIFEST_TYPE)

    @property
    def digest(self) -> str:
        """The digest of the bytes."""
        return sha256(self.data)


@dataclass(frozen=True, slots=True)
class TaggedManifest:
    """A manifest, and the registry's ETag for it (empty if none)."""

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
        """Return the URL of a manifest, a blob or the uploads."""
        path = f"/v2/{self.reference.repository}/{kind}/{quote(name, safe=':')}"
        return self.transport.url(path)

    def manifest(self, target: str) -> ManifestBytes:
        """Return the manifest or index with the tag or digest ``target``.

        Raises SdkError IMAGE_MISSING, REGISTRY_DENIED, NETWORK, and REGISTRY_FAILED when its digest
        differs from the requested one.
        """
        return self._verified(self._get_manifest(target, OK), target)

    def find_manifest(self, target: str) -> TaggedManifest | None:
        """Like `manifest`; None if there is none."""
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
        """Store a manifest if the ``conditions`` (headers) hold; return whether they did."""
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
        """Return a small blob, unverified. Raises what `manifest` raises."""
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
# an upload that the registry lost, that is at another offset, or that was damaged
_LOST = frozenset({400, 404, 416})
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")
_BYTES = "application/octet-stream"
_ACTION = "push"
_PIECE = 128 << 10


class UploadOutcome(Enum):
    """The outcome of an upload."""

    THERE = "there already"
    MOUNTED = "taken from another repository"
    PUSHED = "pushed"


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes to upload; each call of ``chunks`` yields them from the start."""

    digest: str
    size: int
    chunks: Callable[[], Iterator[bytes]]


def upload(
    repository: Repository, blob: Blob, *, advance: Advance, source: str | None = None
) -> UploadOutcome:
    """Upload ``blob``; ``source`` is a repository that may already have it.

    Raises SdkError NETWORK when no attempt succeeded, REGISTRY_DENIED, REGISTRY_FAILED, and what
    ``chunks`` raises.
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
                location = ""  # the next attempt starts over
            repository.transport.sleep(error.wait(attempt))
    raise AssertionError("the loop returns or raises")


def upload_bytes(repository: Repository, data: bytes) -> None:
    """Upload a small blob, such as a configuration."""
    blob = Blob(sha256(data), len(data), lambda: iter([data]))
    upload(repository, blob, advance=lambda _amount: None)


@dataclass(slots=True)
class _Rest:
    """A blob from ``offset`` to its end, as a request body."""

    blob: Blob
    offset: int
    counted: Counted

    def __len__(self) -> int:
        return self.blob.size - self.offset

    def __iter__(self) -> Iterator[bytes]:
        place = 0
        for chunk in self.blob.chunks():
            skipped = max(self.offset - place, 0)
            # each piece has a time limit that a slow line must be able to meet
            for start in range(skipped, len(chunk), _PIECE):
                end = min(start + _PIECE, len(chunk))
                yield chunk[start:end]
                self.counted.reached(place + end)
            place += len(chunk)


def _begin(repository: Repository, blob: Blob, source: str | None) -> str:
    """Return the URL of a new upload; empty if the registry mounted the blob instead."""
    query = {"mount": blob.digest, "from": source} if source else {}
    url = repository.url("blobs/uploads") + (f"?{urlencode(query)}" if query else "")
    answer = repository.transport.ask("POST", url, action=_ACTION, expected=_BEGUN)
    if answer.status in CREATED and query:
        return ""
    return _location(repository, answer)


def _resume(repository: Repository, blob: Blob, location: str) -> tuple[str, int]:
    """Return the URL and the offset of an interrupted upload; no URL if it cannot be resumed."""
    answer = repository.transport.once("GET", location)
    match = _RANGE.fullmatch(answer.headers.get("Range", ""))
    # "0-0" means one byte or none; they cannot be distinguished
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
