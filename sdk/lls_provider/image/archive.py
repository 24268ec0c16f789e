"""Images as one file: OCI archives (a layout in a tar) and Docker archives, both streamed."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.bundle.publish import publishing_file, writing
from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.index import manifests, one_image
from lls_provider.image.layout import MARKER, blob_path, index_document
from lls_provider.image.media import INDEX_FILE, LAYOUT_FILE
from lls_provider.image.model import canonical, sha256
from lls_provider.image.reference import DEFAULT_TAG
from lls_provider.image.tar import Member, archive

if TYPE_CHECKING:
    from lls_provider.image.index import Content
    from lls_provider.image.model import Image, JsonObject
    from lls_provider.image.reference import Reference

DOCKER_MANIFEST = "manifest.json"
_WHAT = "the image archive"
_MARKERS = frozenset({LAYOUT_FILE, DOCKER_MANIFEST})
_LOOKED_AT = 4096  # members of a file that is perhaps no archive of an image


@dataclass(frozen=True, slots=True)
class OciArchive:
    """An OCI layout in one tar file, and the tag of the image in it."""

    path: Path
    tag: str = DEFAULT_TAG

    def __str__(self) -> str:
        return f"oci-archive:{self.path}" + ("" if self.tag == DEFAULT_TAG else f":{self.tag}")

    def write(self, content: Content) -> str:
        """Write ``content``; gives its digest. Raises what `write_archive` raises."""
        write_archive(oci_archive(content, self.tag), self.path)
        return content.digest


@dataclass(frozen=True, slots=True)
class DockerArchive:
    """A tar file as `docker save` writes it, and what the image is called in it."""

    path: Path
    reference: Reference | None = None

    def __str__(self) -> str:
        return f"docker-archive:{self.path}" + (f":{self.reference}" if self.reference else "")

    def write(self, content: Content) -> str:
        """Write an image; gives its ID, the digest by which a daemon knows it.

        Raises what `write_archive` raises, and SdkError USAGE for an index.
        """
        image = one_image(content, self)
        write_archive(docker_archive(image, self.reference), self.path)
        return sha256(image.config_bytes())


def oci_archive(content: Content, tag: str = DEFAULT_TAG) -> Iterator[bytes]:
    """The tar of the layout of ``content``. Layers are hashed before they are streamed."""
    return archive(_layout_members(content, tag))


def docker_archive(image: Image, reference: Reference | None = None) -> Iterator[bytes]:
    """The tar that ``docker load`` reads; each layer is read once, so it has no digest's name."""
    return archive(_docker_members(image, reference))


def write_archive(chunks: Iterator[bytes], path: Path) -> None:
    """Write an archive's bytes to ``path``, where it appears when it is complete.

    Raises SdkError TARGET_EXISTS, NO_SPACE, OUTPUT_UNWRITABLE, and what a layer raises whose
    files changed meanwhile; an earlier archive then stays.
    """
    writable_target(path)
    with publishing_file(path, _WHAT) as stream:
        for chunk in chunks:
            stream.write(chunk)


def writable_target(path: Path) -> None:
    """Refuse a place where an archive may not be written: what is there is not one.

    Raises SdkError TARGET_EXISTS, OUTPUT_UNWRITABLE. Callers ask before long work.
    """
    with writing(path, _WHAT):
        if not path.exists() or _is_archive(path):
            return
    raise SdkError(
        Code.TARGET_EXISTS,
        f"{path} exists and is no image archive",
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


def _layout_members(content: Content, tag: str) -> Iterator[Member]:
    yield Member.of(LAYOUT_FILE, MARKER)
    yield Member.of(INDEX_FILE, index_document(content, tag))
    every = list(manifests(content))
    written = set()
    for manifest in every:
        for document in (manifest.manifest_bytes(), *manifest.documents()):
            if (digest := sha256(document)) not in written:
                written.add(digest)
                yield Member.of(blob_path(digest), document)
    for manifest in every:
        for layer in manifest.layers:
            if layer.digest not in written:
                written.add(layer.digest)
                yield Member(blob_path(layer.digest), layer.size, layer.chunks())


def _docker_members(image: Image, reference: Reference | None) -> Iterator[Member]:
    names = []
    for number, layer in enumerate(image.layers):
        names.append(f"{number:03}.tar")
        yield Member(names[-1], layer.size, layer.chunks())
    config = image.config_bytes()
    name = f"{sha256(config).removeprefix('sha256:')}.json"
    yield Member.of(name, config)
    described: JsonObject = {"Config": name, "Layers": names}
    described["RepoTags"] = [str(reference)] if reference else []
    yield Member.of(DOCKER_MANIFEST, canonical([described]))
