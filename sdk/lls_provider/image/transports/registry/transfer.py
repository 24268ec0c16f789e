"""Transfers images to and from a registry, with the SBOM that refers to each of them.

A push sets the tag last, so no tag ever names an incomplete image. A pull downloads a layer only
when its bytes are read. The cache keeps everything under its digest: what it holds needs no
network, and an interrupted download is resumed.

An SBOM is attached as a referrer (OCI 1.1). A registry that maintains the list of referrers
itself answers with ``OCI-Subject``. For any other registry the client maintains the list, as an
index under the tag ``sha256-<digest>``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from lls_provider.bundle.sbom import MEDIA_TYPE
from lls_provider.contract.names import IMAGE_ROOT, SBOM_FILE
from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.bundle_image import PREFIX
from lls_provider.image.image import (
    ANNOTATION,
    EMPTY,
    EMPTY_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    PLAIN_LAYER_TYPES,
    BlobLayer,
    Image,
    TreeLayer,
    canonical,
    descriptor,
    sha256,
)
from lls_provider.image.manifest import Origin, RawDocument, manifests
from lls_provider.image.tar import find_member
from lls_provider.image.transports.layout import DOCUMENT_LIMIT, StoredManifest
from lls_provider.image.transports.registry import errors
from lls_provider.image.transports.registry.reference import is_digest
from lls_provider.image.transports.registry.repository import (
    OK,
    Blob,
    ManifestBytes,
    Repository,
    UploadOutcome,
    upload,
    upload_bytes,
)
from lls_provider.progress import SILENT, shown_size
from lls_provider.system.cache import writing
from lls_provider.system.cache_sections import cache_section
from lls_provider.system.files import write_atomically

if TYPE_CHECKING:
    from lls_provider.image.image import JsonObject, Layer, Platform
    from lls_provider.image.manifest import Content, Descriptor
    from lls_provider.image.transports.registry.http import RegistryTimeouts
    from lls_provider.image.transports.registry.reference import Reference
    from lls_provider.image.transports.registry.repository import TaggedManifest
    from lls_provider.progress import Progress

LABEL = f"{PREFIX}.sbom"
_SBOM_PATH = f"{IMAGE_ROOT[1:]}/{SBOM_FILE}"
_SBOM_LAYER = -2  # the metadata layer; only the layer of the provider's own wheel follows
_SBOM_LIMIT = 16 << 20
_SUBJECT_HEADER = "OCI-Subject"
_ROUNDS = 4  # attempts to write the index while other clients write it too
# how registries answer that they have no referrers API
_UNKNOWN = frozenset({400, 404, 405, 406})


def push(
    content: Content,
    reference: Reference,
    *,
    insecure: bool = False,
    progress: Progress = SILENT,
    limits: RegistryTimeouts | None = None,
) -> str:
    """Push ``content`` as ``reference``; returns its digest.

    Existing blobs are not sent. The manifests of an index are pushed by digest and the SBOM of each
    image is attached before the tag is set. Raises SdkError NETWORK, REGISTRY_DENIED,
    REGISTRY_FAILED, and what a layer raises whose files have changed. After an error the tag is
    unchanged.
    """
    every = list(manifests(content))
    layers = (layer for manifest in every for layer in manifest.layers)
    sources = {source for layer in layers if (source := _mountable_source(layer, reference))}
    with Repository(
        reference, push=True, sources=sorted(sources), insecure=insecure, limits=limits
    ) as repository:
        sent: set[str] = set()
        for manifest in every:
            for layer in manifest.layers:
                if layer.digest not in sent:
                    _push_layer(repository, layer, progress)
                    sent.add(layer.digest)
            for document in manifest.documents():
                upload_bytes(repository, document)
            if isinstance(manifest, Image):
                _attach_sbom(repository, manifest, progress)
            target = reference.target if manifest is content else manifest.digest
            repository.put_manifest(target, manifest.manifest_bytes(), manifest.media_type)
    return content.digest


def pull(
    reference: Reference,
    *,
    platform: Platform | None = None,
    insecure: bool = False,
    progress: Progress = SILENT,
    limits: RegistryTimeouts | None = None,
) -> Image:
    """Return the image ``reference``; of several, the one for ``platform`` (default: this
    machine's).

    Raises SdkError IMAGE_MISSING, REGISTRY_DENIED, REGISTRY_FAILED, NETWORK, and IMAGE_INVALID for
    every error in the image. Reading a layer raises the same.
    """
    found = find_remote(reference, insecure=insecure, progress=progress, limits=limits)
    return found.image(platform)


def find_remote(
    reference: Reference,
    *,
    insecure: bool = False,
    progress: Progress = SILENT,
    limits: RegistryTimeouts | None = None,
) -> StoredManifest:
    """Find ``reference``, an image or an index. Raises what `pull` raises."""
    store = _Remote(Repository(reference, insecure=insecure, limits=limits), progress)
    root = store.root()
    return StoredManifest(
        store, RawDocument(root.data, _origin(reference, root.digest)), root.media_type
    )


def sbom_attached(image: Image) -> bool | None:
    """Whether the registry of ``image`` lists an SBOM for its digest.

    None for an image from another transport, or if the registry does not answer. Raises SdkError
    NETWORK.
    """
    layer = image.layers[0] if image.layers else None
    if not isinstance(layer, RemoteLayer):
        return None
    try:
        return attached(layer.repository, image.digest, MEDIA_TYPE)
    except SdkError as error:
        if error.code is Code.NETWORK:
            raise
        return None


def attach(repository: Repository, subject: str, artifact: ReferrerArtifact) -> None:
    """Push ``artifact``, which refers to the manifest ``subject``.

    Other attached artifacts stay. Raises SdkError NETWORK, REGISTRY_DENIED, REGISTRY_FAILED.
    """
    for blob in artifact.blobs:
        upload_bytes(repository, blob)
    described = artifact.described
    answer = repository.put_manifest(described["digest"], artifact.manifest, described["mediaType"])
    if answer.headers.get(_SUBJECT_HEADER) != subject:
        _add_to_index(repository, subject, described)


def attached(repository: Repository, subject: str, artifact_type: str) -> bool:
    """Whether an artifact of this type refers to the manifest ``subject``.

    Sends one or two requests. Raises what `attach` raises.
    """
    query = urlencode({"artifactType": artifact_type})
    answer = repository.transport.ask(
        "GET",
        f"{repository.url('referrers', subject)}?{query}",
        action="read the referrers of",
        expected=OK | _UNKNOWN,
        headers={"Accept": INDEX_TYPE},
    )
    if answer.status in OK:
        entries = _manifests_of(repository, answer.body)
    else:
        found = repository.find_manifest(_fallback_tag(subject))
        entries = _manifests_of(repository, found.manifest.data) if found is not None else []
    # a registry may ignore the query
    return any(it.get("artifactType") == artifact_type for it in entries)


@dataclass(frozen=True, slots=True)
class ReferrerArtifact:
    """A document that refers to an image: its manifest, and the blobs of the manifest."""

    type: str
    manifest: bytes
    blobs: tuple[bytes, ...]

    @property
    def described(self) -> JsonObject:
        """Its entry in a list of referrers."""
        return {**descriptor(MANIFEST_TYPE, self.manifest), "artifactType": self.type}


def read_sbom(image: Image) -> bytes | None:
    """Return the SBOM of an image of this SDK; None if it has none.

    Raises what reading its layer raises.
    """
    digest = image.labels.get(LABEL)
    if digest is None or len(image.layers) < -_SBOM_LAYER:
        return None
    layer = image.layers[_SBOM_LAYER]
    data: bytes | None = None
    if isinstance(layer, TreeLayer):
        data = layer.tree.read(_SBOM_PATH)
    elif layer.media_type in PLAIN_LAYER_TYPES:
        data = find_member(layer.chunks(), _SBOM_PATH, limit=_SBOM_LIMIT)
    return data if data is not None and sha256(data) == digest else None


def sbom_artifact(image: Image) -> ReferrerArtifact | None:
    """Return the artifact that attaches the SBOM; equal images have equal artifacts."""
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


@dataclass(frozen=True, slots=True)
class RemoteLayer:
    """A layer in a registry, downloaded into the cache when it is read."""

    repository: Repository
    digest: str
    size: int
    media_type: str
    diff_id: str
    title: str = ""
    progress: Progress = SILENT

    def chunks(self) -> Iterator[bytes]:
        """Yield the stored bytes, verified. Raises what `pull` raises, and NO_SPACE."""
        path = _cached(self.digest)
        if not path.is_file():
            self._load(path)
        stored = BlobLayer(path, self.digest, self.size, self.media_type, self.diff_id)
        try:
            yield from stored.chunks()
        except SdkError as error:
            if error.code is Code.IMAGE_INVALID:  # the cached file is damaged
                path.unlink(missing_ok=True)
            raise

    def _load(self, path: Path) -> None:
        from lls_provider.wheels.fetch import download

        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        reference = self.repository.reference
        try:
            with self.progress.task(f"pulling {self.digest[:19]}", self.size) as advance:
                download(
                    self.repository.url("blobs", self.digest),
                    path,
                    sha256=self.digest.removeprefix("sha256:"),
                    session=self.repository.transport,
                    timeout=self.repository.transport.timeout,
                    advance=advance,
                    size=self.size,
                    sleep=self.repository.transport.sleep,
                )
        except SdkError as error:
            if error.code is Code.HASH_MISMATCH:
                raise errors.protocol_error(
                    reference, f"a layer arrived with another digest\n{error.why}"
                ) from error
            if error.code is Code.NETWORK and error.where.image is None:
                raise errors.network_error(reference, "read a layer of", error.why) from error
            raise


def _attach_sbom(repository: Repository, image: Image, progress: Progress) -> None:
    """Attach the SBOM in the image before the tag is set, so a tagged image always has it.

    The image holds the SBOM too: a registry that refuses artifacts does not stop the push.
    """
    artifact = sbom_artifact(image)
    if artifact is None:
        return
    repository.put_manifest(image.digest, image.manifest_bytes(), image.media_type)
    try:
        attach(repository, image.digest, artifact)
    except SdkError as error:
        if error.code is Code.NETWORK:
            raise
        progress.warn(
            f"the SBOM is in the image, but {repository.reference.registry} does not take it as "
            f"attached to it: {error.why}"
        )


def _push_layer(repository: Repository, layer: Layer, progress: Progress) -> None:
    name = layer.title or "layer"
    with progress.task(f"pushing {name}", layer.size) as advance:
        blob = Blob(layer.digest, layer.size, layer.chunks)
        source = _mountable_source(layer, repository.reference)
        outcome = upload(repository, blob, advance=advance, source=source)
    if outcome is not UploadOutcome.PUSHED:
        progress.note(f"{name} ({shown_size(layer.size)}) is {outcome.value}")


def _mountable_source(layer: Layer, reference: Reference) -> str | None:
    """Return the repository of a base's layer if it is in the same registry."""
    if not isinstance(layer, RemoteLayer):
        return None
    origin = layer.repository.reference
    here = origin.registry == reference.registry and origin.repository != reference.repository
    return origin.repository if here else None


@dataclass(frozen=True, slots=True)
class _Remote:
    """A repository as a store of blobs."""

    repository: Repository
    progress: Progress

    def root(self) -> ManifestBytes:
        """Return the manifest of the reference, from the cache if its digest is there."""
        target = self.repository.reference.target
        cached = _read_cached(target) if is_digest(target) else None
        if cached is not None:
            return ManifestBytes.of(cached)
        found = self.repository.manifest(target)
        _write_cached(found.data)
        return found

    def document(self, described: Descriptor) -> RawDocument:
        source = _origin(self.repository.reference, described.digest)
        if described.size > DOCUMENT_LIMIT:
            source.refuse(f"it is larger than {DOCUMENT_LIMIT:,} bytes")
        data = _read_cached(described.digest)
        missing = data is None
        if data is None:
            data = self._fetch(described)
        described.verify(data, source)
        if missing:
            _write_cached(data)
        return RawDocument(data, source)

    def _fetch(self, described: Descriptor) -> bytes:
        if described.is_manifest:
            return self.repository.manifest(described.digest).data
        return self.repository.blob(described.digest)

    def layer(self, described: Descriptor, diff_id: str) -> Layer:
        return RemoteLayer(
            self.repository,
            described.digest,
            described.size,
            described.media_type,
            diff_id,
            progress=self.progress,
        )


def _origin(reference: Reference, digest: str) -> Origin:
    return Origin(
        digest,
        Where(image=str(reference)),
        "The image in the registry is damaged or not supported",
        "Push the image again, or name another one.",
    )


def _cached(digest: str) -> Path:
    return cache_section("blobs") / "sha256" / digest.removeprefix("sha256:")


def _read_cached(digest: str) -> bytes | None:
    """Return a document from the cache; None if it is missing or damaged."""
    try:
        data = _cached(digest).read_bytes()
    except OSError:
        return None
    return data if sha256(data) == digest else None


def _write_cached(data: bytes) -> None:
    path = _cached(sha256(data))
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)


