"""Writes reproducible tar streams without holding a file in memory.

Everything that could differ between two machines is fixed: order, times, owners, modes. PAX records
are written only for names that need them.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lls_provider.errors import Code, SdkError, Where

CHUNK = 1 << 20
_DIRECTORY_MODE = 0o755


@dataclass(frozen=True, slots=True)
class LayerFile:
    """A regular file of a layer: its path in the image and the source of its bytes."""

    name: str  # relative, such as ``lls-provider/packages/x.whl``
    source: Path
    size: int
    mode: int = 0o644
    sha256: str = ""  # of the bytes, if it was just computed


@dataclass(frozen=True, slots=True)
class LayerTree:
    """The files of one layer, sorted, with the directories above them."""

    entries: tuple[LayerFile, ...]
    mtime: int = 0

    @classmethod
    def of(cls, entries: Iterable[LayerFile], mtime: int = 0) -> LayerTree:
        """Return the tree of ``entries``, which may come in any order."""
        return cls(tuple(sorted(entries, key=lambda entry: _order(entry.name))), mtime)

    @property
    def size(self) -> int:
        """The length of the tar stream, computed without reading a file."""
        return sum(it.size if isinstance(it, LayerFile) else len(it) for it in self._pieces())

    @property
    def fingerprint(self) -> str:
        """A hash of all that determines the tar stream; empty if a file's hash is unknown."""
        if not all(entry.sha256 for entry in self.entries):
            return ""
        hasher = hashlib.sha256()
        for piece in self._pieces():
            hasher.update(piece.sha256.encode() if isinstance(piece, LayerFile) else piece)
        return hasher.hexdigest()

    def read(self, name: str) -> bytes | None:
        """Return the content of a small file; None if there is no such file."""
        entry = next((entry for entry in self.entries if entry.name == name), None)
        return None if entry is None else b"".join(_content(entry))

    def chunks(self) -> Iterator[bytes]:
        """Yield the tar stream. Raises SdkError HASH_MISMATCH when a file's size has changed."""
        return self._chunks(_content)

    def verified(self) -> Iterator[bytes]:
        """Yield the tar stream and compare each file with its hash; raises if one differs."""
        return self._chunks(_verified)

    def _chunks(self, content: Callable[[LayerFile], Iterator[bytes]]) -> Iterator[bytes]:
        for piece in self._pieces():
            if isinstance(piece, LayerFile):
                yield from content(piece)
            else:
                yield piece

    def _pieces(self) -> Iterator[bytes | LayerFile]:
        """Yield the tar stream, with an entry in place of its bytes."""
        length = 0
        directories = set()
        for entry in self.entries:
            for path in reversed(PurePosixPath(entry.name).parents[:-1]):
                directory = path.as_posix()
                if directory not in directories:
                    directories.add(directory)
                    header = _header(directory, 0, self.mtime, _DIRECTORY_MODE, tarfile.DIRTYPE)
                    yield header
                    length += len(header)
            header = _header(entry.name, entry.size, self.mtime, entry.mode)
            yield header
            yield entry
            padding = bytes(_padded(entry.size, tarfile.BLOCKSIZE) - entry.size)
            yield padding
            length += len(header) + entry.size + len(padding)
        yield bytes(_padded(length + 2 * tarfile.BLOCKSIZE, tarfile.RECORDSIZE) - length)


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """A file of an archive; its bytes are requested once, when it is written."""

    name: str
    size: int
    chunks: Iterable[bytes]

    @classmethod
    def of(cls, name: str, data: bytes) -> ArchiveMember:
        """A small member, held in memory."""
        return cls(name, len(data), (data,))


def write_tar(members: Iterable[ArchiveMember]) -> Iterator[bytes]:
    """Yield the tar stream of ``members`` in their order; each must yield ``size`` bytes."""
    length = 0
    for member in members:
        header = _header(member.name, member.size)
        yield header
        yield from member.chunks
        padding = _padded(member.size, tarfile.BLOCKSIZE) - member.size
        yield bytes(padding)
        length += len(header) + member.size + padding
    yield bytes(_padded(length + 2 * tarfile.BLOCKSIZE, tarfile.RECORDSIZE) - length)


def find_member(chunks: Iterable[bytes], name: str, *, limit: int) -> bytes | None:
    """Return the regular file ``name`` of a tar stream that this module wrote; else None.

    Reads up to it and holds nothing else. A name in an extended header is not found.
    """
    stream = _Reader(iter(chunks))
    while len(block := stream.take(tarfile.BLOCKSIZE)) == tarfile.BLOCKSIZE:
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:  # the zeros at the end, or damage
            return None
        if info.name == name and info.isreg():
            return stream.take(info.size) if info.size <= limit else None
        stream.skip(_padded(info.size, tarfile.BLOCKSIZE))
    return None


class _Reader:
    """Reads and skips bytes of a stream of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = memoryview(b"")

    def take(self, length: int) -> bytes:
        """Return the next ``length`` bytes; fewer at the end."""
        return b"".join(self._pieces(length))

    def skip(self, length: int) -> None:
        """Skip the next ``length`` bytes."""
        for _ in self._pieces(length):
            pass

    def _pieces(self, length: int) -> Iterator[memoryview]:
        while length > 0:
            if not self._left:
                chunk = next(self._chunks, None)
                if chunk is None:
                    return
                self._left = memoryview(chunk)
            piece, self._left = self._left[:length], self._left[length:]
            length -= len(piece)
            yield piece


def _header(
    name: str, size: int, mtime: int = 0, mode: int = 0o644, kind: bytes = tarfile.REGTYPE
) -> bytes:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = mode
    info.size = size
    info.mtime = mtime
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def _order(name: str) -> tuple[str, ...]:
    return PurePosixPath(name).parts


def _padded(length: int, block: int) -> int:
    return -(-length // block) * block


def _content(entry: LayerFile) -> Iterator[bytes]:
    left = entry.size
    try:
        with entry.source.open("rb", buffering=0) as stream:
            while left:
                chunk = stream.read(min(CHUNK, left))
                if not chunk:
                    break
                left -= len(chunk)
                yield chunk
            changed = bool(left or stream.read(1))
    except OSError as error:
        raise SdkError(
            Code.FILE_UNREADABLE,
            f"Cannot read {entry.source.name} for the image",
            why=error.strerror or str(error),
            where=Where(file=str(entry.source)),
            resolution="Build the bundle again; its files must stay in place while the image "
            "is written.",
        ) from error
    if changed:
        raise _changed(entry, f"It had {entry.size:,} bytes when the image was planned.")


def _verified(entry: LayerFile) -> Iterator[bytes]:
    hasher = hashlib.sha256()
    for chunk in _content(entry):
        hasher.update(chunk)
        yield chunk
    if hasher.hexdigest() != entry.sha256:
        raise _changed(entry, f"Its sha256 was {entry.sha256} and is now {hasher.hexdigest()}.")


def _changed(entry: LayerFile, why: str) -> SdkError:
    return SdkError(
        Code.HASH_MISMATCH,
        f"{entry.source.name} changed while the image was written",
        why=why,
        where=Where(file=str(entry.source)),
        resolution="Build again and leave the bundle's files alone meanwhile.",
    )
