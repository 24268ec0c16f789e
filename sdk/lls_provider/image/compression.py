"""The tar stream of a compressed layer, in pieces of bounded size whatever it expands to.

gzip comes with Python. zstd does so from 3.14 on; before, a library that the extra ``zstd`` of the
SDK installs.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from lls_provider.errors import Code, SdkError
from lls_provider.image.media import GZIP_LAYER_TYPES, ZSTD_LAYER_TYPES

_PIECE = 1 << 20
_INPUT = 1 << 12  # what follows a frame is copied: many small ones in a long input take for ever
_WINDOW = 27  # 128 MiB, what zstd itself takes without being told; layers use 8 MiB
_LIBRARIES = ("compression.zstd", "backports.zstd")
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class Damaged(Exception):  # noqa: N818 - a signal to the reader of the layer, never seen by users
    """The stream cannot be decompressed; the message says why."""


class _Engine(Protocol):
    """One frame's decompressor; what it holds back comes with the next call."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def feed(self, data: bytes) -> bytes:
        """At most `_PIECE` bytes of what ``data`` and all before it expand to."""
        ...

    @property
    def is_hungry(self) -> bool:
        """Whether nothing comes without more data."""
        ...


def is_compressed(media_type: str) -> bool:
    """Whether a layer of this media type is a compressed tar."""
    return media_type in (*GZIP_LAYER_TYPES, *ZSTD_LAYER_TYPES)


def decompressed(chunks: Iterable[bytes], media_type: str) -> Iterator[bytes]:
    """The tar stream of a layer; frames may follow each other, and padding may end them.

    Raises `Damaged`, and SdkError TOOL_MISSING when no library for zstd is installed.
    """
    name, engine_of = (
        ("zstd", _zstd_engine()) if media_type in ZSTD_LAYER_TYPES else ("gzip", _Gzip)
    )
    engine = engine_of()
    begun = False
    for chunk in (it[at : at + _INPUT] for it in chunks for at in range(0, len(it), _INPUT)):
        # what follows a frame is another one, or padding
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
        # what the last piece had no room for
        rest = _fed(engine, b"", name)
        if not rest:
            raise Damaged(f"its {name} stream ends early")
        yield rest


def _fed(engine: _Engine, data: bytes, name: str) -> bytes:
    try:
        return engine.feed(data)
    except (zlib.error, EOFError, ValueError, MemoryError) as error:
        raise Damaged(f"it is no readable {name}: {error}") from error
    except Exception as error:
        if type(error).__name__ != "ZstdError":  # of whichever library it is
            raise
        raise Damaged(f"it is no readable {name}: {error}") from error


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
        why="Python has it from 3.14 on; before, a library is needed that is not installed.",
        resolution="Install it: pip install 'lls-provider-sdk[zstd]'. Or convert the image: "
        "skopeo copy --dest-compress-format gzip --dest-force-compress-format oci:OLD oci:NEW.",
    )
