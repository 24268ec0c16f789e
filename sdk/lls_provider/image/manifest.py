"""The JSON documents of an image: manifests and indexes. They are untrusted: every value is
checked.

An `Index` is several images under one name, one for each platform. Images, indexes and other
entries of an index are all manifests with blobs, so a transport only needs `manifests`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.image import (
    INDEX_TYPE,
    INDEX_TYPES,
    MANIFEST_TYPES,
    Image,
    JsonObject,
    Platform,
    canonical,
    descriptor,
    sha256,
)
from lls_provider.image.transports.registry.reference import is_digest

if TYPE_CHECKING:
    from lls_provider.image.image import JsonObject, Layer


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a document or a blob, for errors."""

    name: str  # such as ``index.json``
    where: Where
    what: str = "The image layout is damaged or not supported"
    resolution: str = "Write the image again, or copy it again with `skopeo copy`."

    def refuse(self, why: str) -> NoReturn:
        """Raise SdkError IMAGE_INVALID."""
        raise SdkError(
            Code.IMAGE_INVALID,
            self.what,
            why=f"{self.name}: {why}.",
            where=self.where,
            resolution=self.resolution,
        )


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob as a document describes it."""

    digest: str
    size: int
    media_type: str
    annotations: JsonObject
    platform: Platform | None

    @property
    def is_manifest(self) -> bool:
        """Whether it describes a manifest or an index, which registries store separately from
        blobs.
        """
        return self.media_type in (*MANIFEST_TYPES, *INDEX_TYPES)

    def below(self, index: Descriptor) -> Descriptor:
        """Return it as an entry of the index that ``index`` describes: it inherits annotations."""
        return replace(self, annotations={**index.annotations, **self.annotations})

    def verify(self, data: bytes, source: Origin) -> None:
        """Refuse bytes that do not match the descriptor."""
        if len(data) != self.size:
            source.refuse(f"it has {len(data):,} bytes, its descriptor says {self.size:,}")
        if sha256(data) != self.digest:
            source.refuse(f"its content does not have the digest of its name, but {sha256(data)}")


@dataclass(frozen=True, slots=True)
class RawDocument:
    """The exact bytes of a document, and their origin."""

    data: bytes
    source: Origin

    def refuse(self, why: str) -> NoReturn:
        """Raise SdkError IMAGE_INVALID naming the document."""
        self.source.refuse(why)

    def parse(self) -> JsonObject:
        """Return its JSON object."""
        try:
            value = json.loads(self.data)
        except (ValueError, RecursionError) as error:
            self.refuse(f"it is not JSON: {error}")
        if not isinstance(value, dict):
            self.refuse("it is not a JSON object")
        return value

    def descriptor(self, value: Any, name: str) -> Descriptor:
        """Return the descriptor ``value`` of the field ``name``."""
        if not isinstance(value, dict):
            self.refuse(f"{name} is not a descriptor")
        digest, size, media_type = (value.get(key) for key in ("digest", "size", "mediaType"))
        if not isinstance(digest, str) or not is_digest(digest):
            self.refuse(f"{name}.digest is not a sha256 digest: {str(digest)[:100]!r}")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            self.refuse(f"{name}.size is not a size: {str(size)[:100]!r}")
        if not isinstance(media_type, str):
            self.refuse(f"{name}.mediaType is missing")
        platform = value.get("platform")
        return Descriptor(
            digest,
            size,
            media_type,
            self.strings(value.get("annotations"), f"{name}.annotations"),
            self.platform(platform) if isinstance(platform, dict) else None,
        )

    def platform(self, value: JsonObject) -> Platform:
        """Return the platform of an index entry or a configuration."""
        fields = [value.get(key, "") for key in ("architecture", "os", "variant")]
        architecture, system, variant = (it if isinstance(it, str) else "" for it in fields)
        if not architecture or not system:
            self.refuse("it does not say its architecture and os")
        return Platform(architecture, system, variant)

    def diff_ids(self, config: JsonObject) -> list[str]:
        """Return the digests of the uncompressed layers, from a configuration."""
        rootfs = config.get("rootfs")
        diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if not isinstance(diff_ids, list) or not all(
            isinstance(it, str) and is_digest(it) for it in diff_ids
        ):
            self.refuse("rootfs.diff_ids is not a list of sha256 digests")
        return diff_ids

    def check_runtime_config(self, config: JsonObject) -> None:
        """Refuse fields that are read or kept and have the wrong type."""
        runtime = config.get("config")
        if runtime is None:
            return
        if not isinstance(runtime, dict):
            self.refuse("config is not an object")
        self.strings(runtime.get("Labels"), "config.Labels")
        for key in ("Entrypoint", "Cmd", "Env"):
            value = runtime.get(key)
            if value is not None and not _string_list(value):
                self.refuse(f"config.{key} is not a list of strings")

    def strings(self, value: Any, name: str) -> dict[str, Any]:
        """Return a map of strings; empty if there is none."""
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(_strings_only(list(value.values()))):
            self.refuse(f"{name} is not a map of strings")
        return value


def _string_list(value: Any) -> bool:
    return isinstance(value, list) and all(_strings_only(value))


def _strings_only(values: list[Any]) -> Iterator[bool]:
    return (isinstance(value, str) for value in values)


class Manifest(Protocol):
    """A document that is stored under a digest and refers to blobs."""

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
        """Return the small blobs, which may depend on the layers' digests."""
        ...

    def manifest_bytes(self) -> bytes:
        """The manifest itself."""
        ...


@dataclass(frozen=True, slots=True)
class Artifact:
    """Another entry of an index, such as an attestation; copied unchanged."""

    raw_manifest: bytes
    media_type: str
    layers: tuple[Layer, ...]  # including its configuration

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
    """Images for several platforms; ``raw_manifest`` holds the bytes of an index that was read."""

    members: tuple[Image | Artifact | Index, ...]
    raw_manifest: bytes | None = None

    @classmethod
    def of(cls, images: Sequence[Image]) -> Index:
        """Return the index of composed images, in an order that does not depend on the request."""
        ordered: list[Image] = sorted(images, key=lambda image: image.platform)
        return cls(tuple(ordered))

    @property
    def images(self) -> tuple[Image, ...]:
        """The images in it, including those of nested indexes."""
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
        """The index's media type; an index that was read keeps its type."""
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
        # annotations that all images share; registries show them
        shared = set.intersection(*(set(image.annotations.items()) for image in images))
        if shared:
            index["annotations"] = dict(shared)
        return canonical(index)


Content = Image | Index


def manifests(content: Manifest) -> Iterator[Manifest]:
    """Yield every manifest of ``content``, the entries of an index before the index."""
    if isinstance(content, Index):
        for member in content.members:
            yield from manifests(member)
    yield content


def layers_size(content: Content) -> int:
    """The bytes of the layers of every manifest; no layer is read for it."""
    return sum(layer.size for manifest in manifests(content) for layer in manifest.layers)


def one_image(content: Content, place: object) -> Image:
    """Return the image of ``content`` for a ``place`` that holds one. Raises SdkError USAGE."""
    if isinstance(content, Image):
        return content
    raise several_refused(place)


def several_refused(place: object) -> SdkError:
    """Return the error about a place that cannot hold images for several platforms."""
    return SdkError(
        Code.USAGE,
        f"{place} holds an image for one platform",
        why="Docker's archives and daemons know no index.",
        resolution="Name one --platform, or write oci:DIR, oci-archive:FILE or docker://REF.",
    )
