"""Record: metadata, the list of packages and the zipapp's copy, the provider's folder last.

All of it is written beside the packages in the staging folder first, so that a volume that is
full or failing says so while nothing that is installed was touched.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider import __version__
from lls_provider.contract.document import dump, load
from lls_provider.contract.paths import CRD_CONFIG_FILE, SPEC_FILE
from lls_provider.runtime.record import RECORD_FILE, ProviderRecord, installed_packages_text
from lls_provider.runtime.unpack import FOLDER_MODE, MTIME_NS, set_folder_times, write_all

if TYPE_CHECKING:
    from lls_provider.contract.models import CrdConfig
    from lls_provider.runtime.volume import Volume

_METADATA = "metadata"
_FILES = (SPEC_FILE, CRD_CONFIG_FILE, RECORD_FILE)  # the record last: by it a rerun is judged
_VERSION = re.compile(rb'^__version__ = "([^"]+)"', re.MULTILINE)


def crd_config_bytes(crd: CrdConfig) -> bytes:
    """The file ``crd-config.yaml``, proven to be readable again.

    Raises SdkError YAML_LIMIT when the configuration is larger than the merge would read.
    """
    data = dump(crd.to_document()).encode()
    load(data, CRD_CONFIG_FILE)
    return data


def prepare(
    volume: Volume,
    record: ProviderRecord,
    others: Sequence[ProviderRecord],
    *,
    spec: bytes,
    crd_config: bytes,
    zipapp: Path | None,
) -> None:
    """Write into the staging folder all that `publish` puts in its place. Raises OSError."""
    folder = volume.staging / _METADATA / record.provider_id
    folder.mkdir(mode=FOLDER_MODE, parents=True)
    for name, data in zip(_FILES, (spec, crd_config, record.dump()), strict=True):
        _write(folder / name, data)
    set_folder_times(folder, below=False)
    installed = volume.tree.installed_packages.name
    _write(volume.staging / installed, installed_packages_text([*others, record]).encode())
    if zipapp is not None:
        _prepare_zipapp(volume, zipapp)


def publish(volume: Volume, record: ProviderRecord, *, again: bool) -> None:
    """Put in place what `prepare` wrote: by the last rename the provider is visible.

    ``again`` tells that the provider is visible already and keeps its packages: then its files
    change one by one, the record last, and it is complete at each moment. Raises OSError.
    """
    tree = volume.tree
    zipapp = volume.staging / tree.zipapp.name
    if zipapp.exists():
        tree.zipapp.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
        zipapp.replace(tree.zipapp)
        set_folder_times(tree.zipapp.parent, below=False)
    (volume.staging / tree.installed_packages.name).replace(tree.installed_packages)
    folder = volume.staging / _METADATA / record.provider_id
    shown = volume.providers / record.provider_id
    if again:
        for name in _FILES:
            (folder / name).replace(shown / name)
        set_folder_times(shown, below=False)
    else:
        shown.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
        volume.discard(shown)  # no provider's: it has no record
        folder.rename(shown)
    set_folder_times(shown.parent, below=False)
    volume.resume()
    volume.clean_staging()


def running_zipapp() -> Path | None:
    """The zipapp this code runs from, None when it runs from an installed SDK."""
    archive = getattr(__spec__.loader, "archive", None) if __spec__ is not None else None
    return Path(archive) if isinstance(archive, str) else None


def _prepare_zipapp(volume: Volume, zipapp: Path) -> None:
    """A copy for merge and preflight, unless the one on the volume is as new or newer."""
    target = volume.tree.zipapp
    data = zipapp.read_bytes()
    if target.is_file():
        present = target.read_bytes()
        if present == data or _rank(target, present) > _rank(zipapp, data):
            return
    _write(volume.staging / target.name, data, mode=0o755)


def _rank(path: Path, data: bytes) -> tuple[tuple[int, ...], bytes]:
    """Newer versions rank higher; of equal ones the order of bytes decides, so it is settled."""
    version = __version__
    try:
        with zipfile.ZipFile(path) as archive:
            match = _VERSION.search(archive.read("lls_provider/__init__.py"))
            version = match[1].decode() if match else "0"
    except (zipfile.BadZipFile, KeyError, OSError):
        version = "0"
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)), data


def _write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        write_all(out, data)
        os.utime(out, ns=(MTIME_NS, MTIME_NS))
    finally:
        os.close(out)
