"""Takes the /lls-provider tree out of an image's layers. The image is somebody else's.

Nothing but regular files and folders is ever made, each below the destination, and every link
in the tree is refused: so no entry can reach outside. Layers are streamed; their digests are
verified on the way. The base of an image of ours is not read: its first layer hides what is there.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from lls_provider.bundle.publish import publishing
from lls_provider.contract.paths import IMAGE_ROOT
from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.compose import MADE_BY
from lls_provider.image.inspection import titles
from lls_provider.image.media import GZIP_LAYER_TYPES, OPAQUE
from lls_provider.image.tar import CHUNK

if TYPE_CHECKING:
    from lls_provider.image.model import Image, Layer

_ROOT = IMAGE_ROOT[1:]
_WHITEOUT = ".wh."
_BUFFER = 1 << 16
# what may stand between two entries: PAX headers and long names of the entry to come
_HEADER_BUDGET = 1 << 20
_NAME_LIMIT = 255
_DEPTH_LIMIT = 32
_REBUILD = "Rebuild the image; `lls-provider build` writes regular files and folders only."


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of an image is read before it is refused as hostile."""

    entries: int = 2_000_000  # in all layers together
    stream: int = 256 << 30  # uncompressed bytes of all layers together
    paths: int = 20_000  # files and folders in /lls-provider
    content: int = 64 << 30  # bytes of the files in /lls-provider


DEFAULT = Limits()


