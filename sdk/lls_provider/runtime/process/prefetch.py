"""Reads the wheels of an image in a second process, while this one is still importing.

Half of what an installation does before it can unpack is importing, half is reading archives;
neither needs the other. What was read is only a saving: a wheel that is missing in it, because
it is broken or because no process could be started, is read again, and fails then.

Measured by benchmarks/tricks.py: without it an installation of 90 wheels takes 1.05 times as long.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.contract.names import BundleTree
from lls_provider.errors import SdkError
from lls_provider.runtime.process.workers import (
    SharedTurns,
    end_workers,
    fork_worker,
    may_fork,
    worker_count,
)

if TYPE_CHECKING:
    from lls_provider.runtime.wheelfile.contents import Contents

Prefetched = Callable[[], Mapping[str, "Contents"]]
"""Returns the wheels by their paths, but those with a fault."""

_LENGTH = struct.Struct("=I")


def nothing_prefetched() -> Mapping[str, Contents]:
    """No wheel was read ahead."""
    return {}


@contextlib.contextmanager
def prefetching(source: Path) -> Iterator[Prefetched]:
    """Read the wheels of the bundle at ``source`` while the block runs; no process outlives it.

    Who requires them reads those that are left, in turns with the other process.
    """
    alone = worker_count() == 1 or not may_fork()
    # a Python that was built for a C library before glibc 2.27 has not got the call
    alone = alone or not hasattr(os, "memfd_create")
    with contextlib.ExitStack() as stack:
        ahead = nothing_prefetched
        with contextlib.suppress(OSError):  # no room for a process or a file: a saving less
            ahead = ahead if alone else _started(source, stack)
        yield ahead


def _started(source: Path, stack: contextlib.ExitStack) -> Prefetched:
    names = _largest_first(BundleTree(source).packages)
    # in memory, without a name; a pipe would make the other process wait for this one
    found = stack.enter_context(os.fdopen(os.memfd_create("wheels"), "w+b"))
    turns = SharedTurns(len(names))
    stack.callback(turns.close)
    children: list[int] = []
    stack.callback(end_workers, children)

    def give() -> None:
        for item in _read(names, turns):
            data = marshal.dumps(_packed(*item))
            found.write(_LENGTH.pack(len(data)) + data)
        found.flush()

    def take() -> Mapping[str, Contents]:
        read = dict(_read(names, turns))
        if children:
            _, status = os.waitpid(children[-1], 0)
            children.pop()
            if status == 0:
                found.seek(0)
                read.update(_unpacked(found.read()))
        return read

    fork_worker(children, give)
    return take


def _largest_first(packages: Path) -> list[str]:
    """The wheels' paths, so that no process is left with a large one at the end."""
    try:
        with os.scandir(packages) as entries:
            sizes = {entry.path: entry.stat().st_size for entry in entries if entry.is_file()}
    except OSError:
        return []  # reading the image says why
    wheels = [path for path in sizes if path.endswith(".whl")]
    return sorted(wheels, key=lambda path: (-sizes[path], path))[: SharedTurns.MOST]


def _read(paths: Sequence[str], turns: SharedTurns) -> Iterator[tuple[str, Contents]]:
    """The wheels whose turn comes in this process, up to the first with a fault."""
    from lls_provider.contract.limits import wheel_limits
    from lls_provider.runtime.wheelfile.contents import read_contents

    with contextlib.suppress(SdkError):
        limits = wheel_limits()
        for turn in turns:
            path = paths[turn]
            yield path, read_contents(Path(path), limits)


def _packed(path: str, contents: Contents) -> tuple[Any, ...]:
    """The same in types that `marshal` knows; it is several times as fast as `pickle`."""
    size, dist_info, data_folders, metadata, about, files, record = contents
    rows = [(*file[:5], file.member and tuple(file.member), file.content) for file in files]
    headers = metadata.fields, about.fields
    return path, size, dist_info, data_folders, *headers, rows, tuple(record)


def _unpacked(data: bytes) -> Iterator[tuple[str, Contents]]:
    from lls_provider.runtime.wheelfile.archive import Member
    from lls_provider.runtime.wheelfile.contents import Contents, Headers, WheelFile

    view = memoryview(data)
    while view:
        end = _LENGTH.size + _LENGTH.unpack_from(view)[0]
        # our own process wrote it: no one else has this file
        item = marshal.loads(view[_LENGTH.size : end])  # noqa: S302
        path, size, dist_info, data_folders, metadata, about, rows, record = item
        files = tuple(
            WheelFile._make((*row[:5], row[5] and Member._make(row[5]), row[6])) for row in rows
        )
        headers = Headers.of(metadata), Headers.of(about)
        whole = WheelFile._make(record)
        yield path, Contents(size, dist_info, data_folders, *headers, files, whole)
        view = view[end:]
