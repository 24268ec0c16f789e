"""A pseudo terminal with the real command in it: what it draws is read, keys are typed."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

UP, DOWN, ENTER, CTRL_C, CTRL_D = "\x1b[A", "\x1b[B", "\r", "\x03", "\x04"
_SECONDS = 60
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[=>])")
_WHERE = "\x1b[6n"  # a program asks where the cursor is


class Terminal:
    """A command whose input, errors and, unless that goes elsewhere, output are one terminal."""

    def __init__(
        self,
        *arguments: str | Path,
        cwd: Path,
        environment: Mapping[str, str],
        columns: int = 100,
        stdout: int | None = None,
    ) -> None:
        """Start the command."""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        # these would count for more than the terminal's size
        inherited = {key: it for key, it in os.environ.items() if key not in ("COLUMNS", "LINES")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lls_provider.cli", *map(str, arguments)],
            stdin=slave,
            stdout=slave if stdout is None else stdout,
            stderr=slave,
            cwd=cwd,
            env={**inherited, **environment},
        )
        os.close(slave)
        self.text = ""  # all that it wrote, without what moves and colours it
        self._read = 0  # how much of it `until` has passed

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def type(self, keys: str) -> None:
        """Type keys."""
        os.write(self._master, keys.encode())

    def until(self, words: str) -> str:
        """Read until these words were written after those of the last call; what came with them."""
        end = time.monotonic() + _SECONDS
        while (place := self.text.find(words, self._read)) < 0:
            assert time.monotonic() < end and self._more(), f"no {words!r} in:\n{self.text}"
        seen = self.text[self._read : place + len(words)]
        self._read = place + len(words)
        return seen

    def status(self) -> int:
        """Read to the end; the exit status."""
        while self._more():
            pass
        return self._process.wait(_SECONDS)

    def _more(self) -> bool:
        """Read what is there; false at the end."""
        ready, _, _ = select.select([self._master], [], [], _SECONDS)
        assert ready, f"nothing came in {_SECONDS} s after:\n{self.text}"
        try:
            data = os.read(self._master, 1 << 16).decode(errors="replace")
        except OSError:  # the last process that had it open has ended
            return False
        if _WHERE in data:
            self.type("\x1b[1;1R")
        self.text += _ANSI.sub("", data)
        return bool(data)
