"""Several images under one name, one for each platform: OCI's image index.

What a sink writes is an `Image` or an `Index`; both, and what else an index may list, are
manifests with blobs, so that a sink needs to know no more than `manifests`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lls_provider.errors import Code, SdkError
from lls_provider.image.media import INDEX_TYPE
from lls_provider.image.model import Image, canonical, descriptor, sha256

if TYPE_CHECKING:
    from lls_provider.image.model import JsonObject, Layer


class Manifest(Protocol):
    """What is stored under a digest and refers to blobs."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The blobs that are streamed."""
        ...

    @property
    def media_type(self) -> str:
        """The type of `manifest_bytes`."""
        ...

    @property
    def digest(self) -> str:
        """The digest of `manifest_bytes`."""
        ...

    def documents(self) -> tuple[bytes, ...]:
        """The small blobs, which may depend on the layers' digests."""
        ...

    def manifest_bytes(self) -> bytes:
        """The manifest itself."""
        ...


@dataclass(frozen=True, slots=True)
class Artifact:
    """What an index lists beside images, such as an attestation; copied as it is."""

    raw_manifest: bytes
    media_type: str
    layers: tuple[Layer, ...]  # its configuration is one of them

    @property
    def digest(self) -> str:
        """The manifest's digest."""
        return sha256(self.raw_manifest)

    def documents(self) -> tuple[bytes, ...]:
        """None: every blob is copied as a layer."""
        return ()

    def manifest_bytes(self) -> bytes:
        """The bytes that were read."""
        return self.raw_manifest


@dataclass(frozen=True, slots=True)
class Index:
    """Images for several platforms; ``raw_manifest`` are the bytes of one that was read."""

    members: tuple[Image | Artifact | Index, ...]
    raw_manifest: bytes | None = None

    @classmethod
    def of(cls, images: Sequence[Image]) -> Index:
        """The index of composed images, in one order whatever order they were asked for in."""
        ordered: list[Image] = sorted(images, key=lambda image: image.platform)
        return cls(tuple(ordered))

    @property
    def images(self) -> tuple[Image, ...]:
        """The images in it, also those of indexes in it."""
        found: list[Image] = []
        for member in self.members:
            if isinstance(member, Index):
                found.extend(member.images)
            elif isinstance(member, Image):
                found.append(member)
        return tuple(found)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """None of its own."""
        return ()

    @property
    def media_type(self) -> str:
        """The index's media type; one that was read keeps its own."""
        if self.raw_manifest is None:
            return INDEX_TYPE
        return str(json.loads(self.raw_manifest).get("mediaType") or INDEX_TYPE)

    @property
    def digest(self) -> str:
        """The index's digest; needs the digests of all layers."""
        return sha256(self.manifest_bytes())

    def documents(self) -> tuple[bytes, ...]:
        """None of its own."""
        return ()

    def manifest_bytes(self) -> bytes:
        """The index; needs the digests of all layers."""
        if self.raw_manifest is not None:
            return self.raw_manifest
        images = self.images
        index: JsonObject = {
            "schemaVersion": 2,
            "mediaType": INDEX_TYPE,
            "manifests": [
                {
                    **descriptor(image.media_type, image.manifest_bytes()),
                    "platform": image.platform.to_document(),
                }
                for image in images
            ],
        }
        # what all images say, the index says too: registries show it
        shared = set.intersection(*(set(image.annotations.items()) for image in images))
        if shared:
            index["annotations"] = dict(shared)
        return canonical(index)


Content = Image | Index


def manifests(content: Manifest) -> Iterator[Manifest]:
    """Every manifest of ``content``, what an index lists before the index."""
    if isinstance(content, Index):
        for member in content.members:
            yield from manifests(member)
    yield content


def one_image(content: Content, place: object) -> Image:
    """The image of ``content`` for a ``place`` that holds one. Raises SdkError USAGE."""
    if isinstance(content, Image):
        return content
    raise several_refused(place)


def several_refused(place: object) -> SdkError:
    """The error about a place that cannot hold images for several platforms."""
    return SdkError(
        Code.USAGE,
        f"{place} holds an image for one platform",
        why="Docker's archives and daemons know no index.",
        resolution="Name one --platform, or write oci:DIR, oci-archive:FILE or docker://REF.",
    )
