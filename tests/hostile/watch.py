"""Sees every change of a name or a file, and every process and connection, while it watches.

What is there afterwards equals what was there before even where something was written and taken
away again; this says that as well.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Changes = list[tuple[str, Path | None]]

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_NAMED = {
    *("os.mkdir", "os.remove", "os.rmdir", "os.utime", "os.chmod", "os.chown"),
}
_BEGUN = ("subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "socket.", "pty.")
_watched: list[Changes] = []
_hooked: list[bool] = []


@contextlib.contextmanager
def watching() -> Iterator[Changes]:
    """What happens inside, as events with the path that each changes (a process has none)."""
    if not _hooked:  # a hook stays for the life of the process
        sys.addaudithook(_hook)
        _hooked.append(True)
    found: Changes = []
    compiled, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    _watched.append(found)
    try:
        yield found
    finally:
        _watched.remove(found)
        sys.dont_write_bytecode = compiled


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _watched:
        return
    paths: list[Path | None] = []
    if event == "open" and args[2] & _WRITING:
        paths = [_resolved(args[0])]
    elif event in ("os.rename", "os.link"):
        paths = [_resolved(args[0], args[2]), _resolved(args[1], args[3])]
    elif event == "os.symlink":
        paths = [_resolved(args[1], args[2])]
    elif event == "os.truncate":
        paths = [_resolved(args[0])]
    elif event in _NAMED:
        paths = [_resolved(args[0], args[-1] if len(args) > 1 else -1)]
    elif event.startswith(_BEGUN):
        paths = [None]
    for found in _watched:
        found.extend((event, path) for path in paths)


def _resolved(path: Any, folder: Any = -1) -> Path:
    """Where a path leads, relative to a descriptor where there is one."""
    if isinstance(path, int):
        return Path(f"/proc/self/fd/{path}").readlink()
    base = Path.cwd()
    if isinstance(folder, int) and folder >= 0:
        base = Path(f"/proc/self/fd/{folder}").readlink()
    # the directory's links count, not that of the name itself: it is the name that changes
    found = base / os.fsdecode(path)
    return found.parent.resolve() / found.name
