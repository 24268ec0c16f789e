"""What the runtime shows: results on stdout, steps, notes and warnings on stderr."""

from __future__ import annotations

import contextlib
import sys
from typing import TextIO

from lls_provider.foreign import CHARACTERS_LIMIT, escaped, one_line
from lls_provider.progress import Silent


class Console(Silent):
    """The progress of the runtime's own command line: plain lines for a container's log.

    A step or a note is one line, whatever it quotes.
    """

    def step(self, text: str, /) -> None:
        """A phase of the work starts."""
        self.error(f"lls-provider: {one_line(text, CHARACTERS_LIMIT)}")

    def note(self, text: str, /) -> None:
        """A detail."""
        self.error(f"lls-provider: note: {one_line(text, CHARACTERS_LIMIT)}")

    def warn(self, text: str, /) -> None:
        """Something to read; layouts that begin with WARNING are shown as they are."""
        self.error(text if text.startswith("WARNING: ") else f"WARNING: {text}")

    def error(self, text: str) -> None:
        """A line, or several, on stderr."""
        self._write(sys.stderr, text)

    def result(self, text: str) -> None:
        """A line of the result on stdout."""
        self._write(sys.stdout, text)

    @staticmethod
    def _write(stream: TextIO | None, text: str) -> None:
        # a log that is closed or cannot hold a character must not end the work
        if stream is None:
            return
        with contextlib.suppress(OSError, ValueError):
            encoding = stream.encoding or "utf-8"
            stream.write(escaped(text).encode(encoding, "backslashreplace").decode(encoding) + "\n")
            stream.flush()
