"""One repository of a registry: manifests and blobs by name, every digest verified."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from lls_provider.image.media import INDEX_TYPES, MANIFEST_TYPE, MANIFEST_TYPES
from lls_provider.image.model import sha256
from lls_provider.image.reference import is_digest
from lls_provider.image.registry import failures
from lls_provider.image.registry.transport import Limits, Transport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from lls_provider.image.reference import Reference
    from lls_provider.image.registry.transport import Answer

_ACCEPT = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))
_DIGEST_HEADER = "Docker-Content-Digest"
OK = frozenset({200})
CREATED = frozenset({201})
# what registries answer to a manifest or blob that they have stored: 201 by the specification
STORED = CREATED | {200, 202, 204}
FOUND_OR_NOT = frozenset({200, 404})
_CHANGED = frozenset({412})  # it is no longer as it was read


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index: its exact bytes."""

    data: bytes
    media_type: str

    @classmethod
    def of(cls, data: bytes, content_type: str = "") -> Manifest:
        """A manifest of the type that it tells; else of the one that the registry told."""
        try:
            told = json.loads(data).get("mediaType")
        except (ValueError, RecursionError, AttributeError):
            told = None  # the reader of the document refuses it, with its name
        plain = content_type.partition(";")[0].strip()
        return cls(data, told if isinstance(told, str) else plain or MANIFEST_TYPE)

    @property
    def digest(self) -> str:
        """The digest of the bytes."""
        return sha256(self.data)


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest, and what the registry calls this version of it (empty: nothing)."""

    manifest: Manifest
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
        limits: Limits | None = None,
    ) -> None:
        self.reference = reference
        actions = "pull,push" if push else "pull"
        self.transport = Transport(
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

    def manifest(self, target: str) -> Manifest:
        """The manifest or index with the tag or digest ``target``.

        Raises SdkError IMAGE_MISSING, REGISTRY_DENIED, NETWORK, and REGISTRY_FAILED when it has
        another digest than was asked for.
        """
        return self._verified(self._get_manifest(target, OK), target)

    def find_manifest(self, target: str) -> Found | None:
        """As `manifest`; None when there is none."""
        answer = self._get_manifest(target, FOUND_OR_NOT)
        if answer.status not in OK:
            return None
        return Found(self._verified(answer, target), answer.headers.get("ETag", ""))

    def _get_manifest(self, target: str, expected: frozenset[int]) -> Answer:
        return self.transport.ask(
            "GET",
            self.url("manifests", target),
            doing="read",
            expected=expected,
            headers={"Accept": _ACCEPT},
        )

    def _verified(self, answer: Answer, target: str) -> Manifest:
        told = target if is_digest(target) else answer.headers.get(_DIGEST_HEADER, "")
        found = sha256(answer.body)
        if is_digest(told) and found != told:
            raise failures.protocol(
                self.reference, f"the manifest {told} arrived with the digest {found}"
            )
        return Manifest.of(answer.body, answer.headers.get("Content-Type", ""))

    def put_manifest(self, target: str, data: bytes, media_type: str) -> Answer:
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
    ) -> Answer:
        answer = self.transport.ask(
            "PUT",
            self.url("manifests", target),
            doing="push",
            expected=expected,
            headers=headers,
            body=data,
        )
        told = answer.headers.get(_DIGEST_HEADER, "")
        if told and answer.status in STORED and told != sha256(data):
            raise failures.protocol(
                self.reference,
                f"it stored the manifest {sha256(data)} under another digest, {told:.100}",
            )
        return answer

    def blob(self, digest: str) -> bytes:
        """A small blob, not yet verified. Raises what `manifest` raises."""
        url = self.url("blobs", digest)
        return self.transport.ask("GET", url, doing="read", expected=OK).body

    def has_blob(self, digest: str) -> bool:
        """Whether the repository has the blob."""
        answer = self.transport.ask(
            "HEAD", self.url("blobs", digest), doing="push", expected=FOUND_OR_NOT
        )
        return answer.status in OK
