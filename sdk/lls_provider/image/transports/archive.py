"""Reads and writes images as one file: OCI archives (a layout in a tar) and Docker archives.

Both are streamed; a file that is read is untrusted. A Docker archive has no OCI manifest: one is
made from its content, so both use the same reader.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import posixpath
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.bundle.image_names import DOCKER_ARCHIVE, OCI_ARCHIVE
from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.image import (
    CONFIG_TYPE,
    GZIP_LAYER_TYPES,
    INDEX_FILE,
    INDEX_TYPE,
    LAYER_TYPE,
    LAYOUT_FILE,
    MANIFEST_TYPE,
    ZSTD_LAYER_TYPES,
    BlobLayer,
    canonical,
    descriptor,
    sha256,
)
from lls_provider.image.layer_reader import ZSTD_MAGIC
from lls_provider.image.manifest import (
    Origin,
    RawDocument,
    layers_size,
    manifests,
    one_image,
)
from lls_provider.image.tar import CHUNK, ArchiveMember, write_tar
from lls_provider.image.transports.layout import (
    DOCUMENT_LIMIT,
    MARKER,
    StoredManifest,
    blob_path,
    index_document,
)
from lls_provider.image.transports.registry.reference import DEFAULT_TAG, tagged
from lls_provider.progress import SILENT, Progress, counting
from lls_provider.system.files import output_file, wrapping_write_errors

if TYPE_CHECKING:
    from lls_provider.image.image import Image, JsonObject, Layer, Platform
    from lls_provider.image.manifest import Content, Descriptor
    from lls_provider.image.transports.registry.reference import Reference


DOCKER_MANIFEST = "manifest.json"
_WHAT = "the image archive"
_MARKERS = frozenset({LAYOUT_FILE, DOCKER_MANIFEST})
_LOOKED_AT = 4096  # members of a file that may not be an image archive


@dataclass(frozen=True, slots=True)
class OciArchive:
    """An OCI layout in one tar file, and the tag of the image in it."""

    path: Path
    tag: str = DEFAULT_TAG
    progress: Progress = SILENT

    def __str__(self) -> str:
        return f"{OCI_ARCHIVE}{self.path}" + ("" if self.tag == DEFAULT_TAG else f":{self.tag}")

    def write(self, content: Content) -> str:
        """Write ``content``; returns its digest. Raises what `write_archive` raises."""
        with self.progress.task("writing", layers_size(content)) as advance:
            write_archive(counting(oci_archive(content, self.tag), advance), self.path)
        return content.digest


@dataclass(frozen=True, slots=True)
class DockerArchive:
    """A tar file as `docker save` writes it, and the name of the image in it."""

    path: Path
    reference: Reference | None = None
    progress: Progress = SILENT

    def __str__(self) -> str:
        return f"{DOCKER_ARCHIVE}{self.path}" + (f":{self.reference}" if self.reference else "")

    def write(self, content: Content) -> str:
        """Write an image; returns its ID, the digest that identifies it in a daemon.

        Raises what `write_archive` raises, and SdkError USAGE for an index.
        """
        image = one_image(content, self)
        with self.progress.task("writing", layers_size(image)) as advance:
            write_archive(counting(docker_archive(image, self.reference), advance), self.path)
        return sha256(image.config_bytes())


def oci_archive(content: Content, tag: str = DEFAULT_TAG) -> Iterator[bytes]:
    """Yield the tar of an OCI layout of ``content``. Layers are hashed before they are streamed."""
    return write_tar(_layout_members(content, tag))


def docker_archive(image: Image, reference: Reference | None = None) -> Iterator[bytes]:
    """Yield the tar that ``docker load`` reads; layers are read once, so their names are no
    digests.
    """
    return write_tar(_docker_members(image, reference))


def write_archive(chunks: Iterator[bytes], path: Path) -> None:
    """Write an archive's bytes to ``path``, which appears when it is complete.

    Raises SdkError TARGET_EXISTS, NO_SPACE, OUTPUT_UNWRITABLE, and what a layer raises whose files
    have changed; an earlier archive then stays.
    """
    writable_archive(path)
    with output_file(path, _WHAT) as stream:
        for chunk in chunks:
            stream.write(chunk)


def writable_archive(path: Path) -> None:
    """Refuse to replace anything except an archive.

    Raises SdkError TARGET_EXISTS, OUTPUT_UNWRITABLE. Callers check this before any long work.
    """
    with wrapping_write_errors(path, _WHAT):
        if not path.exists() or _is_archive(path):
            return
    raise SdkError(
        Code.TARGET_EXISTS,
        f"{path} exists and is not an image archive",
        why="Only an earlier archive is replaced; anything else could be work of yours.",
        where=Where(file=str(path)),
        resolution="Choose another file, or remove this one first.",
    )


def _is_archive(path: Path) -> bool:
    if not path.is_file():
        return False
    if not path.stat().st_size:
        return True  # as `mktemp` makes it
    try:
        with tarfile.open(path, "r:") as found:
            members = (member.name for member, _ in zip(found, range(_LOOKED_AT), strict=False))
            return any(name in _MARKERS for name in members)
    except tarfile.TarError:
        return False


def _layout_members(content: Content, tag: str) -> Iterator[ArchiveMember]:
    yield ArchiveMember.of(LAYOUT_FILE, MARKER)
    yield ArchiveMember.of(INDEX_FILE, index_document(content, tag))
    every = list(manifests(content))
    written = set()
    for manifest in every:
        for document in (manifest.manifest_bytes(), *manifest.documents()):
            if (digest := sha256(document)) not in written:
                written.add(digest)
                yield ArchiveMember.of(blob_path(digest), document)
    for manifest in every:
        for layer in manifest.layers:
            if layer.digest not in written:
                written.add(layer.digest)
                yield ArchiveMember(blob_path(layer.digest), layer.size, layer.chunks())


def _docker_members(image: Image, reference: Reference | None) -> Iterator[ArchiveMember]:
    names = []
    for number, layer in enumerate(image.layers):
        names.append(f"{number:03}.tar")
        yield ArchiveMember(names[-1], layer.size, layer.chunks())
    config = image.config_bytes()
    name = f"{sha256(config).removeprefix('sha256:')}.json"
    yield ArchiveMember.of(name, config)
    described: JsonObject = {"Config": name, "Layers": names}
    described["RepoTags"] = [str(reference)] if reference else []
    yield ArchiveMember.of(DOCKER_MANIFEST, canonical([described]))


_MEMBER_LIMIT = 100_000
_HEADER_LIMIT = 1 << 20
_GZIP = b"\x1f\x8b"


def read_archive(path: Path, name: str | None = None, *, platform: Platform | None = None) -> Image:
    """Return the image in the OCI or Docker archive ``path``; its layers stay in that file.

    ``name`` (a tag in an OCI archive, a full name in a Docker archive) and ``platform`` select one
    of several. Raises SdkError FILE_MISSING, IMAGE_MISSING, IMAGE_INVALID; damaged layers are found
    when they are read.
    """
    return find_archive(path, name).image(platform)


def find_archive(path: Path, name: str | None = None) -> StoredManifest:
    """Find the content of the OCI or Docker archive ``path``. Raises what `read_archive` raises."""
    store = _Archive.open(path)
    if LAYOUT_FILE in store.members and INDEX_FILE in store.members:
        return StoredManifest(store, store.read(INDEX_FILE), INDEX_TYPE, listing=True, tag=name)
    if DOCKER_MANIFEST in store.members:
        return StoredManifest(store, _manifest_of(store, name), MANIFEST_TYPE)
    return store.source(path.name).refuse(
        f"it has neither {LAYOUT_FILE} and {INDEX_FILE} nor {DOCKER_MANIFEST}"
    )


class _Headers(io.BufferedReader):
    """A tar file for ``tarfile``, which reads only headers and holds each in memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most ``size`` bytes; refuse headers of unreasonable length."""
        if size is None or not 0 <= size <= _HEADER_LIMIT:
            raise tarfile.ReadError(f"an entry's header is longer than {_HEADER_LIMIT:,} bytes")
        return super().read(size)


@dataclass(frozen=True, slots=True)
class _Member:
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class _Archive:
    """An archive as a store of blobs."""

    path: Path
    members: Mapping[str, _Member]
    names: dict[str, str] = field(default_factory=dict)  # for blobs that are not named by a digest

    @classmethod
    def open(cls, path: Path) -> _Archive:
        try:
            if path.exists() and not path.is_file():  # opening a named pipe would block
                raise OSError(errno.EINVAL, "It is not a regular file")
            with _Headers(path.open("rb", buffering=0)) as stream:
                if stream.read(len(_GZIP)) == _GZIP:
                    _source(path, path.name).refuse(
                        "it is compressed, and layers are read in place: gunzip it first"
                    )
                stream.seek(0)
                with tarfile.open(fileobj=stream, mode="r:") as found:
                    return cls(path, _members(found, path))
        except OSError as error:
            raise SdkError(
                Code.FILE_MISSING,
                f"Cannot read the archive {path}",
                why=error.strerror or str(error),
                where=Where(file=str(path)),
                resolution="Name a file that `lls-provider build`, `skopeo copy` or `docker save` "
                "wrote.",
            ) from error
        except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
            _source(path, path.name).refuse(f"it is not an uncompressed tar file: {error}")

    def source(self, name: str) -> Origin:
        return _source(self.path, name)

    def read(self, name: str) -> RawDocument:
        """Return a document by its name in the archive."""
        source = self.source(name)
        member = self._member(name)
        if member.size > DOCUMENT_LIMIT:
            source.refuse(f"it is larger than {DOCUMENT_LIMIT:,} bytes")
        return RawDocument(self.bytes(member, member.size), source)

    def document(self, described: Descriptor) -> RawDocument:
        document = self.read(self._name(described.digest))
        described.verify(document.data, document.source)
        return document

    def layer(self, described: Descriptor, diff_id: str) -> Layer:
        name = self._name(described.digest)
        member = self._member(name)
        if member.size != described.size:
            self.source(name).refuse(
                f"the layer has {member.size:,} bytes, the manifest says {described.size:,}"
            )
        return BlobLayer(
            self.path,
            described.digest,
            member.size,
            described.media_type,
            diff_id,
            offset=member.offset,
        )

    def bytes(self, member: _Member, length: int) -> bytes:
        with self.path.open("rb") as stream:
            stream.seek(member.offset)
            return stream.read(length)

    def described(self, name: str, diff_id: str) -> JsonObject:
        """Return the descriptor of a Docker archive's layer: plain unless it begins as gzip or
        zstd.
        """
        member = self._member(name)
        media_type, digest = LAYER_TYPE, diff_id
        for magic, packed in ((_GZIP, GZIP_LAYER_TYPES[0]), (ZSTD_MAGIC, ZSTD_LAYER_TYPES[0])):
            if self.bytes(member, len(magic)) == magic:
                media_type, digest = packed, self._hash(member)
        self.names[digest] = name
        return {"mediaType": media_type, "digest": digest, "size": member.size}

    def _hash(self, member: _Member) -> str:
        hasher = hashlib.sha256()
        left = member.size
        with self.path.open("rb") as stream:
            stream.seek(member.offset)
            while left and (chunk := stream.read(min(CHUNK, left))):
                hasher.update(chunk)
                left -= len(chunk)
        return f"sha256:{hasher.hexdigest()}"

    def _name(self, digest: str) -> str:
        return self.names.get(digest) or blob_path(digest)

    def _member(self, name: str) -> _Member:
        member = self.members.get(name)
        if member is None:
            self.source(name).refuse("the archive has no such file")
        return member


def _source(path: Path, name: str) -> Origin:
    return Origin(name, Where(file=str(path)), what="The image archive is damaged or not supported")


def _members(found: tarfile.TarFile, path: Path) -> dict[str, _Member]:
    """Return the regular files of a tar; a link to one of them counts as that file."""
    members: dict[str, _Member] = {}
    links = {}
    for number, info in enumerate(found):
        if number >= _MEMBER_LIMIT:
            _source(path, path.name).refuse(f"it has more than {_MEMBER_LIMIT:,} files")
        name = posixpath.normpath(info.name)
        if info.isreg() and not info.issparse():
            members[name] = _Member(info.offset_data, info.size)
        elif info.issym():
            links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), info.linkname))
        elif info.islnk():
            links[name] = posixpath.normpath(info.linkname)
    members |= {name: members[target] for name, target in links.items() if target in members}
    return members


def _manifest_of(store: _Archive, name: str | None) -> RawDocument:
    """Make the OCI manifest of an image in a Docker archive."""
    document = store.read(DOCKER_MANIFEST)
    chosen = _chosen(document, name)
    config = store.read(str(chosen.get("Config")))
    paths = chosen.get("Layers")
    diff_ids = config.diff_ids(config.parse())
    if not isinstance(paths, list) or len(paths) != len(diff_ids):
        document.refuse(f"Layers is not a list of {len(diff_ids)} files, as the configuration says")
    described = descriptor(CONFIG_TYPE, config.data)
    store.names[described["digest"]] = config.source.name
    layers = [
        store.described(posixpath.normpath(str(path)), diff_id)
        for path, diff_id in zip(paths, diff_ids, strict=True)
    ]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": described,
        "layers": layers,
    }
    return RawDocument(canonical(manifest), document.source)


def _chosen(document: RawDocument, name: str | None) -> JsonObject:
    try:
        images: Any = json.loads(document.data)
    except (ValueError, RecursionError) as error:
        document.refuse(f"it is not JSON: {error}")
    if not isinstance(images, list) or not all(isinstance(it, dict) for it in images):
        document.refuse("it is not a list of images")
    names = [(full, it) for it in images for full in _names(it)]
    if name is not None:
        images = [it for full, it in names if full == name]
    if len(images) != 1:
        named = f" named {name}" if name else ""
        known = ", ".join(full for full, _ in names) or "none"
        document.refuse(f"it lists {len(images)} images{named}; the names in it are: {known}")
    chosen: JsonObject = images[0]
    return chosen


def _names(image: JsonObject) -> list[str]:
    """Return the full names of an image; `docker save` omits Docker Hub's registry."""
    tags = image.get("RepoTags")
    found = []
    for tag in tags if isinstance(tags, list) else []:
        with contextlib.suppress(SdkError):
            found.append(str(tagged(str(tag))))
    return found
