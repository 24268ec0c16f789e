"""The zipapp's copy on the volume, which merge and preflight run from: the newest wins.

The one that it takes the place of is kept, so that a provider that goes takes its own along.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.runtime.unpack import set_folder_times
from lls_provider.runtime.volume import Volume, make_folder, names, write_file

if TYPE_CHECKING:
    from packaging.version import Version

    from lls_provider.runtime.record import ProviderRecord

_MODE = 0o755
_OLD = ".old"
_VERSION = re.compile(rb"""^__version__ = ["']([^"']+)["']""", re.MULTILINE)


def running_zipapp() -> Path | None:
    """The zipapp this code runs from, None when it runs from an installed SDK."""
    archive = getattr(__spec__.loader, "archive", None) if __spec__ is not None else None
    return Path(archive) if isinstance(archive, str) else None


def prepare_zipapp(
    volume: Volume, records: Sequence[ProviderRecord], zipapp: Path | None
) -> str | None:
    """Stage a copy, unless that which ``records`` leave on the volume is as new or newer.

    Gives its SHA-256, None when nothing was staged.
    """
    if zipapp is None:
        return None
    data = zipapp.read_bytes()
    standing = _standing(volume, records)
    staged = volume.staging / volume.tree.zipapp.name
    if standing is not None:
        present = standing.read_bytes()
        if present == data or _rank(standing, present) > _rank(zipapp, data):
            return None
        write_file(staged.with_suffix(_OLD), present, mode=_MODE)
    write_file(staged, data, mode=_MODE)
    return hashlib.sha256(data).hexdigest()


def place_zipapp(volume: Volume, provider_id: str) -> None:
    """Put what was staged in its place, and keep what was there."""
    target = volume.tree.zipapp
    staged = volume.staging / target.name
    old = staged.with_suffix(_OLD)
    if old.exists():
        stash = volume.replaced / provider_id
        make_folder(stash)
        old.replace(stash / target.name)
        set_folder_times(volume.replaced)
    if staged.exists():
        make_folder(target.parent)
        staged.replace(target)
        set_folder_times(target.parent, below=False)


def restore_zipapp(volume: Volume, records: Sequence[ProviderRecord]) -> None:
    """Make the zipapp on the volume the one that the providers of ``records`` left there."""
    target = volume.tree.zipapp
    standing = _standing(volume, records)
    if standing is None:
        if target.parent.is_dir():
            shutil.rmtree(target.parent)
    elif standing != target:
        standing.replace(target)
        set_folder_times(target.parent, below=False)


def _standing(volume: Volume, records: Sequence[ProviderRecord]) -> Path | None:
    """The newest zipapp that one of the providers put there, wherever it is now."""
    digests = {record.zipapp for record in records if record.zipapp}
    if not digests:
        return None
    found = [path for path in _places(volume) if _digest(path) in digests]
    return max(found, key=lambda path: _rank(path, path.read_bytes())) if found else None


def _places(volume: Volume) -> Iterator[Path]:
    zipapp = volume.tree.zipapp
    places = (zipapp, *(volume.replaced / n / zipapp.name for n in names(volume.replaced)))
    return (path for path in places if path.is_file())


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _rank(path: Path, data: bytes) -> tuple[bool, Version, bytes]:
    """Newer versions rank higher, by PEP 440, and what has none below all.

    Of equal ones the order of bytes decides, so it is settled.
    """
    from packaging.version import InvalidVersion, Version

    from lls_provider.runtime.requirements import parse_version

    try:
        return True, parse_version(_version(path)), data
    except InvalidVersion:
        return False, Version("0"), data


def _version(path: Path) -> str:
    """What a zipapp says that its version is; empty where it does not."""
    import zipfile  # seldom: most volumes have no zipapp yet, or the same

    try:
        with zipfile.ZipFile(path) as archive:
            match = _VERSION.search(archive.read("lls_provider/__init__.py"))
    except (zipfile.BadZipFile, KeyError, OSError, ValueError, RuntimeError, EOFError, zlib.error):
        return ""  # no zipapp of ours, whatever it is
    return match[1].decode("utf-8", "replace") if match else ""