def unpack(image: Image, destination: Path, *, limits: Limits = DEFAULT) -> Path:
    """Write the image's ``/lls-provider`` tree as ``destination`` and give that back.

    ``destination`` must not exist or be empty; it appears when it is complete. Whiteouts of
    later layers are honoured; layers that one of ours hides are not read. Raises SdkError
    METADATA_MISSING when the image has no /lls-provider, IMAGE_INVALID for damaged layers and for
    links, devices, paths with ``..`` or too much content, TARGET_EXISTS, NO_SPACE,
    OUTPUT_UNWRITABLE.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise SdkError(
            Code.TARGET_EXISTS,
            f"{destination} exists and is not empty",
            where=Where(file=str(destination)),
            resolution="Choose another directory, or remove this one first.",
        )
    with publishing(destination, "the unpacked image") as staging:
        tree = _Tree(staging, limits)
        if not _read_layers(image, tree, _base_length(image)):
            tree.remove(())
            _read_layers(image, tree, 0)
        if () not in tree.owners:
            raise SdkError(
                Code.METADATA_MISSING,
                f"Missing {IMAGE_ROOT}/lls-provider-spec.yaml in the image",
                why=f"No layer has a folder {IMAGE_ROOT}: this is no provider image "
                "(contract section 1).",
                resolution="Name an image that `lls-provider build` made, or build one.",
            )
    return destination


def _base_length(image: Image) -> int:
    """How many layers come from a base, as the history of an image of ours says; else 0."""
    ours = [number for number, it in enumerate(titles(image)) if it.startswith(MADE_BY)]
    return ours[0] if ours else 0


def _read_layers(image: Image, tree: _Tree, first: int) -> bool:
    """Read the layers from ``first`` on; False when that one does not hide those before it.

    Whatever the history says, a base is passed over only when nothing in it can be seen.
    """
    for number, layer in enumerate(image.layers[first:], first):
        tree.begin(number, layer.digest)
        _read_layer(layer, tree)
        if first and number == first and not tree.hides_lower:
            return False
    return True


@dataclass(slots=True)
class _Tree:
    """The tree as the layers so far make it; every path remembers its layer."""

    root: Path
    limits: Limits
    owners: dict[tuple[str, ...], int] = field(default_factory=dict)
    layer: int = 0
    digest: str = ""
    entries: int = 0
    streamed: int = 0
    content: int = 0
    hides_lower: bool = False  # whether a layer so far hides all that lower ones have here

    def begin(self, layer: int, digest: str) -> None:
        self.layer, self.digest = layer, digest

    def refuse(self, why: str) -> NoReturn:
        raise SdkError(
            Code.IMAGE_INVALID,
            "The image cannot be unpacked",
            why=f"Layer {self.layer + 1} ({self.digest}): {why}.",
            resolution=_REBUILD,
        )

    def count_stream(self, length: int) -> None:
        self.streamed += length
        if self.streamed > self.limits.stream:
            self.refuse(f"the layers hold more than {self.limits.stream:,} bytes")

    def count_entry(self) -> None:
        self.entries += 1
        if self.entries > self.limits.entries:
            self.refuse(f"the layers hold more than {self.limits.entries:,} entries")

    def path(self, parts: tuple[str, ...]) -> Path:
        return self.root.joinpath(*parts)

    def folder(self, parts: tuple[str, ...]) -> None:
        """Make a folder and those above it, replacing files that stood there."""
        for length in range(len(parts) + 1):
            above = parts[:length]
            if above and not self.path(above).is_dir():
                self.remove(above)
                self.path(above).mkdir()
            self._claim(above)

    def file(self, parts: tuple[str, ...], chunks: Iterator[bytes], executable: bool) -> None:
        """Write a regular file, replacing what stood there."""
        if not parts:
            self.refuse(f"{IMAGE_ROOT} is no folder")
        self.folder(parts[:-1])
        if parts in self.owners:
            self.remove(parts)
        self._claim(parts)
        mode = 0o777 if executable else 0o666
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(self.path(parts), flags, mode), "wb", buffering=0) as stream:
            for chunk in chunks:
                self.content += len(chunk)
                if self.content > self.limits.content:
                    self.refuse(f"{IMAGE_ROOT} holds more than {self.limits.content:,} bytes")
                view = memoryview(chunk)
                while view:
                    view = view[stream.write(view) :]

    def _claim(self, parts: tuple[str, ...]) -> None:
        self.owners[parts] = self.layer
        if len(self.owners) > self.limits.paths:
            self.refuse(f"{IMAGE_ROOT} holds more than {self.limits.paths:,} paths")

    def remove(self, parts: tuple[str, ...], *, only_below: bool = False) -> None:
        """Remove a path and what is below it, whatever layer it came from."""
        for known in [it for it in self.owners if it[: len(parts)] == parts]:
            if not (only_below and known == parts):
                del self.owners[known]
        path = self.path(parts)
        if path.is_dir():
            for child in path.iterdir() if only_below or not parts else [path]:
                shutil.rmtree(child) if child.is_dir() else child.unlink()
        elif not only_below:
            path.unlink(missing_ok=True)

    def whiteout(self, parts: tuple[str, ...], *, below: bool) -> None:
        """Remove what lower layers put at ``parts`` (``below``: only what is under it)."""
        if not any(
            owner == self.layer and known[: len(parts)] == parts
            for known, owner in self.owners.items()
        ):
            self.remove(parts, only_below=below)
            return
        # this layer has put something there already: take the lower layers' paths one by one
        deepest_first = sorted(self.owners, key=len, reverse=True)
        for known in deepest_first:
            older = self.owners[known] < self.layer
            if known[: len(parts)] == parts and older and not (below and known == parts):
                path = self.path(known)
                path.rmdir() if path.is_dir() else path.unlink()
                del self.owners[known]


def _read_layer(layer: Layer, tree: _Tree) -> None:
    gzipped = layer.media_type in GZIP_LAYER_TYPES
    hasher = hashlib.sha256()
    stream = _Stream(_uncompressed(layer, tree) if gzipped else layer.chunks(), tree, hasher)
    try:
        # r| never seeks and so never reads a member into memory
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_BUFFER) as archive:
            _read_members(archive, stream, tree)
    except tarfile.ReadError as error:
        if stream.length:  # an empty stream is a layer without entries
            tree.refuse(f"it is no readable tar: {error}")
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        tree.refuse(f"it is no readable tar: {error}")
    stream.drain()
    if gzipped and f"sha256:{hasher.hexdigest()}" != layer.diff_id:
        tree.refuse(f"uncompressed, it does not have the digest {layer.diff_id}")


def _read_members(archive: tarfile.TarFile, stream: _Stream, tree: _Tree) -> None:
    stream.allow(archive.offset)
    while (member := archive.next()) is not None:
        stream.allow(archive.offset)  # where the next header begins
        tree.count_entry()
        # tarfile keeps every member it has seen (until Python 3.13)
        archive.members.clear()  # type: ignore[attr-defined]
        _take(archive, member, tree)
    if not stream.ends_at(archive.offset):
        tree.refuse(f"it has an invalid header at byte {archive.offset:,}")


def _take(archive: tarfile.TarFile, member: tarfile.TarInfo, tree: _Tree) -> None:
    parts = tuple(part for part in member.name.split("/") if part not in {"", "."})
    if not parts:
        return
    name = parts[-1]
    if name.startswith(_WHITEOUT) and ".." not in parts:
        target = parts[:-1] if name == OPAQUE else (*parts[:-1], name[len(_WHITEOUT) :])
        if target == () or target[0] == _ROOT:
            inside = target[1:]
            below = name == OPAQUE
            tree.hides_lower |= below and target == (_ROOT,)
            if inside and inside[-1] in {"", ".", ".."}:
                tree.refuse(f"{member.name[:200]!r} is no valid whiteout")
            tree.whiteout(inside, below=below and bool(target))
        return
    if ".." in parts and _ROOT in parts:
        tree.refuse(f"{member.name[:200]!r} has '..' in its path")
    if parts[0] != _ROOT:
        return
    inside = parts[1:]
    too_long = any(len(os.fsencode(part)) > _NAME_LIMIT for part in inside)
    if too_long or len(inside) > _DEPTH_LIMIT or "\0" in member.name:
        tree.refuse(f"{member.name[:200]!r} has a name that cannot be a file's")
    if member.isdir():
        tree.folder(inside)
    elif member.islnk():
        _hard_link(member, inside, tree)
    elif member.isreg():
        source = archive.extractfile(member)
        if source is None:  # cannot be: the member is a regular file
            tree.refuse(f"{member.name[:200]!r} has no content")
        tree.file(inside, iter(lambda: source.read(CHUNK), b""), bool(member.mode & 0o111))
    else:
        kind = "a symbolic link" if member.issym() else "neither a file nor a folder"
        tree.refuse(f"{member.name[:200]!r} is {kind}")


def _hard_link(member: tarfile.TarInfo, inside: tuple[str, ...], tree: _Tree) -> None:
    """A second name for a file of the same tree becomes a copy; any other link is refused."""
    target = tuple(part for part in member.linkname.split("/") if part not in {"", "."})
    known = target[1:]
    if target[:1] != (_ROOT,) or known not in tree.owners or not tree.path(known).is_file():
        tree.refuse(f"{member.name[:200]!r} is a hard link to something outside {IMAGE_ROOT}")
    if known == inside:
        return
    with tree.path(known).open("rb") as source:
        executable = bool(os.fstat(source.fileno()).st_mode & 0o111)
        tree.file(inside, iter(lambda: source.read(CHUNK), b""), executable)


def _uncompressed(layer: Layer, tree: _Tree) -> Iterator[bytes]:
    """A gzip layer's tar stream, in pieces of bounded size whatever it expands to."""
    engine = zlib.decompressobj(wbits=31)
    try:
        for chunk in layer.chunks():
            left = chunk
            while left:
                if engine.eof:  # gzip streams may follow each other
                    engine = zlib.decompressobj(wbits=31)
                yield engine.decompress(left, CHUNK)
                # what follows a stream is another one, or padding
                left = engine.unused_data.lstrip(b"\0") if engine.eof else engine.unconsumed_tail
    except zlib.error as error:
        tree.refuse(f"it is no readable gzip: {error}")
    while not engine.eof:
        rest = engine.decompress(engine.unconsumed_tail, CHUNK)
        if not rest:
            tree.refuse("its gzip stream ends early")
        yield rest