def _add_to_index(repository: Repository, subject: str, described: JsonObject) -> None:
    """Add an entry to the index under the fallback tag.

    Two clients that write at the same time could lose an entry, so the index is written only if it
    is unchanged (in registries that support this) and read again afterwards.
    """
    tag = _fallback_tag(subject)
    for _ in range(_ROUNDS):
        found = repository.find_manifest(tag)
        index = _fallback_index(repository, found)
        if any(it.get("digest") == described["digest"] for it in index["manifests"]):
            return
        index["manifests"].append(described)
        headers = {"If-Match": found.etag} if found is not None and found.etag else {}
        repository.replace_manifest(tag, canonical(index), INDEX_TYPE, headers)
    raise errors.protocol_error(
        repository.reference,
        f"the tag {tag} does not keep what is put there ({_ROUNDS} attempts)",
    )


def _fallback_index(repository: Repository, found: TaggedManifest | None) -> JsonObject:
    if found is None:
        return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}
    _manifests_of(repository, found.manifest.data)
    index: JsonObject = json.loads(found.manifest.data)
    return index


def _manifests_of(repository: Repository, data: bytes) -> list[JsonObject]:
    """Return the entries of an index. Raises SdkError REGISTRY_FAILED for anything else."""
    try:
        index: Any = json.loads(data)
    except (ValueError, RecursionError):
        index = None
    entries = index.get("manifests") if isinstance(index, dict) else None
    if not isinstance(entries, list) or not all(isinstance(it, dict) for it in entries):
        raise errors.protocol_error(repository.reference, "its list of referrers is not an index")
    return entries


def _fallback_tag(digest: str) -> str:
    return digest.replace(":", "-")
