"""What refers to an image in a registry (OCI 1.1): attaching its SBOM, listing what is attached.

A registry that keeps referrers itself says ``OCI-Subject`` when it takes one. For any other
the client keeps them, in an index under the tag ``sha256-<digest>``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from lls_provider.bundle.sbom import MEDIA_TYPE
from lls_provider.contract.names import IMAGE_ROOT, SBOM_FILE
from lls_provider.image.compose import PREFIX
from lls_provider.image.image import (
    ANNOTATION,
    EMPTY,
    EMPTY_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    PLAIN_LAYER_TYPES,
    TreeLayer,
    canonical,
    descriptor,
    sha256,
)
from lls_provider.image.tar import find_member
from lls_provider.image.transports.registry import errors
from lls_provider.image.transports.registry.repository import OK, upload_bytes

if TYPE_CHECKING:
    from lls_provider.image.image import Image, JsonObject
    from lls_provider.image.transports.registry.repository import Repository, TaggedManifest


_SUBJECT_HEADER = "OCI-Subject"
_ROUNDS = 4  # of writing the index, when others write it too
# how registries say that they do not know the address of referrers
_UNKNOWN = frozenset({400, 404, 405, 406})


def attach(repository: Repository, subject: str, artifact: ReferrerArtifact) -> None:
    """Bring ``artifact``, which refers to the manifest ``subject``, into the repository.

    What else is attached stays. Raises SdkError NETWORK, REGISTRY_DENIED, REGISTRY_FAILED.
    """
    for blob in artifact.blobs:
        upload_bytes(repository, blob)
    described = artifact.described
    answer = repository.put_manifest(described["digest"], artifact.manifest, described["mediaType"])
    if answer.headers.get(_SUBJECT_HEADER) != subject:
        _list(repository, subject, described)


def attached(repository: Repository, subject: str, artifact_type: str) -> bool:
    """Whether an artifact of this type refers to the manifest ``subject``.

    Asks once or twice. Raises what `attach` raises.
    """
    query = urlencode({"artifactType": artifact_type})
    answer = repository.transport.ask(
        "GET",
        f"{repository.url('referrers', subject)}?{query}",
        doing="read the referrers of",
        expected=OK | _UNKNOWN,
        headers={"Accept": INDEX_TYPE},
    )
    if answer.status in OK:
        entries = _entries(repository, answer.body)
    else:
        found = repository.find_manifest(_tag(subject))
        entries = _entries(repository, found.manifest.data) if found is not None else []
    # a registry need not look at the query
    return any(it.get("artifactType") == artifact_type for it in entries)


def _list(repository: Repository, subject: str, described: JsonObject) -> None:
    """Add an entry to the index under the fallback tag.

    Two clients that write at once could lose an entry, so the index is written only where it is
    as it was read (for registries that look at that) and read again afterwards.
    """
    tag = _tag(subject)
    for _ in range(_ROUNDS):
        found = repository.find_manifest(tag)
        index = _index(repository, found)
        if any(it.get("digest") == described["digest"] for it in index["manifests"]):
            return
        index["manifests"].append(described)
        headers = {"If-Match": found.etag} if found is not None and found.etag else {}
        repository.replace_manifest(tag, canonical(index), INDEX_TYPE, headers)
    raise errors.protocol_error(
        repository.reference,
        f"the tag {tag} does not keep what is put there ({_ROUNDS} attempts)",
    )


def _index(repository: Repository, found: TaggedManifest | None) -> JsonObject:
    if found is None:
        return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}
    _entries(repository, found.manifest.data)
    index: JsonObject = json.loads(found.manifest.data)
    return index


def _entries(repository: Repository, data: bytes) -> list[JsonObject]:
    """The entries of an index. Raises SdkError REGISTRY_FAILED when it is none."""
    try:
        index: Any = json.loads(data)
    except (ValueError, RecursionError):
        index = None
    entries = index.get("manifests") if isinstance(index, dict) else None
    if not isinstance(entries, list) or not all(isinstance(it, dict) for it in entries):
        raise errors.protocol_error(repository.reference, "its list of referrers is not an index")
    return entries


def _tag(digest: str) -> str:
    return digest.replace(":", "-")


LABEL = f"{PREFIX}.sbom"
_PLACE = f"{IMAGE_ROOT[1:]}/{SBOM_FILE}"
_LAYER = -2  # the metadata's: only the provider's own comes after it
_LIMIT = 16 << 20


@dataclass(frozen=True, slots=True)
class ReferrerArtifact:
    """A document that refers to an image: its manifest and the blobs that this names."""

    type: str
    manifest: bytes
    blobs: tuple[bytes, ...]

    @property
    def described(self) -> JsonObject:
        """Its entry in a list of referrers."""
        return {**descriptor(MANIFEST_TYPE, self.manifest), "artifactType": self.type}


def read_sbom(image: Image) -> bytes | None:
    """The SBOM that ``image`` says it has, where we put it; None when it does not exist.

    Raises what reading its layer raises.
    """
    told = image.labels.get(LABEL)
    if told is None or len(image.layers) < -_LAYER:
        return None
    layer = image.layers[_LAYER]
    data: bytes | None = None
    if isinstance(layer, TreeLayer):
        data = layer.tree.read(_PLACE)
    elif layer.media_type in PLAIN_LAYER_TYPES:
        data = find_member(layer.chunks(), _PLACE, limit=_LIMIT)
    return data if data is not None and sha256(data) == told else None


def sbom_artifact(image: Image) -> ReferrerArtifact | None:
    """What attaches the SBOM to ``image``; equal images have equal artifacts."""
    data = read_sbom(image)
    if data is None:
        return None
    manifest: JsonObject = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": MEDIA_TYPE,
        "config": descriptor(EMPTY_TYPE, EMPTY),
        "layers": [
            {**descriptor(MEDIA_TYPE, data), "annotations": {f"{ANNOTATION}.title": SBOM_FILE}}
        ],
        "subject": descriptor(image.media_type, image.manifest_bytes()),
    }
    created = image.config.get("created")
    if isinstance(created, str):
        manifest["annotations"] = {f"{ANNOTATION}.created": created}
    return ReferrerArtifact(MEDIA_TYPE, canonical(manifest), (EMPTY, data))
