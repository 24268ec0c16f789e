"""Reads the entries of an image's layers. The image is untrusted.

Layers are streamed and never held in memory; the amount that is read is bounded, and digests are
verified while reading. The caller interprets an entry (a file, a whiteout).

A compressed layer is decompressed in pieces of bounded size. Python supports zstd since 3.14; for
earlier versions the SDK's extra ``zstd`` installs a library.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from lls_provider.errors import Code, SdkError
from lls_provider.image.image import GZIP_LAYER_TYPES, OPAQUE, ZSTD_LAYER_TYPES
from lls_provider.image.tar import CHUNK

if TYPE_CHECKING:
    from lls_provider.image.image import Image, Layer


_PIECE = 1 << 20
_INPUT = 1 << 12  # small, since the data after a frame is copied for each of many small frames
_WINDOW = 27  # 128 MiB, the default limit of zstd itself; layers use 8 MiB
_LIBRARIES = ("compression.zstd", "backports.zstd")
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class Damaged(Exception):  # noqa: N818 - internal signal, never shown to users
    """The stream cannot be decompressed; the message says why."""


class _Engine(Protocol):
    """The decompressor of one frame; it returns what it has buffered with the next call."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def feed(self, data: bytes) -> bytes:
        """Return at most `_PIECE` bytes of the decompressed data."""
        ...

    @property
    def is_hungry(self) -> bool:
        """Whether it needs more input to return anything."""
        ...


def is_compressed(media_type: str) -> bool:
    """Whether a layer of this media type is a compressed tar."""
    return media_type in (*GZIP_LAYER_TYPES, *ZSTD_LAYER_TYPES)


def decompressed(chunks: Iterable[bytes], media_type: str) -> Iterator[bytes]:
    """Yield the tar stream of a layer, which may have several frames and padding at the end.

    Raises `Damaged`, and SdkError TOOL_MISSING when no library for zstd is installed.
    """
    name, engine_of = (
        ("zstd", _zstd_engine()) if media_type in ZSTD_LAYER_TYPES else ("gzip", _Gzip)
    )
    engine = engine_of()
    begun = False
    for chunk in (it[at : at + _INPUT] for it in chunks for at in range(0, len(it), _INPUT)):
        # another frame or padding follows
        left = chunk.lstrip(b"\0") if engine.eof else chunk
        while left:
            if engine.eof:
                engine = engine_of()
            begun = True
            yield _fed(engine, left, name)
            while not engine.eof and not engine.is_hungry:
                yield _fed(engine, b"", name)
            left = engine.unused_data.lstrip(b"\0") if engine.eof else b""
    while begun and not engine.eof:
        # what did not fit into the last piece
        rest = _fed(engine, b"", name)
        if not rest:
            raise Damaged(f"its {name} stream ends early")
        yield rest


def _fed(engine: _Engine, data: bytes, name: str) -> bytes:
    try:
        return engine.feed(data)
    except (zlib.error, EOFError, ValueError, MemoryError) as error:
        raise Damaged(f"it is not a readable {name}: {error}") from error
    except Exception as error:
        if type(error).__name__ != "ZstdError":  # of either library
            raise
        raise Damaged(f"it is not a readable {name}: {error}") from error


class _Gzip:
    def __init__(self) -> None:
        self._engine = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._engine.eof

    @property
    def unused_data(self) -> bytes:
        return self._engine.unused_data

    @property
    def is_hungry(self) -> bool:
        return not self._engine.unconsumed_tail

    def feed(self, data: bytes) -> bytes:
        return self._engine.decompress(self._engine.unconsumed_tail + data, _PIECE)


def _zstd_engine() -> Callable[[], _Engine]:
    library = _zstd_library()

    class Zstd:
        def __init__(self) -> None:
            options = {library.DecompressionParameter.window_log_max: _WINDOW}
            self._engine = library.ZstdDecompressor(options=options)

        @property
        def eof(self) -> bool:
            return bool(self._engine.eof)

        @property
        def unused_data(self) -> bytes:
            data: bytes = self._engine.unused_data
            return data

        @property
        def is_hungry(self) -> bool:
            return bool(self._engine.needs_input)

        def feed(self, data: bytes) -> bytes:
            piece: bytes = self._engine.decompress(data, _PIECE)
            return piece

    return Zstd


