"""Ports of this machine: a free one, whether one is taken and by whom, who listens on one.

Who holds a port is read from Linux' ``/proc``; without it those questions have no answer.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lls_provider.errors import Code, SdkError

HOST = "127.0.0.1"

_PROC = Path("/proc")
_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Process:
    """A process as far as ``/proc`` shows it."""

    pid: int
    name: str
    group: int


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def require_free(port: int) -> None:
    """Raise SdkError PORT_TAKEN when a server could not listen on ``port``."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # as the servers do: connections of an earlier server that linger are no obstacle
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as error:
            raise port_taken(port, error) from error


def port_taken(port: int, error: OSError | None = None) -> SdkError:
    """The error for a port that cannot be used, naming its holder where that is known."""
    if error is not None and error.errno in (errno.EACCES, errno.EPERM):
        why = "This user may not listen on it: ports below 1024 usually need privileges."
    elif error is not None and error.errno != errno.EADDRINUSE:
        why = error.strerror or str(error)
    else:
        holder = next(iter(_holders(port)), None)
        who = f"process {holder.pid} ({holder.name})" if holder else "another program"
        why = f"{who[0].upper()}{who[1:]} listens on it."
    return SdkError(
        Code.PORT_TAKEN,
        f"Port {port} on {HOST} cannot be used",
        why=why,
        resolution="Choose another port with --port, leave --port out to get a free one, "
        "or stop the program that listens there.",
    )


def group_listens(group: int, port: int) -> bool:
    """Whether a process of the process group listens on ``port``; True where nobody can tell.

    A server that answers on our port need not be ours: it may have taken the port after we
    looked, while ours is about to fail.
    """
    inodes = _listening(port)
    if inodes is None:
        return True
    return any(process.group == group for process in _owners(inodes))


def group_lives(group: int) -> bool:
    """Whether a process group has a process that is not a zombie."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    known = list(_processes())
    return not known or any(process.group == group for process in known)


def _holders(port: int) -> Iterator[Process]:
    inodes = _listening(port)
    if inodes:
        yield from _owners(inodes)


def _listening(port: int) -> set[str] | None:
    """The inodes of the sockets that listen on ``port``; None without /proc."""
    found: set[str] | None = None
    for name in ("tcp", "tcp6"):
        try:
            text = (_PROC / "net" / name).read_text("ascii", "replace")
        except OSError:
            continue
        found = set() if found is None else found
        for line in text.splitlines()[1:]:
            columns = line.split()
            if len(columns) < 10 or columns[3] != _LISTEN:
                continue
            if int(columns[1].rpartition(":")[2], 16) == port:
                found.add(columns[9])
    return found


def _owners(inodes: set[str]) -> Iterator[Process]:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in _processes():
        try:
            handles = list((_PROC / str(process.pid) / "fd").iterdir())
        except OSError:
            continue  # ended meanwhile, or another user's
        for handle in handles:
            try:
                if str(handle.readlink()) in wanted:
                    yield process
                    break
            except OSError:
                continue


def _processes() -> Iterator[Process]:
    """Every process but zombies."""
    try:
        entries = [entry for entry in _PROC.iterdir() if entry.name.isdigit()]
    except OSError:
        return
    for entry in entries:
        try:
            text = (entry / "stat").read_text("utf-8", "replace")
        except OSError:
            continue
        # "pid (name) state ppid pgrp …"; the name may hold spaces and parentheses
        head, _, rest = text.rpartition(")")
        state, _parent, group = rest.split()[:3]
        if state not in "ZX":
            yield Process(int(entry.name), head.partition("(")[2], int(group))
