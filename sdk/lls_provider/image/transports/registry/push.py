"""The registry sink: pushes an image, its tag last, so that no tag names something incomplete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError
from lls_provider.image.image import Image
from lls_provider.image.manifest import manifests
from lls_provider.image.transports.registry.pull import RemoteLayer
from lls_provider.image.transports.registry.referrers import attach, sbom_artifact
from lls_provider.image.transports.registry.repository import (
    Blob,
    Repository,
    UploadOutcome,
    upload,
    upload_bytes,
)
from lls_provider.progress import SILENT, shown_size

if TYPE_CHECKING:
    from lls_provider.image.image import Layer
    from lls_provider.image.manifest import Content
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
    sources = {source for layer in layers if (source := _source(layer, reference))}
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
        source = _source(layer, repository.reference)
        outcome = upload(repository, blob, advance=advance, source=source)
    if outcome is not UploadOutcome.PUSHED:
        progress.note(f"{name} ({shown_size(layer.size)}) is {outcome.value}")


def _source(layer: Layer, reference: Reference) -> str | None:
    """The repository that a layer of a base comes from, when it is one of the same registry."""
    if not isinstance(layer, RemoteLayer):
        return None
    origin = layer.repository.reference
    here = origin.registry == reference.registry and origin.repository != reference.repository
    return origin.repository if here else None
