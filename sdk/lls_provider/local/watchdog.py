"""A script that cleans up after its owner was killed: it ends processes and removes directories.

Runs as ``PYTHON -I -S watchdog.py`` and reads one order per line from stdin: ``group N`` and
``forget N`` for a process group, ``directory PATH`` for a temporary directory. End of file means
that the owner has ended. The groups that are left are then ended and the directories removed.
Imports the standard library only: our package is not on the path.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time

_GRACE = 5.0  # seconds between SIGTERM and SIGKILL


def main() -> None:
    """Serve one owner."""
    # signals to the owner's terminal must not end the watchdog
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
    # a process that still writes would recreate files: wait until the kernel has ended it
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
