"""What refers to an image in a registry (OCI 1.1): attaching to it, and asking what is attached.

A registry that keeps referrers by itself says ``OCI-Subject`` when it takes one. For any other
the client keeps them, in an index under the tag ``sha256-<digest>``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from lls_provider.image.media import INDEX_TYPE
from lls_provider.image.model import canonical
from lls_provider.image.registry import failures
from lls_provider.image.registry.repository import OK
from lls_provider.image.registry.upload import upload_bytes

if TYPE_CHECKING:
    from lls_provider.image.model import JsonObject
    from lls_provider.image.registry.repository import Found, Repository
    from lls_provider.image.sbom import Artifact

_SUBJECT_HEADER = "OCI-Subject"
_ROUNDS = 4  # of writing the index, when others write it too
# how registries say that they do not know the address of referrers
_UNKNOWN = frozenset({400, 404, 405, 406})


def attach(repository: Repository, subject: str, artifact: Artifact) -> None:
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
    raise failures.protocol(
        repository.reference,
        f"the tag {tag} does not keep what is put there ({_ROUNDS} attempts)",
    )


def _index(repository: Repository, found: Found | None) -> JsonObject:
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
        raise failures.protocol(repository.reference, "its list of referrers is no index")
    return entries


def _tag(digest: str) -> str:
    return digest.replace(":", "-")
