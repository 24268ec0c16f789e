"""The shared volume: its directories, its lock, the records of what is on it, the runtime copy.

The provider records alone declare the state of the volume. Everything of ours that no record claims
is left over from an interrupted installation and is removed; what such an installation moved out of
the way is moved back. So no journal is needed.

Packages that a record names and that no longer exist are found here: otherwise a volume that is not
mounted, or that was emptied, would look like a provider that names a wrong module.

The runtime copy is the zipapp from which merge and preflight run: the newest version is used. The
one that it replaces is kept, and put back when the provider that brought the newer one is removed.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import hashlib
import io
import os
import re
import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lls_provider.contract.models import provider_id_problem, read_crd_config
from lls_provider.contract.names import CRD_CONFIG_FILE, VolumeTree
from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import SILENT, Progress
from lls_provider.runtime.messages import volume_error
from lls_provider.runtime.volume.installed import RECORD_FILE, ProviderRecord, read_regular
from lls_provider.runtime.wheelfile.archive import name_problem
from lls_provider.runtime.wheelfile.unpack import (
    DIRECTORY_MODE,
    MTIME_NS,
    set_directory_times,
    write_all,
)
from lls_provider.system.files import path_kind

if TYPE_CHECKING:
    from packaging.version import Version


_STAGING = ".staging"
_REPLACED = ".replaced"
_SUSPENDED = ".suspended"


class Volume:
    """The volume below ``root``; every writing method expects the lock to be held.

    ``staging`` holds what an installation writes before it is published. ``replaced`` keeps, by
    the provider that replaced them, the files of distributions that may have to come back.
    ``suspended`` is the directory ``metadata`` while packages of visible providers change places.
    """

    def __init__(self, root: Path) -> None:
        self.tree = VolumeTree(root)
        self.staging = self.tree.external / _STAGING
        self.replaced = self.tree.external / _REPLACED
        self.suspended = self.tree.external / _SUSPENDED

    @contextlib.contextmanager
    def locked(self, progress: Progress = SILENT) -> Iterator[None]:
        """Hold the volume's kernel lock, which ends with its process.

        Raises SdkError VOLUME_UNWRITABLE if the directory cannot be made, VOLUME_UNSAFE if a
        directory of ours is a link or a file.
        """
        directory = self.tree.external
        try:
            make_directory(directory)
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise volume_error(error, "preparing the volume", directory) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress.step(f"waiting for another installation into {directory} to end")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._check_places()
            yield
        finally:
            os.close(descriptor)

    def _check_places(self) -> None:
        """Refuse a link or a file that another container put where a directory of ours belongs."""
        tree = self.tree
        directories = (tree.python_packages, tree.metadata, tree.zipapp.parent)
        for directory in (*directories, self.staging, self.replaced, self.suspended):
            if directory.is_symlink() or (os.path.lexists(directory) and not directory.is_dir()):
                what = "a link" if directory.is_symlink() else "not a directory"
                raise SdkError(
                    Code.VOLUME_UNSAFE,
                    "The volume is not safe to use",
                    why=f"A directory belongs here, but it is {what}: files would go elsewhere.",
                    where=Where(file=str(directory)),
                    resolution="Find out which container put it there, and give the Pod a new "
                    "volume.",
                )

    def records(self) -> list[ProviderRecord]:
        """Every installed provider, by slot, including suspended ones.

        A directory that another installer made is recognised by its ``crd-config.yaml``. Raises
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
        """The directory that holds the providers' directories at the moment."""
        return self.suspended if self.suspended.is_dir() else self.tree.metadata

    def suspend(self) -> None:
        """Hide every provider, because packages that they rely on are about to be moved."""
        if self.tree.metadata.is_dir() and not self.suspended.is_dir():
            self.tree.metadata.rename(self.suspended)

    def resume(self) -> None:
        """Show the suspended providers, all at once."""
        if not self.suspended.is_dir():
            return
        # another process may have made the directory again after a run of ours was killed
        for name in names(self.tree.metadata):
            self.discard(self.suspended / name)
            (self.tree.metadata / name).rename(self.suspended / name)
        set_directory_times(self.suspended, below=False)
        self.suspended.rename(self.tree.metadata)

    def retract(self, provider_id: str) -> None:
        """Remove a provider's directory in one step."""
        self.discard(self.providers / provider_id)

    def discard(self, directory: Path) -> None:
        """Move a directory out of the way in one step, then remove it."""
        if os.path.lexists(directory):
            rest = self.staging / "discarded"
            make_directory(rest)
            directory.rename(rest / directory.name)
            shutil.rmtree(rest)

    def clean_staging(self) -> None:
        """Remove what an interrupted run left in the staging directory, and the directory."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.staging)
            set_directory_times(self.tree.external, below=False)


def names(directory: Path) -> list[str]:
    """The names in a directory, sorted; none if it does not exist."""
    try:
        with os.scandir(directory) as entries:
            return sorted(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def make_directory(directory: Path) -> None:
    """Make a directory and its parents if it does not exist. Raises OSError."""
    if not directory.is_dir():
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a new file with the fixed time. Raises OSError."""
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        write_all(out, data)
        os.utime(out, ns=(MTIME_NS, MTIME_NS))
    finally:
        os.close(out)


def recorded_files(dist_info: Path) -> list[str]:
    """What the RECORD of a dist-info directory lists, its own files last, without unsafe names."""
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
    # RECORD itself comes last, so that an interrupted removal can go on
    return sorted(safe, key=lambda path: (path.startswith(prefix), path == prefix + "RECORD", path))


