"""Ends what its owner left running, after the owner was killed: a script of its own.

Runs as ``PYTHON -I -S watchdog.py`` and reads orders from stdin, one a line: ``group N`` and
``forget N`` (a process group) and ``directory PATH`` (a temporary one). The end
of the file means that the owner is gone, however it went. What is still on the list is then
ended and removed. Only the standard library: nothing of ours is on the path.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time

_GRACE = 5.0  # seconds between asking a group to end and ending it


def main() -> None:
    """Serve one owner."""
    # it must outlive what is sent to the owner's whole terminal
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    directories: set[str] = set()
    for line in sys.stdin.buffer:
        order, _, argument = os.fsdecode(line).rstrip("\n").partition(" ")
        if order == "group":
            groups.add(int(argument))
        elif order == "forget":
            groups.discard(int(argument))
        elif order == "directory":
            directories.add(argument)
    _end(groups)
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


def _end(groups: set[int]) -> None:
    deadline = time.monotonic() + _GRACE
    left = {group for group in groups if _send(group, signal.SIGTERM)}
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = {group for group in left if _send(group, 0)}
    for group in left:
        _send(group, signal.SIGKILL)
    # a directory in use cannot be removed for good: wait for the kernel to be done
    while left and time.monotonic() < deadline + _GRACE:
        time.sleep(0.05)
        left = {group for group in left if _send(group, 0)}


def _send(group: int, number: int) -> bool:
    """Whether the group still exists."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True
    return False


if __name__ == "__main__":
    main()
