"""Reproducible builds: one time for everything that is written, and wheels of equal bytes.

The time is SOURCE_DATE_EPOCH, never the clock. `repack` removes from a built wheel what its
backend's zip writer left in it: times, order, compression and modes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lls_provider.errors import Code, SdkError, Where
from lls_provider.system.cache import writing
from lls_provider.system.files import atomic_file

if TYPE_CHECKING:
    import zipfile

_DAY = 86400
_RECENT = 10**8  # 1973: the earliest plausible time
_END = 8**11  # the first time that a plain tar header cannot hold
# what a zip can hold, less a day at both ends: a backend may write local time
_ZIP_BEGINS = int(datetime(1980, 1, 1, tzinfo=UTC).timestamp()) + _DAY
_ZIP_ENDS = int(datetime(2108, 1, 1, tzinfo=UTC).timestamp()) - _DAY
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_CHUNK = 1024 * 1024
_SIGNATURES = ("RECORD.jws", "RECORD.p7s")  # of the RECORD that is written again


def source_date_epoch(environment: Mapping[str, str] | None = None) -> int:
    """SOURCE_DATE_EPOCH in seconds since 1970; 0 where it is not set or empty.

    Raises SdkError USAGE when it is not a whole number of seconds up to the year 2242.
    """
    text = (os.environ if environment is None else environment).get("SOURCE_DATE_EPOCH", "")
    if not text:
        return 0
    # the length first: Python refuses to read numbers of thousands of digits
    whole = text.isascii() and text.isdigit()
    if not whole or len(text.lstrip("0")) > len(str(_END)) or int(text) >= _END:
        raise SdkError(
            Code.USAGE,
            f"SOURCE_DATE_EPOCH is not a time: {_shortened(text)!r}",
            why=_reason(text, whole),
            resolution="Unset it, or set it to `git log -1 --pretty=%ct`.",
        )
    return int(text)


def _reason(text: str, whole: bool) -> str:
    if not whole:
        return "It must be a whole number of seconds since 1970, written in digits only."
    for unit, exponent in (("milliseconds", 3), ("microseconds", 6), ("nanoseconds", 9)):
        seconds = int(text[:-exponent]) if len(text) <= len(str(_END)) + exponent else _END
        if _RECENT <= seconds < _END:
            when = datetime.fromtimestamp(seconds, UTC).date().isoformat()
            return f"It is a number of seconds since 1970. As {unit} it would be {when}."
    return "It is a number of seconds since 1970, and this one is after the year 2242."


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


def backend_epoch(environment: Mapping[str, str] | None = None) -> str:
    """SOURCE_DATE_EPOCH for a build backend: the nearest time that a zip can hold.

    Backends fail at other times, and `repack` removes the time from their wheels anyway. Raises
    what `source_date_epoch` raises.
    """
    return str(min(max(source_date_epoch(environment), _ZIP_BEGINS), _ZIP_ENDS))


def timestamp(epoch: int) -> str:
    """The moment as RFC 3339 writes it: ``1970-01-01T00:00:00Z``."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def repack(wheel: Path, out: Path) -> Path:
    """Write the wheel again into the directory ``out``: sorted, stored, one time, two modes.

    Its RECORD is made from what is really in it. Raises SdkError WHEEL_INVALID.
    """
    import zipfile

    target = out / wheel.name
    try:
        with zipfile.ZipFile(wheel) as archive, writing(target):
            out.mkdir(parents=True, exist_ok=True)
            with atomic_file(target, mode=0o644) as stream:
                _write(archive, stream)
    except _unreadable() as error:
        raise SdkError(
            Code.WHEEL_INVALID,
            f"{wheel.name} is not a wheel",
            why=str(error) or "It ends before its content does.",
            where=Where(file=str(wheel)),
            resolution="Check the build backend of the project.",
        ) from error
    return target


def _unreadable() -> tuple[type[Exception], ...]:
    """What zipfile and the decompressors raise for a damaged file, or one that is not a wheel."""
    import lzma
    import zipfile
    import zlib

    return (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        RuntimeError,
    )


def _write(archive: zipfile.ZipFile, target: BinaryIO) -> None:
    import base64
    import csv
    import io
    import zipfile

    members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
    records = [name for name in members if _is_record(name)]
    if len(records) != 1:
        raise zipfile.BadZipFile(f"It has {len(records)} *.dist-info/RECORD instead of one.")
    record = records[0]
    directory = record.rpartition("/")[0]
    rows: list[tuple[str, str, str]] = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        # the metadata comes last, as the wheel specification recommends
        for name in sorted(members, key=lambda it: (it.startswith(f"{directory}/"), it)):
            if name == record or name.removeprefix(f"{directory}/") in _SIGNATURES:
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
    directory, _, base = name.rpartition("/")
    return base == "RECORD" and directory.endswith(".dist-info") and "/" not in directory


def _entry(name: str, *, executable: bool = False) -> zipfile.ZipInfo:
    import zipfile

    info = zipfile.ZipInfo(name, _ZIP_EPOCH)
    info.create_system = 3
    info.external_attr = (0o100755 if executable else 0o100644) << 16
    return info
