"""Record: metadata, the list of packages and the zipapp's copy, the provider's folder last."""

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
from lls_provider.runtime.signals import check_stopped
from lls_provider.runtime.unpack import FOLDER_MODE, MTIME_NS, set_folder_times

if TYPE_CHECKING:
    from lls_provider.contract.models import CrdConfig
    from lls_provider.runtime.volume import Volume

_VERSION = re.compile(rb'^__version__ = "([^"]+)"', re.MULTILINE)


def crd_config_bytes(crd: CrdConfig) -> bytes:
    """The file ``crd-config.yaml``, proven to be readable again.

    Raises SdkError YAML_LIMIT when the configuration is larger than the merge would read.
    """
    data = dump(crd.to_document()).encode()
    load(data, CRD_CONFIG_FILE)
    return data


def publish(
    volume: Volume,
    record: ProviderRecord,
    others: Sequence[ProviderRecord],
    *,
    spec: bytes,
    crd_config: bytes,
    zipapp: Path | None,
) -> None:
    """Write down a provider whose packages are in place; from the last rename on it is visible.

    Raises OSError.
    """
    tree = volume.tree
    if zipapp is not None:
        _copy_zipapp(volume, zipapp)
    _write(volume, tree.installed_packages, installed_packages_text([*others, record]).encode())
    folder = volume.staging / "metadata" / record.provider_id
    folder.mkdir(mode=FOLDER_MODE, parents=True)
    for name, data in (
        (SPEC_FILE, spec),
        (CRD_CONFIG_FILE, crd_config),
        (RECORD_FILE, record.dump()),
    ):
        (folder / name).write_bytes(data)
        _fix(folder / name)
    set_folder_times(folder, below=False)
    tree.metadata.mkdir(mode=FOLDER_MODE, exist_ok=True)
    check_stopped()
    volume.retract(record.provider_id)
    folder.rename(tree.metadata / record.provider_id)
    volume.clean_staging()
    for parent in (tree.metadata, tree.external):
        set_folder_times(parent, below=False)


def running_zipapp() -> Path | None:
    """The zipapp this code runs from, None when it runs from an installed SDK."""
    archive = getattr(__spec__.loader, "archive", None) if __spec__ is not None else None
    return Path(archive) if isinstance(archive, str) else None


def _copy_zipapp(volume: Volume, zipapp: Path) -> None:
    """Leave a copy for merge and preflight; the newest wins."""
    target = volume.tree.zipapp
    data = zipapp.read_bytes()
    if target.is_file():
        present = target.read_bytes()
        if present == data or _rank(target, present) > _rank(zipapp, data):
            return
    target.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
    _write(volume, target, data, mode=0o755)
    set_folder_times(target.parent, below=False)


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


def _write(volume: Volume, target: Path, data: bytes, *, mode: int = 0o644) -> None:
    volume.staging.mkdir(mode=FOLDER_MODE, exist_ok=True)
    temporary = volume.staging / target.name
    temporary.write_bytes(data)
    _fix(temporary, mode)
    temporary.replace(target)


def _fix(path: Path, mode: int = 0o644) -> None:
    path.chmod(mode)
    os.utime(path, ns=(MTIME_NS, MTIME_NS))
