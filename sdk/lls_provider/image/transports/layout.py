"""The OCI layout sink: writing one whole or not at all, and reading one that nobody vouches for.

The format is the OCI image-layout specification: ``oci-layout``, ``index.json``, ``blobs``.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.image import (
    BLOBS,
    INDEX_FILE,
    INDEX_TYPE,
    LAYOUT_FILE,
    LAYOUT_VERSION,
    REF_NAME,
    BlobLayer,
    Image,
    canonical,
    descriptor,
    sha256,
)
from lls_provider.image.manifest import Origin, RawDocument, manifests
from lls_provider.image.reader import DOCUMENT_LIMIT, StoredManifest
from lls_provider.image.transports.registry.reference import DEFAULT_TAG
from lls_provider.system.output import output_directory, wrapping_write_errors

if TYPE_CHECKING:
    from lls_provider.image.image import JsonObject, Layer, Platform
    from lls_provider.image.manifest import Content, Descriptor

MARKER = canonical({"imageLayoutVersion": LAYOUT_VERSION})
_WHAT = "the image layout"


def is_layout(path: Path) -> bool:
    """Whether ``path`` is an OCI layout, judged by its marker file alone."""
    return (path / LAYOUT_FILE).is_file()


def parse_reference(text: str) -> tuple[Path, str | None]:
    """The folder and the tag of ``oci:DIR[:TAG]`` (the prefix may be missing).

    As skopeo reads it: the tag, which may be a whole name, begins after the first colon. A path
    with a colon that is there is a path all the same.
    """
    rest = text.removeprefix("oci:")
    folder, _, tag = rest.partition(":")
    if Path(rest).exists():
        return Path(rest), None
    return Path(folder), tag or None


def read_layout(
    directory: Path,
    tag: str | None = None,
    *,
    platform: Platform | None = None,
    verify: bool = True,
) -> Image:
    """The image in the OCI layout ``directory``.

    ``tag`` and ``platform`` choose; of several, where it is not told, this machine's platform.
    With ``verify`` every layer is read once and compared with its digest; without, that
    happens when its bytes are read. Raises SdkError FILE_MISSING when there is no layout,
    IMAGE_MISSING when it has none for the platform, IMAGE_INVALID naming the file for everything
    that is wrong in it.
    """
    image = find_layout(directory, tag).image(platform)
    if verify:
        for layer in image.layers:
            for _ in layer.chunks():
                pass
    return image


def find_layout(directory: Path, tag: str | None = None) -> StoredManifest:
    """What the OCI layout ``directory`` lists. Raises as `read_layout`."""
    layout = _Layout(directory)
    layout.check_marker()
    index = layout.read(directory / INDEX_FILE)
    return StoredManifest(layout, index, INDEX_TYPE, listing=True, tag=tag)


def writable_layout(directory: Path) -> None:
    """Refuse a place where a layout may not be written: what is there is not one.

    Raises SdkError TARGET_EXISTS. Callers ask before long work; write_layout asks again.
    """
    if not directory.exists() or is_layout(directory):
        return
    if directory.is_dir() and not any(directory.iterdir()):
        return
    raise SdkError(
        Code.TARGET_EXISTS,
        f"{directory} exists and is no OCI layout",
        why="Only an earlier layout is replaced; anything else could be work of yours.",
        where=Where(file=str(directory)),
        resolution="Choose another directory, or remove this one first.",
    )


def write_layout(content: Content, directory: Path, *, tag: str = DEFAULT_TAG) -> str:
    """Write ``content`` as all that an OCI layout holds; gives its digest.

    Each layer is read once, hashed while it is written. The layout appears under its name when
    it is complete, replacing an earlier one in one step. Raises SdkError TARGET_EXISTS,
    NO_SPACE, OUTPUT_UNWRITABLE, and what a layer raises whose files changed meanwhile.
    """
    with wrapping_write_errors(directory, _WHAT):
        writable_layout(directory)
    with output_directory(directory, _WHAT) as staging:
        blobs = staging / BLOBS / "sha256"
        blobs.mkdir(parents=True)
        for manifest in manifests(content):
            for layer in manifest.layers:
                _write_layer(layer, blobs)
            for document in (*manifest.documents(), manifest.manifest_bytes()):
                _write_blob(document, blobs)
        (staging / INDEX_FILE).write_bytes(index_document(content, tag))
        (staging / LAYOUT_FILE).write_bytes(MARKER)
    return content.digest


def index_document(content: Content, tag: str) -> bytes:
    """The ``index.json`` of a layout that holds ``content`` alone; needs the layers' digests."""
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
    """The place of a blob in a layout. ``digest`` matches the pattern of digests."""
    return f"{BLOBS}/{digest.replace(':', '/')}"


def _write_layer(layer: Layer, blobs: Path) -> None:
    partial = blobs / "partial"
    with partial.open("wb", buffering=0) as stream:
        for chunk in layer.chunks():
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
    """The store of blobs that a layout is."""

    directory: Path

    def check_marker(self) -> None:
        path = self.directory / LAYOUT_FILE
        if not path.is_file():
            raise SdkError(
                Code.FILE_MISSING,
                f"{self.directory} is no OCI layout",
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
        # the digest was matched against its pattern: it is no path
        return self.directory / blob_path(described.digest)


def _source(path: Path) -> Origin:
    return Origin(path.name, Where(file=str(path)))


def _regular(path: Path) -> os.stat_result:
    source = _source(path)
    try:
        status = path.stat()
    except OSError as error:
        source.refuse(f"it is missing or cannot be read: {error.strerror or error}")
    if not stat.S_ISREG(status.st_mode):  # a named pipe would make us wait for ever
        source.refuse("it is no regular file")
    return status
