"""How the library reports what it is doing: injected, so that no library code prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol


class Advance(Protocol):
    """A running task with a known total."""

    def __call__(self, amount: int, /) -> None:
        """Count ``amount`` more units (bytes for downloads) as done; thread-safe."""
        ...


class Progress(Protocol):
    """Where steps, notes and warnings go; the command line shows them on stderr."""

    def step(self, text: str, /) -> None:
        """A phase of the work starts, such as ``resolving 3 requirements``."""
        ...

    def note(self, text: str, /) -> None:
        """A detail that a reader may want to know afterwards."""
        ...

    def warn(self, text: str, /) -> None:
        """Something that does not stop the work but should be read."""
        ...

    def task(self, label: str, total: int, /) -> AbstractContextManager[Advance]:
        """A task of ``total`` bytes; the context yields the function that counts them."""
        ...


class Silent:
    """The progress that shows nothing; the default of every library function."""

    def step(self, text: str, /) -> None:
        """Do nothing."""

    def note(self, text: str, /) -> None:
        """Do nothing."""

    def warn(self, text: str, /) -> None:
        """Do nothing."""

    def task(self, _label: str, _total: int, /) -> AbstractContextManager[Advance]:
        """A context whose counter counts nothing."""
        return _SilentTask()


class _SilentTask:
    def __enter__(self) -> Advance:
        return lambda _amount: None

    def __exit__(self, *_exc: object) -> None:
        return None


SILENT: Progress = Silent()


def counting(chunks: Iterable[bytes], advance: Advance) -> Iterator[bytes]:
    """Yield the chunks, each counted when it was taken."""
    for chunk in chunks:
        yield chunk
        advance(len(chunk))


def counted(number: int, noun: str) -> str:
    """``1 package``, ``2,300 packages``: the noun takes an ``s`` in the plural."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def shown_size(size: int) -> str:
    """A number of bytes for a reader: ``812 bytes``, ``18.9 KB``, ``167.0 MB``, ``3.1 GB``."""
    if size < 1000:
        return counted(size, "byte")
    scaled = float(size)
    for unit in ("KB", "MB"):
        scaled /= 1000
        if scaled < 999.95:
            return f"{scaled:.1f} {unit}"
    return f"{scaled / 1000:,.1f} GB"
