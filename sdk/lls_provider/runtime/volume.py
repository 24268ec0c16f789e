"""The shared volume: its places, its lock, and the records that declare what is on it.

The state of the volume is declared by the provider records alone. Everything of ours that no
record claims is the rest of an interrupted installation and goes; what such an installation
moved out of the way comes back. So no journal is needed.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from lls_provider.contract.models import provider_id_problem, read_crd_config
from lls_provider.contract.paths import CRD_CONFIG_FILE, VolumeTree
from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import SILENT, Progress
from lls_provider.runtime.archive import name_problem
from lls_provider.runtime.errnos import volume_error
from lls_provider.runtime.record import RECORD_FILE, ProviderRecord
from lls_provider.runtime.regular import read_regular
from lls_provider.runtime.unpack import FOLDER_MODE, MTIME_NS, set_folder_times, write_all

_STAGING = ".staging"
_REPLACED = ".replaced"
_SUSPENDED = ".suspended"


class Volume:
    """The volume below ``root``; every writing method expects the lock to be held.

    ``staging`` holds what an installation writes before it is published. ``replaced`` keeps, by
    the provider that replaced them, the files of distributions that may have to come back.
    ``suspended`` is the folder ``metadata`` while packages of visible providers change places.
    """

    def __init__(self, root: Path) -> None:
        self.tree = VolumeTree(root)
        self.staging = self.tree.external / _STAGING
        self.replaced = self.tree.external / _REPLACED
        self.suspended = self.tree.external / _SUSPENDED

    @contextlib.contextmanager
    def locked(self, progress: Progress = SILENT) -> Iterator[None]:
        """Hold the volume's kernel lock; it dies with its owner, however that ends.

        Raises SdkError VOLUME_UNWRITABLE when the folder cannot be made, VOLUME_UNSAFE when a
        folder of ours is a link or a file.
        """
        folder = self.tree.external
        try:
            make_folder(folder)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise volume_error(error, "preparing the volume", folder) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress.step(f"waiting for another installation into {folder} to end")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._check_places()
            yield
        finally:
            os.close(descriptor)

    def _check_places(self) -> None:
        """Whoever shares the volume may have put a link where a folder of ours belongs."""
        tree = self.tree
        folders = (tree.python_packages, tree.metadata, tree.zipapp.parent)
        for folder in (*folders, self.staging, self.replaced, self.suspended):
            if folder.is_symlink() or (os.path.lexists(folder) and not folder.is_dir()):
                what = "a link" if folder.is_symlink() else "no folder"
                raise SdkError(
                    Code.VOLUME_UNSAFE,
                    "The volume is not as an installation may use it",
                    why=f"A folder belongs here, but it is {what}: writing would end elsewhere.",
                    where=Where(file=str(folder)),
                    resolution="Find out which container put it there, and give the Pod a new "
                    "volume.",
                )

    def records(self) -> list[ProviderRecord]:
        """Every installed provider, by slot; suspended ones as well.

        A folder that another installer made is known by its ``crd-config.yaml``. Raises
        SdkError DOCUMENT_INVALID, or what reading a ``crd-config.yaml`` raises.
        """
        found = {}
        for parent in (self.tree.metadata, self.suspended):
            for name in names(parent):
                record = _record(parent / name)
                if record is not None:
                    found[name] = record
        return sorted(found.values(), key=lambda record: (record.order, record.container))

    @property
    def providers(self) -> Path:
        """The folder that holds one folder a provider at the moment."""
        return self.suspended if self.suspended.is_dir() else self.tree.metadata

    def suspend(self) -> None:
        """Hide every provider: what they rely on is about to change places."""
        if self.tree.metadata.is_dir() and not self.suspended.is_dir():
            self.tree.metadata.rename(self.suspended)

    def resume(self) -> None:
        """Show the suspended providers, all at once."""
        if not self.suspended.is_dir():
            return
        # somebody else may have made the folder anew after a run of ours was killed
        for name in names(self.tree.metadata):
            self.discard(self.suspended / name)
            (self.tree.metadata / name).rename(self.suspended / name)
        set_folder_times(self.suspended, below=False)
        self.suspended.rename(self.tree.metadata)

    def retract(self, provider_id: str) -> None:
        """Make a provider's folder disappear at once."""
        self.discard(self.providers / provider_id)

    def discard(self, folder: Path) -> None:
        """Take a folder off the volume in one step, then remove it."""
        if os.path.lexists(folder):
            rest = self.staging / "discarded"
            make_folder(rest)
            folder.rename(rest / folder.name)
            shutil.rmtree(rest)

    def clean_staging(self) -> None:
        """Remove what an interrupted run left in the staging folder, and the folder."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.staging)
            set_folder_times(self.tree.external, below=False)


def names(folder: Path) -> list[str]:
    """The names in a folder, sorted; none when there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, when it is not there. Raises OSError."""
    if not folder.is_dir():
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a new file with the fixed time (the umask must be 0o002 or less). Raises OSError."""
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        write_all(out, data)
        os.utime(out, ns=(MTIME_NS, MTIME_NS))
    finally:
        os.close(out)


def recorded_files(dist_info: Path) -> list[str]:
    """What the RECORD of a dist-info folder lists, its own files last; unsafe names never."""
    data = read_regular(dist_info / "RECORD")
    if data is None:
        return []
    try:
        lines = io.StringIO(data.decode("utf-8"), newline="")
        paths = [row[0] for row in csv.reader(lines) if row]
    except (UnicodeDecodeError, csv.Error):
        return []
    prefix = dist_info.name + "/"
    safe = [path for path in paths if name_problem(path) is None]
    # RECORD itself comes last, so that an interrupted removal still knows the rest
    return sorted(safe, key=lambda path: (path.startswith(prefix), path == prefix + "RECORD", path))


def _record(folder: Path) -> ProviderRecord | None:
    if provider_id_problem(folder.name) is not None:
        return None
    path = folder / RECORD_FILE
    if os.path.lexists(path):
        return ProviderRecord.load(read_regular(path), path)
    if (folder / CRD_CONFIG_FILE).is_file():
        crd = read_crd_config(folder / CRD_CONFIG_FILE)
        return ProviderRecord(folder.name, crd.image, crd.init_container_name, crd.order)
    return None
