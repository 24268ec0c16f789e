"""Reads an image out of a store of blobs: index, manifest, configuration, layers.

The store is a layout or a registry; nobody vouches for what is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from lls_provider.errors import Code, SdkError
from lls_provider.image.image import (
    CONFIG_TYPES,
    GZIP_LAYER_TYPES,
    INDEX_TYPES,
    MANIFEST_TYPES,
    PLAIN_LAYER_TYPES,
    REF_NAME,
    ZSTD_LAYER_TYPES,
    Image,
    this_platform,
)
from lls_provider.image.manifest import Artifact, Index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lls_provider.image.image import JsonObject, Layer, Platform
    from lls_provider.image.manifest import Content, Descriptor, RawDocument

DOCUMENT_LIMIT = 4 << 20  # Documents of real images have kilobytes; registries stop here.
_LAYER_LIMIT = 1000
_NESTING_LIMIT = 4


class BlobStore(Protocol):
    """Where blobs are found by their descriptors. Its errors are IMAGE_INVALID and its own."""

    def document(self, described: Descriptor) -> RawDocument:
        """A manifest, index or configuration, of size and digest as described."""
        ...

    def layer(self, described: Descriptor, diff_id: str) -> Layer:
        """A layer, its bytes not yet read."""
        ...


def choose(
    store: BlobStore,
    index: RawDocument,
    *,
    tag: str | None = None,
    platform: Platform | None = None,
) -> Descriptor:
    """The one manifest that is meant.

    ``platform`` decides; where it is not told and several are left, this machine's. Raises
    SdkError IMAGE_MISSING when there is none for it, IMAGE_INVALID when there is none at all or
    there are several.
    """
    found = _manifests(store, index, 0)
    candidates = [it for it in found if tag is None or it.annotations.get(REF_NAME) == tag]
    if tag is not None and not candidates:
        _unknown_tag(index, tag, found)
    if not candidates:
        index.refuse("the index lists no image")
    if len(candidates) > 1 or platform is not None:
        wanted = platform or this_platform()
        actual = [it.platform or _config_platform(store, it) for it in candidates]
        if not any(map(wanted.runs, actual)):
            raise _platform_missing(index, wanted, actual)
        candidates = [it for it, its in zip(candidates, actual, strict=True) if wanted.runs(its)]
        if len({it.digest for it in candidates}) > 1:
            index.refuse(f"{len(candidates)} images for {wanted}; choose one by its tag")
    return candidates[0]


def _platform_missing(
    document: RawDocument, wanted: Platform, actual: Sequence[Platform]
) -> SdkError:
    """The error about images none of which is for the platform that is wanted."""
    return SdkError(
        Code.IMAGE_MISSING,
        f"There is no image for {wanted}",
        why=f"{document.source.name} has: {', '.join(sorted({str(it) for it in actual}))}.",
        where=document.source.where,
        resolution="Name another image, or one of these platforms with --platform.",
    )


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest or an index at its place; what it refers to is read when it is asked for.

    The ``index.json`` of a layout is a ``listing``: ``tag`` chooses in it.
    """

    store: BlobStore
    document: RawDocument
    media_type: str
    listing: bool = False
    tag: str | None = None

    def image(self, platform: Platform | None = None) -> Image:
        """One image; of several the one for ``platform``, where it is not told for this machine.

        Raises as `choose` and `read_image`.
        """
        if self.media_type in INDEX_TYPES:
            chosen = choose(self.store, self.document, tag=self.tag, platform=platform)
            return read_image(self.store, self.store.document(chosen))
        image = read_image(self.store, self.document)
        if platform is not None and not platform.runs(image.platform):
            raise _platform_missing(self.document, platform, [image.platform])
        return image

    def whole(self) -> Content:
        """The image, or the index with its images for every platform. Raises as `image`."""
        if not self.listing:
            return _content(self.store, self.document, self.media_type)
        entries = _entries(self.document)
        named = [it for it in entries if self.tag in (None, it.annotations.get(REF_NAME))]
        if len({it.digest for it in named}) != 1:
            return self.image()
        (described, *_) = named
        return _content(self.store, self.store.document(described), described.media_type)


def _content(store: BlobStore, document: RawDocument, media_type: str) -> Content:
    if media_type in INDEX_TYPES:
        return _read_index(store, document, 0)
    return read_image(store, document)


def _read_index(store: BlobStore, index: RawDocument, depth: int) -> Index:
    _check_depth(index, depth)
    return Index(
        tuple(_member(store, it, depth) for it in _entries(index)), raw_manifest=index.data
    )


