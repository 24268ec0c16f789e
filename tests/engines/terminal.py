"""A real terminal of a given size, in which a program runs: tmux."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 60.0  # seconds; a busy machine is slow


@dataclass(frozen=True)
class Screen:
    """A terminal with one window; what is on it can be read, and keys can be typed."""

    tmux: tuple[str, ...]
    scrolled: int

    def text(self, *, joined: bool = False) -> str:
        """All that was shown, scrolled away or not, without blanks at the ends of lines.

        With ``joined``, lines that the terminal broke at its width are whole.
        """
        options = ["-J"] if joined else []
        shown = self._run("capture-pane", "-p", *options, "-S", f"-{self.scrolled}")
        return "\n".join(line.rstrip() for line in shown.splitlines()).strip("\n") + "\n"

    def type(self, *keys: str) -> None:
        """Press keys by tmux's names, such as ``Tab`` and ``Enter``; other words are typed."""
        self._run("send-keys", *keys)

    def until(self, holds: Callable[[str], bool]) -> str:
        """Wait until what is shown is as wanted, and return it."""
        end = time.monotonic() + PATIENCE
        while not holds(shown := self.text()):
            assert time.monotonic() < end, f"not shown within {PATIENCE:.0f} s:\n{shown}"
            time.sleep(0.05)
        return shown

    def _run(self, *words: str) -> str:
        done = subprocess.run([*self.tmux, *words], capture_output=True, text=True, check=True)
        return done.stdout


@contextlib.contextmanager
def terminal(
    tmux: str,
    command: Sequence[str | Path],
    *,
    width: int,
    height: int = 200,
    cwd: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Screen]:
    """Run ``command`` in a terminal of its own; its end is shown as ``[exit STATUS]``.

    The environment has nothing but PATH, HOME, a UTF-8 locale and ``variables``.
    """
    with tempfile.TemporaryDirectory(prefix="lls-") as directory:  # a socket's path must be short
        base = (tmux, "-u", "-S", f"{directory}/tmux", "-f", os.devnull)
        yield from _shown(base, command, width, height, cwd, variables or {})


def _shown(
    base: tuple[str, ...],
    command: Sequence[str | Path],
    width: int,
    height: int,
    cwd: Path | None,
    variables: Mapping[str, str],
) -> Iterator[Screen]:
    line = f'{shlex.join(map(str, command))}; echo "[exit $?]"; exec cat'
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        **variables,
    }
    subprocess.run(
        [
            *base,
            *("new-session", "-d", "-x", str(width), "-y", str(height)),
            *("/bin/sh", "-c", line),
        ],
        cwd=cwd,
        env=environment,
        check=True,
    )
    try:
        yield Screen(base, 2000)
    finally:
        subprocess.run([*base, "kill-server"], capture_output=True, check=False)
