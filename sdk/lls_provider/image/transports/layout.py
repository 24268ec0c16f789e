"""Writes OCI image layouts atomically, and reads images from any store of blobs.

The format is the OCI image-layout specification: ``oci-layout``, ``index.json``, ``blobs``. A
store, a layout or a registry, is untrusted: index, manifest and configuration are verified.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from lls_provider.bundle.image_names import OCI
from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.image import (
    BLOBS,
    CONFIG_TYPES,
    GZIP_LAYER_TYPES,
    INDEX_FILE,
    INDEX_TYPE,
    INDEX_TYPES,
    LAYOUT_FILE,
    LAYOUT_VERSION,
    MANIFEST_TYPES,
    PLAIN_LAYER_TYPES,
    REF_NAME,
    ZSTD_LAYER_TYPES,
    BlobLayer,
    Image,
    canonical,
    descriptor,
    sha256,
    this_platform,
)
from lls_provider.image.manifest import Artifact, Index, Origin, RawDocument, manifests
from lls_provider.image.transports.registry.reference import DEFAULT_TAG
from lls_provider.progress import counting
from lls_provider.system.files import output_directory, wrapping_write_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lls_provider.image.image import JsonObject, Layer, Platform
    from lls_provider.image.manifest import Content, Descriptor
    from lls_provider.progress import Advance


DOCUMENT_LIMIT = 4 << 20  # Documents of real images have kilobytes; registries accept no more.
_LAYER_LIMIT = 1000
_NESTING_LIMIT = 4


class BlobStore(Protocol):
    """A store of blobs by descriptor. It raises IMAGE_INVALID and errors of its own."""

    def document(self, described: Descriptor) -> RawDocument:
        """Return a manifest, index or configuration with the size and digest that are described."""
        ...

    def layer(self, described: Descriptor, diff_id: str) -> Layer:
        """Return a layer without reading its bytes."""
        ...


def choose(
    store: BlobStore,
    index: RawDocument,
    *,
    tag: str | None = None,
    platform: Platform | None = None,
) -> Descriptor:
    """Select one manifest by ``platform``; by default this machine's, if there are several.

    Raises SdkError IMAGE_MISSING if there is none for it, IMAGE_INVALID if there is none at all or
    several remain.
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
    """Return the error if no image is for the requested platform."""
    return SdkError(
        Code.IMAGE_MISSING,
        f"There is no image for {wanted}",
        why=f"{document.source.name} has: {', '.join(sorted({str(it) for it in actual}))}.",
        where=document.source.where,
        resolution="Name another image, or one of these platforms with --platform.",
    )


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest or an index in a store; what it refers to is read on request.

    The ``index.json`` of a layout is a ``listing``: ``tag`` selects in it.
    """

    store: BlobStore
    document: RawDocument
    media_type: str
    listing: bool = False
    tag: str | None = None

    def image(self, platform: Platform | None = None) -> Image:
        """Return one image; of several, the one for ``platform`` (default: this machine's).

        Raises what `choose` and `read_image` raise.
        """
        if self.media_type in INDEX_TYPES:
            chosen = choose(self.store, self.document, tag=self.tag, platform=platform)
            return read_image(self.store, self.store.document(chosen))
        image = read_image(self.store, self.document)
        if platform is not None and not platform.runs(image.platform):
            raise _platform_missing(self.document, platform, [image.platform])
        return image

    def whole(self) -> Content:
        """Return the image, or the index with all its images. Raises what `image` raises."""
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
    """Return the image of a manifest. Raises SdkError IMAGE_INVALID for every error in it."""
    value = manifest.parse()
    described = manifest.descriptor(value.get("config"), "config")
    if described.media_type not in CONFIG_TYPES:
        manifest.refuse(f"it is an artifact, not an image: its config is {described.media_type}")
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
        manifest.refuse(f"layers is not a list of at most {_LAYER_LIMIT} layers")
    return layers


def _entries(index: RawDocument) -> list[Descriptor]:
    """Return the direct entries of an index, of known types."""
    entries = index.parse().get("manifests")
    if not isinstance(entries, list) or len(entries) > _LAYER_LIMIT:
        index.refuse(f"manifests is not a list of at most {_LAYER_LIMIT} manifests")
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
    """Return the images that an index lists, including those of nested indexes."""
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
    """Whether it is an attestation that a build tool added to an image."""
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


MARKER = canonical({"imageLayoutVersion": LAYOUT_VERSION})
_WHAT = "the image layout"


def is_layout(path: Path) -> bool:
    """Whether ``path`` has the marker file of an OCI layout."""
    return (path / LAYOUT_FILE).is_file()


def parse_reference(text: str) -> tuple[Path, str | None]:
    """Return the directory and the tag of ``oci:DIR[:TAG]`` (the prefix is optional).

    As in skopeo, the tag, which may be a full name, begins after the first colon. An existing path
    with a colon is still a path.
    """
    rest = text.removeprefix(OCI)
    directory, _, tag = rest.partition(":")
    if Path(rest).exists():
        return Path(rest), None
    return Path(directory), tag or None


def read_layout(
    directory: Path,
    tag: str | None = None,
    *,
    platform: Platform | None = None,
    verify: bool = True,
) -> Image:
    """Return the image in the OCI layout ``directory``.

    ``tag`` and ``platform`` select one of several (default: this machine's platform). With
    ``verify`` every layer is read and compared with its digest now, else when its bytes are read.
    Raises SdkError FILE_MISSING without a layout, IMAGE_MISSING without an image for the platform,
    IMAGE_INVALID with the file for every error in it.
    """
    image = find_layout(directory, tag).image(platform)
    if verify:
        for layer in image.layers:
            for _ in layer.chunks():
                pass
    return image


def find_layout(directory: Path, tag: str | None = None) -> StoredManifest:
    """Return what the OCI layout ``directory`` lists. Raises what `read_layout` raises."""
    layout = _Layout(directory)
    layout.check_marker()
    index = layout.read(directory / INDEX_FILE)
    return StoredManifest(layout, index, INDEX_TYPE, listing=True, tag=tag)


def writable_layout(directory: Path) -> None:
    """Refuse to replace anything except a layout.

    Raises SdkError TARGET_EXISTS. Callers check this before any long work; `write_layout` checks
    again.
    """
    if not directory.exists() or is_layout(directory):
        return
    if directory.is_dir() and not any(directory.iterdir()):
        return
    raise SdkError(
        Code.TARGET_EXISTS,
        f"{directory} exists and is not an OCI layout",
        why="Only an earlier layout is replaced; anything else could be work of yours.",
        where=Where(file=str(directory)),
        resolution="Choose another directory, or remove this one first.",
    )


def write_layout(
    content: Content,
    directory: Path,
    *,
    tag: str = DEFAULT_TAG,
    advance: Advance = lambda _amount: None,
) -> str:
    """Write an OCI layout that holds only ``content``; returns its digest.

    ``advance`` counts the bytes of layers.

    Each layer is read once and hashed while it is written. The layout appears when it is complete
    and replaces an earlier one in one step. Raises SdkError TARGET_EXISTS, NO_SPACE,
    OUTPUT_UNWRITABLE, and what a layer raises whose files have changed.
    """
    with wrapping_write_errors(directory, _WHAT):
        writable_layout(directory)
    with output_directory(directory, _WHAT) as staging:
        blobs = staging / BLOBS / "sha256"
        blobs.mkdir(parents=True)
        for manifest in manifests(content):
            for layer in manifest.layers:
                _write_layer(layer, blobs, advance)
            for document in (*manifest.documents(), manifest.manifest_bytes()):
                _write_blob(document, blobs)
        (staging / INDEX_FILE).write_bytes(index_document(content, tag))
        (staging / LAYOUT_FILE).write_bytes(MARKER)
    return content.digest


def index_document(content: Content, tag: str) -> bytes:
    """Return the ``index.json`` of a layout of ``content``; needs the layers' digests."""
    described = descriptor(content.media_type, content.manifest_bytes())
    if isinstance(content, Image):
        described["platform"] = content.platform.to_document()
    described["annotations"] = {REF_NAME: tag}
    index: JsonObject = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": [described],
    }
    return canonical(index)


def blob_path(digest: str) -> str:
    """Return the path of a blob in a layout; ``digest`` must be a valid digest."""
    return f"{BLOBS}/{digest.replace(':', '/')}"


def _write_layer(layer: Layer, blobs: Path, advance: Advance) -> None:
    partial = blobs / "partial"
    with partial.open("wb", buffering=0) as stream:
        for chunk in counting(layer.chunks(), advance):
            view = memoryview(chunk)
            while view:
                view = view[stream.write(view) :]
    partial.rename(blobs / _hex(layer.digest))


def _write_blob(data: bytes, blobs: Path) -> None:
    (blobs / _hex(sha256(data))).write_bytes(data)


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


@dataclass(frozen=True, slots=True)
class _Layout:
    """A layout as a store of blobs."""

    directory: Path

    def check_marker(self) -> None:
        path = self.directory / LAYOUT_FILE
        if not path.is_file():
            raise SdkError(
                Code.FILE_MISSING,
                f"{self.directory} is not an OCI layout",
                why=f"It has no file {LAYOUT_FILE}."
                if self.directory.is_dir()
                else "There is no such directory.",
                where=Where(file=str(path)),
                resolution="Name a layout as `lls-provider build --output oci:DIR` writes it.",
            )
        document = self.read(path)
        version = document.parse().get("imageLayoutVersion")
        if version != LAYOUT_VERSION:
            document.refuse(f"imageLayoutVersion is {version!r}, not {LAYOUT_VERSION!r}")

    def document(self, described: Descriptor) -> RawDocument:
        document = self.read(self._blob(described))
        described.verify(document.data, document.source)
        return document

    def layer(self, described: Descriptor, diff_id: str) -> Layer:
        path = self._blob(described)
        size = _regular(path).st_size
        if size != described.size:
            _source(path).refuse(
                f"the layer has {size:,} bytes, the manifest says {described.size:,}"
            )
        return BlobLayer(path, described.digest, size, described.media_type, diff_id)

    def read(self, path: Path) -> RawDocument:
        source = _source(path)
        if _regular(path).st_size > DOCUMENT_LIMIT:
            source.refuse(f"it is larger than {DOCUMENT_LIMIT:,} bytes")
        try:
            return RawDocument(path.read_bytes(), source)
        except OSError as error:
            source.refuse(f"it cannot be read: {error.strerror or error}")

    def _blob(self, described: Descriptor) -> Path:
        # the digest is valid, so it cannot be a path
        return self.directory / blob_path(described.digest)


def _source(path: Path) -> Origin:
    return Origin(path.name, Where(file=str(path)))


def _regular(path: Path) -> os.stat_result:
    source = _source(path)
    try:
        status = path.stat()
    except OSError as error:
        source.refuse(f"it is missing or cannot be read: {error.strerror or error}")
    if not stat.S_ISREG(status.st_mode):  # opening a named pipe would block
        source.refuse("it is not a regular file")
    return status
