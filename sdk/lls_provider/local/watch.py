"""Watches the sources of projects, and serves them again when they change (``up --watch``).

Sources are looked at a few times a second: no library and no limit of the kernel is involved, and
it works on network file systems and in containers. A change is acted upon when nothing has changed
for a moment, since an editor or `git checkout` writes several files.

A build that fails leaves the server running as it was. From the installation on it is stopped: the
providers that it imports lie on the volume that is written. A second volume would keep it up for
longer, and would copy every dependency with each change.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, Protocol

from lls_provider.errors import SdkError

POLL = 0.2
"""Seconds between two looks."""

QUIET = 0.2
"""Seconds without a change after which a change is acted upon."""

_LOOK_AGAIN = 0.05  # seconds between two looks while files change

# what tools write, wherever it is
_OUTPUT = {"__pycache__", "node_modules"}
_OUTPUT_SUFFIXES = (".egg-info", ".dist-info", ".pyc", ".pyo", ".swp", ".tmp", "~")
# beside the package; a package of its own may have any name
_OUTSIDE = {"build", "dist", "docs", "htmlcov", "target", "test", "tests", "venv"}

Stamp = tuple[int, int, int]
"""A file's time of change, size and inode: an editor may replace a file within one clock tick."""

Snapshot = Mapping[Path, Mapping[str, Stamp]]
"""The stamps of each project's sources, by path relative to the project."""


class Served(Protocol):
    """What is run again: a run of `up`."""

    def run(self) -> object:
        """Run all phases. Raises the SdkError of the phase that failed."""
        ...

    def again(self, changed: Collection[Path]) -> object:
        """Run them again after projects have changed; raises what `run` raises."""
        ...

    def confirm(self) -> None:
        """Run what `again` left for later; raises what `run` raises."""
        ...

    def require_alive(self) -> None:
        """Raise SdkError if the server has ended by itself."""
        ...


class Reporter(Protocol):
    """Who is told of each run."""

    def served(self, seconds: float) -> None:
        """The server runs and was called, ``seconds`` after the run began."""
        ...

    def failed(self, error: SdkError) -> None:
        """A run has failed, or the server has ended."""
        ...


def keep_serving(
    up: Served,
    watcher: Watcher,
    reporter: Reporter,
    now: Callable[[], float] = time.monotonic,
) -> NoReturn:
    """Run the phases, and again after each change, until a signal's exception ends it.

    An error is reported, and the next change waited for.
    """
    changed: Collection[Path] | None = None
    while True:
        begin = now()
        try:
            if changed is None:
                up.run()
            else:
                up.again(changed)
            reporter.served(now() - begin)
            up.confirm()
        except SdkError as error:
            reporter.failed(error)
        changed = _next_change(up, watcher, reporter)


def _next_change(up: Served, watcher: Watcher, reporter: Reporter) -> Collection[Path]:
    while True:
        try:
            return watcher.wait(up.require_alive)
        except SdkError as error:
            reporter.failed(error)


class Watcher:
    """Waits for changes of the sources of ``projects``, from when it is made on.

    ``look``, ``now`` and ``sleep`` are the sources on disk and the clock.
    """

    def __init__(
        self,
        projects: Sequence[Path],
        *,
        look: Callable[[Sequence[Path]], Snapshot] | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._projects = tuple(projects)
        self._look = look or snapshot
        self._now = now
        self._sleep = sleep
        self._seen = self._look(self._projects)

    def wait(self, meanwhile: Callable[[], object]) -> frozenset[Path]:
        """Return the projects that changed since the last call, as soon as they are quiet.

        ``meanwhile`` is called between two looks; what it raises ends the wait.
        """
        while True:
            found = self._look(self._projects)
            if found != self._seen:
                settled = self._settled(found)
                changed = changed_projects(self._seen, settled)
                self._seen = settled
                if changed:  # else a file came and went
                    return changed
            meanwhile()
            self._sleep(POLL)

    def _settled(self, found: Snapshot) -> Snapshot:
        since = self._now()
        while self._now() - since < QUIET:
            self._sleep(_LOOK_AGAIN)
            newer = self._look(self._projects)
            if newer != found:
                found, since = newer, self._now()
        return found


def changed_projects(before: Snapshot, after: Snapshot) -> frozenset[Path]:
    """Return the projects whose sources differ."""
    return frozenset(project for project in after if before.get(project) != after[project])


def snapshot(projects: Sequence[Path]) -> Snapshot:
    """Return the stamps of all sources; what cannot be read is left out."""
    return {project: dict(_sources(project, "")) for project in projects}


def _sources(project: Path, folder: str) -> Iterator[tuple[str, Stamp]]:
    try:
        entries = list(os.scandir(project / folder))
    except OSError:  # it has just been removed
        return
    for entry in entries:
        path = f"{folder}{entry.name}"
        try:
            is_directory = entry.is_dir()
            if not is_source(path, is_directory=is_directory):
                continue
            if is_directory:
                if entry.is_symlink():  # it may lead back to one above
                    continue
                yield from _sources(project, f"{path}/")
                continue
            stat = entry.stat()
        except OSError:
            continue
        yield path, (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def is_source(path: str, *, is_directory: bool) -> bool:
    """Whether a path of a project is watched: what a build may read, not what tools write."""
    above, _, name = path.rpartition("/")
    if name.startswith(".") or name.endswith(_OUTPUT_SUFFIXES):
        return False
    if not is_directory:
        return True
    return name not in _OUTPUT and (bool(above) or name not in _OUTSIDE)
