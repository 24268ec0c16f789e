"""Repacks built wheels so that equal content is equal bytes.

What a backend's zip writer leaves in (times, order, compression, modes) is removed.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from lls_provider.errors import Code, SdkError, Where
from lls_provider.system.cache import writing
from lls_provider.system.files import atomic_file

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_CHUNK = 1024 * 1024
# what zipfile and the decompressors raise for a file that is damaged or no zip of this kind
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
_SIGNATURES = ("RECORD.jws", "RECORD.p7s")  # of the RECORD that is written again


def repack(wheel: Path, out: Path) -> Path:
    """Write the wheel again into the directory ``out``: sorted, stored, one time, two modes.

    Its RECORD is made from what is really in it. Raises SdkError WHEEL_INVALID.
    """
    target = out / wheel.name
    try:
        with zipfile.ZipFile(wheel) as archive, writing(target):
            out.mkdir(parents=True, exist_ok=True)
            with atomic_file(target, mode=0o644) as stream:
                _write(archive, stream)
    except _UNREADABLE as error:
        raise SdkError(
            Code.WHEEL_INVALID,
            f"{wheel.name} is not a wheel",
            why=str(error) or "It ends before its content does.",
            where=Where(file=str(wheel)),
            resolution="Check the build backend of the project.",
        ) from error
    return target


def _write(archive: zipfile.ZipFile, target: BinaryIO) -> None:
    members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
    records = [name for name in members if _is_record(name)]
    if len(records) != 1:
        raise zipfile.BadZipFile(f"It holds {len(records)} *.dist-info/RECORD instead of one.")
    record = records[0]
    folder = record.rpartition("/")[0]
    rows: list[tuple[str, str, str]] = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        # the metadata comes last, as the wheel specification recommends
        for name in sorted(members, key=lambda it: (it.startswith(f"{folder}/"), it)):
            if name == record or name.removeprefix(f"{folder}/") in _SIGNATURES:
                continue
            info = _entry(name, executable=bool(members[name].external_attr >> 16 & 0o111))
            info.file_size = members[name].file_size
            digest, size = hashlib.sha256(), 0
            with archive.open(members[name]) as source, packed.open(info, "w") as sink:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
                    sink.write(chunk)
            encoded = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
            rows.append((name, f"sha256={encoded}", str(size)))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*rows, (record, "", "")])
        packed.writestr(_entry(record), text.getvalue())


def _is_record(name: str) -> bool:
    folder, _, base = name.rpartition("/")
    return base == "RECORD" and folder.endswith(".dist-info") and "/" not in folder


def _entry(name: str, *, executable: bool = False) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _ZIP_EPOCH)
    info.create_system = 3
    info.external_attr = (0o100755 if executable else 0o100644) << 16
    return info
