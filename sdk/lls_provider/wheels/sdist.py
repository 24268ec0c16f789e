"""Unpacks source archives: whatever an archive names stays in the folder it is unpacked into."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path

from lls_provider.errors import Code, SdkError, Where
from lls_provider.system.cache import writing

_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


def unpack_sdist(archive: Path, out: Path) -> Path:
    """Unpack a ``.tar.gz``, another tar or a ``.zip`` into ``out``; returns the project's folder.

    Raises SdkError WHEEL_BUILD_FAILED for an archive that is damaged, leads out of its folder
    or holds no single folder, NO_SPACE or OUTPUT_UNWRITABLE.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped, writing(out):
                zipped.extractall(out)  # noqa: S202 - it takes away what leads out
        else:
            with tarfile.open(archive) as tar, writing(out):
                tar.extractall(out, filter="data")
    except (*_DAMAGED, OSError) as error:
        raise _refused(archive, str(error) or "It ends before its content does.") from error
    found = list(out.iterdir())
    if len(found) != 1 or not found[0].is_dir() or found[0].is_symlink():
        raise _refused(archive, "It does not hold one folder.")
    return found[0]


def _refused(archive: Path, why: str) -> SdkError:
    return SdkError(
        Code.WHEEL_BUILD_FAILED,
        f"{archive.name} cannot be unpacked",
        why=why,
        where=Where(file=str(archive)),
        resolution="Ask its authors for a source archive that holds to PEP 625, or for a wheel.",
    )
