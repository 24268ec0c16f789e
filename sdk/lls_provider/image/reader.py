"""Reads an image out of a store of blobs: index, manifest, configuration, layers.

The store is a layout or a registry; nobody vouches for what is in it.
"""

from __future__ import annotations

import platform as host
from typing import TYPE_CHECKING, Any, Protocol

from lls_provider.errors import Code, SdkError
from lls_provider.image.media import (
    CONFIG_TYPES,
    GZIP_LAYER_TYPES,
    INDEX_TYPES,
    MANIFEST_TYPES,
    PLAIN_LAYER_TYPES,
    REF_NAME,
    ZSTD_LAYER_TYPE,
)
from lls_provider.image.model import Image, platform_of

if TYPE_CHECKING:
    from lls_provider.image.documents import Descriptor, Document
    from lls_provider.image.model import JsonObject, Layer, Platform

DOCUMENT_LIMIT = 4 << 20  # Documents of real images have kilobytes; registries stop here.
_LAYER_LIMIT = 1000
_NESTING_LIMIT = 4


class Store(Protocol):
    """Where blobs are found by their descriptors. Its errors are IMAGE_INVALID and its own."""

    def document(self, described: Descriptor) -> Document:
        """A manifest, index or configuration, of size and digest as described."""
        ...

    def layer(self, described: Descriptor, diff_id: str) -> Layer:
        """A layer, its bytes not yet read."""
        ...


def choose(
    store: Store, index: Document, *, tag: str | None = None, platform: Platform | None = None
) -> Descriptor:
    """The one manifest that is meant.

    Where several are left, ``platform`` decides, else this machine's. Raises SdkError
    IMAGE_INVALID when that leaves none or several.
    """
    found = _manifests(store, index, 0)
    candidates = [it for it in found if tag is None or it.annotations.get(REF_NAME) == tag]
    if tag is not None and not candidates:
        tags = sorted({str(it.annotations.get(REF_NAME) or "(none)") for it in found})
        index.refuse(f"there is no image tagged {tag!r}; the tags are: {', '.join(tags)}")
    if len(candidates) > 1:
        wanted = platform or platform_of(host.machine())
        candidates = [
            it
            for it in candidates
            if (actual := it.platform or _config_platform(store, it))
            and (actual.os, actual.architecture) == (wanted.os, wanted.architecture)
        ]
        if len({it.digest for it in candidates}) > 1:
            index.refuse(f"{len(candidates)} images for {wanted}; choose one by its tag")
        if not candidates:
            index.refuse(f"none of the {len(found)} images is for {wanted}")
    if not candidates:
        index.refuse("the index lists no image")
    return candidates[0]


def read_image(store: Store, manifest: Document) -> Image:
    """The image of a manifest. Raises SdkError IMAGE_INVALID for everything wrong in it."""
    value = manifest.parse()
    described = manifest.descriptor(value.get("config"), "config")
    if described.media_type not in CONFIG_TYPES:
        manifest.refuse(f"it is an artifact, no image: its config is {described.media_type}")
    layers = value.get("layers")
    if not isinstance(layers, list) or len(layers) > _LAYER_LIMIT:
        manifest.refuse(f"layers is no list of at most {_LAYER_LIMIT} layers")
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


def _manifests(store: Store, index: Document, depth: int) -> list[Descriptor]:
    value: JsonObject = index.parse()
    entries = value.get("manifests")
    if not isinstance(entries, list):
        index.refuse("manifests is no list")
    found: list[Descriptor] = []
    for number, entry in enumerate(entries):
        described = index.descriptor(entry, f"manifests[{number}]")
        if described.media_type in INDEX_TYPES:
            if depth >= _NESTING_LIMIT:
                index.refuse(f"indexes are nested more than {_NESTING_LIMIT} deep")
            nested = _manifests(store, store.document(described), depth + 1)
            found.extend(it.below(described) for it in nested)
        elif described.media_type in MANIFEST_TYPES:
            # attestations that build tools put beside an image
            if described.platform is None or described.platform.os != "unknown":
                found.append(described)
        else:
            index.refuse(f"manifests[{number}] has an unknown type {described.media_type!r}")
    return found


def _config_platform(store: Store, described: Descriptor) -> Platform:
    manifest = store.document(described)
    config = store.document(manifest.descriptor(manifest.parse().get("config"), "config"))
    return config.platform(config.parse())


def _layer(store: Store, manifest: Document, value: Any, diff_id: str, name: str) -> Layer:
    described = manifest.descriptor(value, name)
    if described.media_type == ZSTD_LAYER_TYPE:
        raise SdkError(
            Code.IMAGE_INVALID,
            f"Layer {described.digest} is compressed with zstd, which is not supported",
            where=manifest.source.where,
            resolution="Convert the image: `skopeo copy --dest-compress-format gzip "
            "--dest-force-compress-format oci:OLD oci:NEW`.",
        )
    if described.media_type not in (*PLAIN_LAYER_TYPES, *GZIP_LAYER_TYPES):
        manifest.refuse(f"{name} has an unknown type {described.media_type!r}")
    return store.layer(described, diff_id)
