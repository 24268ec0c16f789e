"""How the library tells what it is doing: injected, so that no library code prints."""

from __future__ import annotations

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
        """Nothing."""

    def note(self, text: str, /) -> None:
        """Nothing."""

    def warn(self, text: str, /) -> None:
        """Nothing."""

    def task(self, _label: str, _total: int, /) -> AbstractContextManager[Advance]:
        """A context whose counter counts nothing."""
        return _SilentTask()


class _SilentTask:
    def __enter__(self) -> Advance:
        return lambda _amount: None

    def __exit__(self, *_exc: object) -> None:
        return None


SILENT: Progress = Silent()