class _Stream(io.RawIOBase):
    """A tar stream for ``tarfile``: counted, hashed, and bounded where it reads headers."""

    def __init__(self, chunks: Iterator[bytes], tree: _Tree, hasher: hashlib._Hash) -> None:
        self.chunks = chunks
        self.tree = tree
        self.hasher = hasher
        self.left = memoryview(b"")
        self.length = 0
        self.bound: int | None = None
        self.tail = b""
        self.allow(0)

    def allow(self, offset: int) -> None:
        """Let the next header begin at ``offset`` and have a sane length."""
        self.bound = offset + _HEADER_BUDGET + _BUFFER

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes of the stream."""
        while not self.left:
            chunk = next(self.chunks, None)
            if chunk is None:
                return b""
            self.hasher.update(chunk)
            self.tree.count_stream(len(chunk))
            self.left = memoryview(chunk)
        length = len(self.left) if size < 0 else size
        piece, self.left = bytes(self.left[:length]), self.left[length:]
        self.length += len(piece)
        if self.bound is not None and self.length > self.bound:
            self.tree.refuse(f"an entry's header is longer than {_HEADER_BUDGET:,} bytes")
        self.tail = (self.tail + piece)[-4 * _BUFFER :]
        return piece

    def ends_at(self, offset: int) -> bool:
        """Whether the archive's end mark, and not a damaged header, stands at ``offset``."""
        start = len(self.tail) - (self.length - offset)
        block = self.tail[max(start, 0) : max(start, 0) + tarfile.BLOCKSIZE]
        return not any(block)

    def drain(self) -> None:
        """Read what follows the archive's end, so that the whole layer is verified."""
        self.bound = None
        while self.read(CHUNK):
            pass
