"""Unpacks the source archive of a project (sdist), from which nothing may lead out."""

from __future__ import annotations

import shutil
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
    """Unpack a tar or ``.zip`` archive into ``out``; returns the project's directory.

    Raises SdkError WHEEL_BUILD_FAILED for an archive that is damaged, leads out of its directory
    or does not have a single directory, NO_SPACE or OUTPUT_UNWRITABLE.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped, writing(out):
                zipped.extractall(out)  # noqa: S202 - it takes away what leads out
        else:
            with tarfile.open(archive) as tar, writing(out):
                _extract(tar, out)
    except (*_DAMAGED, OSError) as error:
        raise _sdist_error(archive, str(error) or "It ends before its content does.") from error
    found = list(out.iterdir())
    if len(found) != 1 or not found[0].is_dir() or found[0].is_symlink():
        raise _sdist_error(archive, "It does not hold one directory.")
    return found[0]


def _extract(tar: tarfile.TarFile, out: Path) -> None:
    if hasattr(tarfile, "data_filter"):
        tar.extractall(out, filter="data")
        return
    # Python 3.11.0 to 3.11.3, such as Debian 12's: files and directories alone can lead nowhere
    for member in tar:
        target = out / member.name.lstrip("/")
        if not (member.isreg() or member.isdir()) or ".." in target.parts:
            raise ValueError(f"{member.name!r} is not a file below its directory.")
        if (content := tar.extractfile(member)) is None:
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with content, target.open("wb") as stream:
            shutil.copyfileobj(content, stream)
        target.chmod(0o755 if member.mode & 0o100 else 0o644)


def _sdist_error(archive: Path, why: str) -> SdkError:
    return SdkError(
        Code.WHEEL_BUILD_FAILED,
        f"{archive.name} cannot be unpacked",
        why=why,
        where=Where(file=str(archive)),
        resolution="Ask its authors for a source archive as PEP 625 specifies, or for a wheel.",
    )