def _member(store: BlobStore, described: Descriptor, depth: int) -> Image | Artifact | Index:
    document = store.document(described)
    if described.media_type in INDEX_TYPES:
        return _read_index(store, document, depth + 1)
    value = document.parse()
    config = document.descriptor(value.get("config"), "config")
    if config.media_type in CONFIG_TYPES and not _is_attestation(described):
        return read_image(store, document)
    blobs = [config]
    for number, it in enumerate(_layers(document, value)):
        blobs.append(document.descriptor(it, f"layers[{number}]"))
    layers = tuple(store.layer(it, it.digest) for it in blobs)
    return Artifact(document.data, described.media_type, layers)


def read_image(store: BlobStore, manifest: RawDocument) -> Image:
    """The image of a manifest. Raises SdkError IMAGE_INVALID for everything wrong in it."""
    value = manifest.parse()
    described = manifest.descriptor(value.get("config"), "config")
    if described.media_type not in CONFIG_TYPES:
        manifest.refuse(f"it is an artifact, no image: its config is {described.media_type}")
    layers = _layers(manifest, value)
    document = store.document(described)
    config = document.parse()
    diff_ids = document.diff_ids(config)
    if len(diff_ids) != len(layers):
        document.refuse(
            f"rootfs.diff_ids has {len(diff_ids)} entries, the manifest {len(layers)} layers"
        )
    document.check_runtime_config(config)
    return Image(
        {key: it for key, it in config.items() if key != "rootfs"},
        tuple(
            _layer(store, manifest, it, diff_id, f"layers[{number}]")
            for number, (it, diff_id) in enumerate(zip(layers, diff_ids, strict=True))
        ),
        manifest.strings(value.get("annotations"), "annotations"),
        document.platform(config),
        raw_manifest=manifest.data,
        raw_config=document.data,
    )


def _layers(manifest: RawDocument, value: JsonObject) -> list[Any]:
    layers = value.get("layers")
    if not isinstance(layers, list) or len(layers) > _LAYER_LIMIT:
        manifest.refuse(f"layers is no list of at most {_LAYER_LIMIT} layers")
    return layers


def _entries(index: RawDocument) -> list[Descriptor]:
    """What an index lists itself, of known types."""
    entries = index.parse().get("manifests")
    if not isinstance(entries, list) or len(entries) > _LAYER_LIMIT:
        index.refuse(f"manifests is no list of at most {_LAYER_LIMIT} manifests")
    found = []
    for number, entry in enumerate(entries):
        described = index.descriptor(entry, f"manifests[{number}]")
        if described.media_type not in (*INDEX_TYPES, *MANIFEST_TYPES):
            index.refuse(f"manifests[{number}] has an unknown type {described.media_type!r}")
        found.append(described)
    return found


def _check_depth(index: RawDocument, depth: int) -> None:
    if depth > _NESTING_LIMIT:
        index.refuse(f"indexes are nested more than {_NESTING_LIMIT} deep")


def _manifests(store: BlobStore, index: RawDocument, depth: int) -> list[Descriptor]:
    """The images that an index lists, also by way of indexes in it."""
    _check_depth(index, depth)
    found: list[Descriptor] = []
    for described in _entries(index):
        if described.media_type in INDEX_TYPES:
            nested = _manifests(store, store.document(described), depth + 1)
            found.extend(it.below(described) for it in nested)
        elif not _is_attestation(described):
            found.append(described)
    return found


def _is_attestation(described: Descriptor) -> bool:
    """Whether it is what build tools put beside an image."""
    return described.platform is not None and described.platform.os == "unknown"


def _unknown_tag(index: RawDocument, tag: str, found: Sequence[Descriptor]) -> NoReturn:
    tags = sorted({str(it.annotations.get(REF_NAME) or "(none)") for it in found})
    index.refuse(f"there is no image tagged {tag!r}; the tags are: {', '.join(tags)}")


def _config_platform(store: BlobStore, described: Descriptor) -> Platform:
    manifest = store.document(described)
    config = store.document(manifest.descriptor(manifest.parse().get("config"), "config"))
    return config.platform(config.parse())


def _layer(store: BlobStore, manifest: RawDocument, value: Any, diff_id: str, name: str) -> Layer:
    described = manifest.descriptor(value, name)
    if described.media_type not in (*PLAIN_LAYER_TYPES, *GZIP_LAYER_TYPES, *ZSTD_LAYER_TYPES):
        manifest.refuse(f"{name} has an unknown type {described.media_type!r}")
    return store.layer(described, diff_id)
