"""Transfers images to and from a registry: `push` and `pull`.

A push sets the tag last, so no tag ever names an incomplete image. A pull downloads a layer only
when its bytes are read. The cache keeps everything under its digest: what it holds needs no
network, and an interrupted download is resumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.bundle.sbom import MEDIA_TYPE
from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.image import BlobLayer, Image, sha256
from lls_provider.image.manifest import Origin, RawDocument, manifests
from lls_provider.image.transports.layout import DOCUMENT_LIMIT, StoredManifest
from lls_provider.image.transports.registry import errors
from lls_provider.image.transports.registry.reference import is_digest
from lls_provider.image.transports.registry.referrers import attach, attached, sbom_artifact
from lls_provider.image.transports.registry.repository import (
    Blob,
    ManifestBytes,
    Repository,
    UploadOutcome,
    upload,
    upload_bytes,
)
from lls_provider.progress import SILENT, shown_size
from lls_provider.system.cache import cache_root, writing
from lls_provider.system.files import write_atomically
from lls_provider.wheels.download import download

if TYPE_CHECKING:
    from lls_provider.image.image import Layer, Platform
    from lls_provider.image.manifest import Content, Descriptor
    from lls_provider.image.transports.registry.http import RegistryTimeouts
    from lls_provider.image.transports.registry.reference import Reference
    from lls_provider.progress import Progress


def push(
    content: Content,
    reference: Reference,
    *,
    insecure: bool = False,
    progress: Progress = SILENT,
    limits: RegistryTimeouts | None = None,
) -> str:
    """Push ``content`` as ``reference``; returns its digest.

    Blobs that exist are not sent. The manifests of an index come by their digests; what is
    tagged comes last, before it the SBOM of each image is attached. Raises SdkError NETWORK,
    REGISTRY_DENIED, REGISTRY_FAILED, and what a layer raises whose files changed meanwhile.
    Whatever it raises, the tag is as it was before.
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
    """The image that ``reference`` names; of several, the one for ``platform`` (else ours).

    Raises SdkError IMAGE_MISSING, REGISTRY_DENIED, REGISTRY_FAILED, NETWORK, and IMAGE_INVALID
    for everything that is wrong in the image. Reading a layer raises the same.
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
    """What ``reference`` names, an image or an index. Raises as `pull`."""
    store = _Remote(Repository(reference, insecure=insecure, limits=limits), progress)
    root = store.root()
    return StoredManifest(
        store, RawDocument(root.data, _origin(reference, root.digest)), root.media_type
    )


def sbom_attached(image: Image) -> bool | None:
    """Whether the registry that ``image`` was read from lists an SBOM of it, asked by digest.

    None for an image from elsewhere, and where the registry does not answer that. Raises
    SdkError NETWORK.
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


@dataclass(frozen=True, slots=True)
class RemoteLayer:
    """A layer in a registry, loaded into the cache when it is read."""

    repository: Repository
    digest: str
    size: int
    media_type: str
    diff_id: str
    title: str = ""
    progress: Progress = SILENT

    def chunks(self) -> Iterator[bytes]:
        """The stored bytes, verified. Raises what `pull` raises, and NO_SPACE."""
        path = _cached(self.digest)
        if not path.is_file():
            self._load(path)
        stored = BlobLayer(path, self.digest, self.size, self.media_type, self.diff_id)
        try:
            yield from stored.chunks()
        except SdkError as error:
            if error.code is Code.IMAGE_INVALID:  # the disk, or someone, has damaged it
                path.unlink(missing_ok=True)
            raise

    def _load(self, path: Path) -> None:
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
    """Attach the SBOM that is in the image, before the tag: so the tag never lacks it.

    It is in the image anyhow: a registry that refuses artifacts does not stop the push.
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
    """The repository that a layer of a base comes from, when it is one of the same registry."""
    if not isinstance(layer, RemoteLayer):
        return None
    origin = layer.repository.reference
    here = origin.registry == reference.registry and origin.repository != reference.repository
    return origin.repository if here else None


@dataclass(frozen=True, slots=True)
class _Remote:
    """The store of blobs that a repository is."""

    repository: Repository
    progress: Progress

    def root(self) -> ManifestBytes:
        """What the reference names, without asking when its digest is in the cache."""
        target = self.repository.reference.target
        kept = _read_cached(target) if is_digest(target) else None
        if kept is not None:
            return ManifestBytes.of(kept)
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
    return cache_root() / "blobs" / "sha256" / digest.removeprefix("sha256:")


def _read_cached(digest: str) -> bytes | None:
    """A document of the cache; one that is damaged is as good as none."""
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