def _zstd_library() -> Any:
    for name in _LIBRARIES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise SdkError(
        Code.TOOL_MISSING,
        "A layer is compressed with zstd, which this Python cannot read",
        why="Python supports it since 3.14; earlier versions need a library that is not installed.",
        resolution="Install it: pip install 'lls-provider-sdk[zstd]'. Or convert the image: "
        "skopeo copy --dest-compress-format gzip --dest-force-compress-format oci:OLD oci:NEW.",
    )


Parts = tuple[str, ...]

_WHITEOUT = ".wh."
_BUFFER = 1 << 16
# between two entries: PAX headers and long names of the next entry
_HEADER_BUDGET = 1 << 20
_UNREADABLE = (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class LayerLimits:
    """The limits beyond which an image is refused as hostile."""

    entries: int = 2_000_000  # in all layers together
    stream: int = 256 << 30  # uncompressed bytes of all layers together


@dataclass(frozen=True, slots=True)
class Whiteout:
    """A path that a layer removes from lower layers; with ``below`` only what is under it."""

    parts: Parts
    below: bool


@dataclass(slots=True)
class LayerEntries:
    """One pass through the layers of an image, with counters; ``what`` and ``resolution`` are for
    errors.
    """

    image: Image
    what: str
    resolution: str
    limits: LayerLimits = LayerLimits()
    layer: int = 0  # the index of the current layer
    _digest: str = ""
    _entries: int = 0
    _streamed: int = 0

    def __iter__(self) -> Iterator[LayerEntry]:
        """Yield the entries. Raises SdkError IMAGE_INVALID, and what a layer raises."""
        for number in range(len(self.image.layers)):
            yield from self.of_layer(number)

    def of_layer(self, number: int) -> Iterator[LayerEntry]:
        """Yield the entries of one layer; raises what the whole pass raises."""
        layer = self.image.layers[number]
        self.layer, self._digest = number, layer.digest
        yield from _read_layer(layer, self)

    def refuse(self, why: str) -> NoReturn:
        """Raise SdkError IMAGE_INVALID naming the layer."""
        raise SdkError(
            Code.IMAGE_INVALID,
            self.what,
            why=f"Layer {self.layer + 1} ({self._digest}): {why}.",
            resolution=self.resolution,
        )

    def unreadable(self, why: str) -> NoReturn:
        """Raise SdkError IMAGE_INVALID; a damaged layer is reported as damaged, whatever the
        symptom.
        """
        for _ in self.image.layers[self.layer].chunks():
            pass
        self.refuse(why)

    def count_stream(self, length: int) -> None:
        """Count uncompressed bytes."""
        self._streamed += length
        if self._streamed > self.limits.stream:
            self.refuse(f"the layers hold more than {self.limits.stream:,} bytes")

    def count_entry(self) -> None:
        """Count an entry."""
        self._entries += 1
        if self._entries > self.limits.entries:
            self.refuse(f"the layers hold more than {self.limits.entries:,} entries")


@dataclass(frozen=True, slots=True)
class LayerEntry:
    """An entry of a layer, valid until the next one is read."""

    member: tarfile.TarInfo
    archive: tarfile.TarFile
    walk: LayerEntries

    @property
    def parts(self) -> Parts:
        """Its path without empty parts and ``.``; the caller refuses ``..``."""
        return _parts(self.member.name)

    @property
    def link(self) -> Parts:
        """The target of a hard link."""
        return _parts(self.member.linkname)

    @property
    def shown(self) -> str:
        """Its name for an error."""
        return repr(self.member.name[:200])

    def whiteout(self) -> Whiteout | None:
        """What it removes if it is a whiteout, else None."""
        parts = self.parts
        if not parts or not parts[-1].startswith(_WHITEOUT) or ".." in parts:
            return None
        if parts[-1] == OPAQUE:
            return Whiteout(parts[:-1], below=True)
        return Whiteout((*parts[:-1], parts[-1][len(_WHITEOUT) :]), below=False)

    def chunks(self) -> Iterator[bytes]:
        """Return the content of a regular file."""
        try:
            source = self.archive.extractfile(self.member)
            if source is None:  # cannot happen: the member is a regular file
                self.walk.refuse(f"{self.shown} has no content")
            while chunk := source.read(CHUNK):
                yield chunk
        except _UNREADABLE as error:
            self.walk.unreadable(f"it is not a readable tar: {error}")


def _parts(name: str) -> Parts:
    return tuple(part for part in name.split("/") if part not in {"", "."})


def _read_layer(layer: Layer, walk: LayerEntries) -> Iterator[LayerEntry]:
    packed = is_compressed(layer.media_type)
    hasher = hashlib.sha256()
    stream = _Stream(_uncompressed(layer, walk) if packed else layer.chunks(), walk, hasher)
    try:
        # r| never seeks, so it never holds a member in memory
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_BUFFER) as archive:
            yield from _members(archive, stream, walk)
    except tarfile.ReadError as error:
        if stream.length:  # an empty stream is a layer without entries
            walk.unreadable(f"it is not a readable tar: {error}")
    except _UNREADABLE as error:
        walk.unreadable(f"it is not a readable tar: {error}")
    stream.drain()
    if packed and f"sha256:{hasher.hexdigest()}" != layer.diff_id:
        walk.refuse(f"uncompressed, it does not have the digest {layer.diff_id}")


