"""Writes the files of wheels into a directory, and verifies each against RECORD meanwhile."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.errors import Code
from lls_provider.runtime.messages import wheel_error
from lls_provider.runtime.process.workers import run_jobs
from lls_provider.runtime.wheelfile.archive import open_wheel, read_member
from lls_provider.runtime.wheelfile.record import verify_content

if TYPE_CHECKING:
    from lls_provider.runtime.wheelfile.contents import WheelFile
    from lls_provider.runtime.wheelfile.wheel import Wheel

MTIME_NS = 315_532_800 * 10**9
"""1980-01-01: the time of everything installed, so that equal inputs give equal trees."""

DIRECTORY_MODE = 0o775
"""Group-writable: containers of one Pod may have different users, but share a group."""

_JOB_BYTES = 8 * 1024 * 1024
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Unpacking:
    """A wheel and the files of it to write."""

    wheel: Wheel
    files: tuple[WheelFile, ...]


def unpack(unpackings: Sequence[Unpacking], directory: Path, *, workers: int) -> None:
    """Write all files below ``directory``, which exists and is empty.

    Times depend on the wheels alone, and so do modes with a umask of 0o002 or less. Raises
    SdkError WHEEL_..., NO_SPACE or VOLUME_UNWRITABLE; what was written by then is left for the
    caller to remove.
    """
    jobs = list(_jobs(unpackings))
    root = os.fspath(directory)

    def work(number: int) -> None:
        _write(jobs[number], root)

    run_jobs(len(jobs), work, workers=workers, doing="writing the packages")


def directories_of(unpackings: Iterable[Unpacking]) -> frozenset[str]:
    """The directories that files are written to, parents included; "" is the top one."""
    found = {""}
    for unpacking in unpackings:
        for directory in {file.path.rpartition("/")[0] for file in unpacking.files}:
            while directory not in found:
                found.add(directory)
                directory = directory.rpartition("/")[0]
    return frozenset(found)


def set_directory_times(root: Path, *, below: bool = True) -> None:
    """Give a directory, and every directory below it, the fixed time."""
    set_times((directory for directory, _, _ in os.walk(root)) if below else [os.fspath(root)])


def set_times(directories: Iterable[str]) -> None:
    """Give directories the fixed time; those of other users are skipped.

    The volume's own directory belongs to the node, and another container may run as another user.
    """
    for directory in directories:
        try:
            os.utime(directory, ns=(MTIME_NS, MTIME_NS), follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.EPERM:
                raise


def _jobs(unpackings: Sequence[Unpacking]) -> Iterator[Unpacking]:
    """Parts of wheels, so that several processes can share a large one."""
    total = sum(file.size for unpacking in unpackings for file in unpacking.files)
    limit = max(_JOB_BYTES, total // 1024)
    for unpacking in unpackings:
        part: list[WheelFile] = []
        size = 0
        for file in unpacking.files:
            part.append(file)
            size += file.size
            if size >= limit:
                yield Unpacking(unpacking.wheel, tuple(part))
                part, size = [], 0
        if part:
            yield Unpacking(unpacking.wheel, tuple(part))


def _write(job: Unpacking, root: str) -> None:
    path = job.wheel.path
    made: set[str] = set()
    descriptor = open_wheel(path)
    try:
        for file in job.files:
            directory = os.path.dirname(file.path)  # noqa: PTH120 - 14,000 times
            try:
                if directory not in made:
                    _make_directory(root, directory)
                    made.add(directory)
                _write_file(path, descriptor, file, f"{root}/{file.path}")
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                why = f"{file.path} is a file and a directory at once"
                raise wheel_error(Code.WHEEL_PATH_CONFLICT, path, why) from error
    finally:
        os.close(descriptor)


def _make_directory(root: str, directory: str) -> None:
    try:
        os.mkdir(f"{root}/{directory}" if directory else root, DIRECTORY_MODE)  # noqa: PTH102
    except FileExistsError:
        return
    except FileNotFoundError:
        _make_directory(root, os.path.dirname(directory))  # noqa: PTH120
        _make_directory(root, directory)


def _write_file(path: Path, wheel: int, file: WheelFile, target: str) -> None:
    out = os.open(target, _FLAGS, 0o755 if file.executable else 0o644)
    try:
        if file.member is None:
            write_all(out, file.content)
        else:
            digest = hashlib.new(file.algorithm)
            for piece in read_member(path, wheel, file.member):
                digest.update(piece)
                write_all(out, piece)
            verify_content(digest.digest(), file.digest, file.member.name, path)
        os.utime(out, ns=(MTIME_NS, MTIME_NS))
    finally:
        os.close(out)


def write_all(out: int, data: bytes) -> None:
    """Write to a descriptor until nothing is left. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]