def _record(directory: Path) -> ProviderRecord | None:
    if provider_id_problem(directory.name) is not None:
        return None
    path = directory / RECORD_FILE
    if os.path.lexists(path):
        return ProviderRecord.load(read_regular(path), path)
    if (directory / CRD_CONFIG_FILE).is_file():
        crd = read_crd_config(directory / CRD_CONFIG_FILE)
        return ProviderRecord(directory.name, crd.image, crd.init_container_name, crd.order)
    return None


class MissingPackage(NamedTuple):
    """What is missing, as a message of contract section 6 reports it."""

    reason: str
    details: str
    resolution: str


def missing_packages(
    tree: VolumeTree, record: ProviderRecord, package: str
) -> MissingPackage | None:
    """What is missing of an installed provider with the module ``package``; None if nothing is."""
    packages = tree.python_packages
    if not packages.is_dir():
        kind = path_kind(packages)
        return MissingPackage(
            "The packages of the installed providers are missing",
            f"Directory: {packages}"
            + ("" if kind == "nothing" else f"\n{kind.capitalize()} is there instead."),
            f"Mount all that the init containers wrote at {tree.external}, with python-packages in "
            "it, or name its place with --root.",
        )
    own = next((it for it in record.packages if it.name == record.own), None)
    if own is None:
        return None
    again = "Start the Pod again with a new volume, so that its init containers install again."
    if not os.path.lexists(packages / own.dist_info):
        return MissingPackage(f"The package {own.name} {own.version} no longer exists", "", again)
    directory = package.replace(".", "/")
    expected = {f"{directory}.py", f"{directory}/__init__.py", f"{directory}/provider.py"}
    for path in recorded_files(packages / own.dist_info):
        if path in expected and not os.path.lexists(packages / path):
            return MissingPackage(
                f"A file of the package {own.name} {own.version} no longer exists",
                f"File: {packages / path}",
                again,
            )
    return None


_MODE = 0o755
_OLD = ".old"
_VERSION = re.compile(rb"""^__version__ = ["']([^"']+)["']""", re.MULTILINE)


def running_zipapp() -> Path | None:
    """The zipapp that this code runs from; None if it runs from an installed SDK."""
    archive = getattr(__spec__.loader, "archive", None) if __spec__ is not None else None
    return Path(archive) if isinstance(archive, str) else None


def prepare_zipapp(
    volume: Volume, records: Sequence[ProviderRecord], zipapp: Path | None
) -> str | None:
    """Stage a copy, unless the one that ``records`` declare on the volume is as new or newer.

    Returns its SHA-256; None if nothing was staged.
    """
    if zipapp is None:
        return None
    data = zipapp.read_bytes()
    current = _newest_zipapp(volume, records)
    staged = volume.staging / volume.tree.zipapp.name
    if current is not None:
        present = current.read_bytes()
        if present == data or _rank(current, present) > _rank(zipapp, data):
            return None
        write_file(staged.with_suffix(_OLD), present, mode=_MODE)
    write_file(staged, data, mode=_MODE)
    return hashlib.sha256(data).hexdigest()


def publish_zipapp(volume: Volume, provider_id: str) -> None:
    """Publish the staged zipapp, and keep the one that it replaces."""
    target = volume.tree.zipapp
    staged = volume.staging / target.name
    old = staged.with_suffix(_OLD)
    if old.exists():
        stash = volume.replaced / provider_id
        make_directory(stash)
        old.replace(stash / target.name)
        set_directory_times(volume.replaced)
    if staged.exists():
        make_directory(target.parent)
        staged.replace(target)
        set_directory_times(target.parent, below=False)


def restore_zipapp(volume: Volume, records: Sequence[ProviderRecord]) -> None:
    """Put back the newest zipapp that the providers of ``records`` put on the volume."""
    target = volume.tree.zipapp
    current = _newest_zipapp(volume, records)
    if current is None:
        if target.parent.is_dir():
            shutil.rmtree(target.parent)
    elif current != target:
        current.replace(target)
        set_directory_times(target.parent, below=False)


def _newest_zipapp(volume: Volume, records: Sequence[ProviderRecord]) -> Path | None:
    """The newest zipapp that one of the providers put on the volume, wherever it is now."""
    digests = {record.zipapp for record in records if record.zipapp}
    if not digests:
        return None
    found = [path for path in _zipapps(volume) if _digest(path) in digests]
    return max(found, key=lambda path: _rank(path, path.read_bytes())) if found else None


def _zipapps(volume: Volume) -> Iterator[Path]:
    zipapp = volume.tree.zipapp
    paths = (zipapp, *(volume.replaced / n / zipapp.name for n in names(volume.replaced)))
    return (path for path in paths if path.is_file())


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _rank(path: Path, data: bytes) -> tuple[bool, Version, bytes]:
    """Newer versions rank higher (PEP 440), a zipapp without a version lowest.

    Equal versions are ordered by their bytes, so that the order is total.
    """
    from packaging.version import InvalidVersion, Version

    from lls_provider.runtime.wheelfile.wheel import parse_version

    try:
        return True, parse_version(_version(path)), data
    except InvalidVersion:
        return False, Version("0"), data


def _version(path: Path) -> str:
    """The version that a zipapp states; empty if it states none."""
    import zipfile  # rarely needed: most volumes have no zipapp yet, or the same

    try:
        with zipfile.ZipFile(path) as archive:
            match = _VERSION.search(archive.read("lls_provider/__init__.py"))
    except (zipfile.BadZipFile, KeyError, OSError, ValueError, RuntimeError, EOFError, zlib.error):
        return ""  # not a zipapp of ours
    return match[1].decode("utf-8", "replace") if match else ""