def _members(archive: tarfile.TarFile, stream: _Stream, walk: LayerEntries) -> Iterator[LayerEntry]:
    stream.allow(archive.offset)
    while (member := archive.next()) is not None:
        stream.allow(archive.offset)  # the offset of the next header
        walk.count_entry()
        # tarfile keeps every member that it has read (until Python 3.13)
        archive.members.clear()  # type: ignore[attr-defined]
        yield LayerEntry(member, archive, walk)
    if not stream.ends_at(archive.offset):
        walk.unreadable(f"it has an invalid header at byte {archive.offset:,}")


def _uncompressed(layer: Layer, walk: LayerEntries) -> Iterator[bytes]:
    """A compressed layer's tar stream."""
    try:
        yield from decompressed(layer.chunks(), layer.media_type)
    except Damaged as error:
        walk.unreadable(str(error))


class _Stream(io.RawIOBase):
    """A tar stream for ``tarfile``: counted, hashed, and bounded while it reads headers."""

    def __init__(self, chunks: Iterator[bytes], walk: LayerEntries, hasher: hashlib._Hash) -> None:
        self.chunks = chunks
        self.walk = walk
        self.hasher = hasher
        self.left = memoryview(b"")
        self.length = 0
        self.bound: int | None = None
        self.tail = b""
        self.allow(0)

    def allow(self, offset: int) -> None:
        """Expect the next header at ``offset``, with a bounded length."""
        self.bound = offset + _HEADER_BUDGET + _BUFFER

    def read(self, size: int = -1) -> bytes:
        """Return at most ``size`` bytes of the stream."""
        while not self.left:
            chunk = next(self.chunks, None)
            if chunk is None:
                return b""
            self.hasher.update(chunk)
            self.walk.count_stream(len(chunk))
            self.left = memoryview(chunk)
        length = len(self.left) if size < 0 else size
        piece, self.left = bytes(self.left[:length]), self.left[length:]
        self.length += len(piece)
        if self.bound is not None and self.length > self.bound:
            self.walk.refuse(f"an entry's header is longer than {_HEADER_BUDGET:,} bytes")
        self.tail = (self.tail + piece)[-4 * _BUFFER :]
        return piece

    def ends_at(self, offset: int) -> bool:
        """Whether ``offset`` holds the archive's end mark, not a damaged header."""
        start = len(self.tail) - (self.length - offset)
        block = self.tail[max(start, 0) : max(start, 0) + tarfile.BLOCKSIZE]
        return not any(block)

    def drain(self) -> None:
        """Read the rest after the archive's end, so that the whole layer is verified."""
        self.bound = None
        while self.read(CHUNK):
            pass
