"""The sections of our cache: what each holds and how large it is, and how they are removed.

Every process that uses a section holds the cache until it ends (a shared lock). `prune` needs it
alone: it renames the sections away, which is done at once or not at all, gives the cache free
again, and only then deletes. A run that begins meanwhile finds an empty cache and fills it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lls_provider.errors import Code, SdkError, Where, nearest_word
from lls_provider.progress import SILENT, Progress, shown_size
from lls_provider.system.cache import cache_root, uv_cache_root, writing

SECTIONS = {
    "environments": "packages of servers, installed",
    "backends": "build backends, installed",
    "files": "packages that were downloaded",
    "built": "wheels that were built of sources",
    "provided": "what servers provide, as wheels without content",
    "blobs": "layers and manifests of registries",
    "daemon": "images of a daemon",
    "layers": "digests of layers",
    "native": "what native files of wheels need",
    "bases": "what bases contain",
    "configurations": "configurations of servers' images",
    "distributions": "packages of servers' images",
    "uv": "uv's own cache",
}
"""The directories of the cache by name, with what they hold."""

_LOCK = ".lock"
_TRASH = ".pruned-"
_held: dict[Path, int] = {}
_holding = threading.Lock()


@dataclass(frozen=True, slots=True)
class CacheSection:
    """A section: its entries, and the bytes that they take on this machine."""

    name: str
    about: str
    path: Path
    entries: int
    size: int


def cache_section(name: str) -> Path:
    """The directory of a section; the cache is held from now on until this process ends."""
    if name not in SECTIONS:
        raise ValueError(name)
    root = cache_root()
    _hold(root)
    return root / name


def _hold(root: Path) -> None:
    with _holding:
        if root in _held:
            return
        # who cannot write the cache can read what is in it, if need be without the lock
        with contextlib.suppress(OSError):
            root.mkdir(parents=True, exist_ok=True)
            handle = _open_lock(root)
            fcntl.flock(handle, fcntl.LOCK_SH)
            _held[root] = handle


def _open_lock(root: Path) -> int:
    path = root / _LOCK
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def uv_is_inside() -> bool:
    """Whether uv's cache is a section of ours, and not the one that uv uses by itself."""
    return uv_cache_root() == cache_root() / "uv"


def cache_sections() -> list[CacheSection]:
    """The sections that exist."""
    root = cache_root()
    found = []
    for name, about in SECTIONS.items():
        path = root / name
        if path.is_dir() and (name != "uv" or uv_is_inside()):
            found.append(CacheSection(name, about, path, _entries(path), size_below(path)))
    return found


def size_below(path: Path) -> int:
    """The bytes that files below a directory take, each file once; 0 for what cannot be read."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for _directory, _names, files, descriptor in os.fwalk(path):
        for name in files:
            with contextlib.suppress(OSError):
                state = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if state.st_nlink > 1:
                    if (state.st_dev, state.st_ino) in seen:
                        continue
                    seen.add((state.st_dev, state.st_ino))
                if stat.S_ISREG(state.st_mode):
                    total += state.st_size
    return total


def prune(
    names: Iterable[str] = (), *, dry_run: bool = False, progress: Progress = SILENT
) -> list[CacheSection]:
    """Remove the sections ``names`` (default: all) and return them; ``dry_run`` removes nothing.

    Raises SdkError USAGE for an unknown section, CACHE_IN_USE while another run uses the cache
    (nothing is removed then), and CACHE_UNWRITABLE.
    """
    wanted = tuple(names)
    _require_known(wanted)
    root = cache_root()
    found = [it for it in cache_sections() if not wanted or it.name in wanted]
    if dry_run or not root.is_dir():
        return found
    with writing(root):
        with _alone(root):
            if found:
                trash = root / f"{_TRASH}{os.urandom(8).hex()}"
                trash.mkdir(mode=0o700)
                for section in found:
                    section.path.rename(trash / section.name)
        if found:
            progress.step(f"removing {shown_size(sum(it.size for it in found))}")
        # also what a run that was killed left
        for left in root.glob(f"{_TRASH}*"):
            shutil.rmtree(left)
    return found


def _require_known(names: Iterable[str]) -> None:
    for name in names:
        if name not in SECTIONS:
            meant = nearest_word(name, SECTIONS)
            hint = f" Did you mean '{meant}'?" if meant else ""
            raise SdkError(
                Code.USAGE,
                f"The cache has no section {name!r:.100}.{hint}",
                resolution=f"Name some of {', '.join(SECTIONS)}, or none for all.",
            )


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the cache alone. Raises SdkError CACHE_IN_USE when another process holds it."""
    handle = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise cache_in_use(root, _holders(handle)) from error
        yield
    finally:
        os.close(handle)


def cache_in_use(root: Path, holders: Iterable[int]) -> SdkError:
    """The error CACHE_IN_USE, with the processes that hold the cache as far as they are known."""
    named = ", ".join(map(str, holders))
    return SdkError(
        Code.CACHE_IN_USE,
        "The cache is in use",
        why=f"Process {named} uses it." if named else "Another run uses it.",
        where=Where(file=str(root)),
        resolution="Wait until the other runs of lls-provider have ended, such as one that keeps a "
        "server up, then prune again.",
    )


def _holders(handle: int) -> list[int]:
    """The processes that hold a lock on the file, as far as the kernel lists them."""
    state = os.fstat(handle)
    place = f"{os.major(state.st_dev):02x}:{os.minor(state.st_dev):02x}:{state.st_ino}"
    with contextlib.suppress(OSError, ValueError):
        rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        return sorted({int(row[4]) for row in rows if row[1] == "FLOCK" and row[5] == place})
    return []


def _entries(path: Path) -> int:
    """How many entries a section has, without the locks beside them."""
    with contextlib.suppress(OSError):
        return sum(1 for it in os.scandir(path) if not it.name.endswith(".lock"))
    return 0
