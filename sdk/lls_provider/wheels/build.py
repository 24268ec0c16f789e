"""Repacks built wheels so that equal content is equal bytes.

What a backend's zip writer leaves in (times, order, compression, modes) is taken out again.

Where uv takes build requirements from: ``[tool.uv.sources]`` of the project that is built.

uv reads that table from a project alone, so such requirements become a project of their own.

Symbolic links in a source tree: build backends follow them, so whoever looks there does too.

The one time that is in whatever a build writes: SOURCE_DATE_EPOCH, never the clock.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import lzma
import os
import tomllib
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


OWN_NAME = "build-system"
"""The name of the project that `sourced` makes, for uv's explanations."""


def sourced(requires: Sequence[str], root: Path) -> dict[str, Any] | None:
    """A ``pyproject.toml`` that depends on ``requires``; None where no source names any of them.

    ``root`` is the directory of the project that is built; its workspace's sources hold too. The
    paths in the result are absolute.
    """
    names = {canonicalize_name(Requirement(it).name) for it in requires}
    sources: dict[str, Any] = {}
    indexes: list[Any] = []
    for folder, table in reversed(list(_uv_tables(root))):
        for name, told in _dict(table.get("sources")).items():
            if canonicalize_name(name) in names:
                sources[name] = _absolute_source(told, folder, name)
        found = table.get("index")
        indexes = [*(_absolute_index(it, folder) for it in _list(found)), *indexes]
    if not sources:
        return None
    return {
        "project": {"name": OWN_NAME, "version": "0", "dependencies": list(requires)},
        "tool": {"uv": {"sources": sources, "index": indexes}},
    }


def _uv_tables(root: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """``[tool.uv]`` of a project, and of the workspace that it is in, with their directories."""
    yield root, _uv_table(root)
    for folder in root.absolute().parents:
        if "workspace" in (table := _uv_table(folder)):
            yield folder, table
            return


def _uv_table(folder: Path) -> Mapping[str, Any]:
    return _dict(_dict(_pyproject(folder).get("tool")).get("uv"))


def _pyproject(folder: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    except (OSError, ValueError):
        return {}  # uv and `build` say themselves what is wrong with it


def _absolute_source(told: Any, folder: Path, name: str) -> Any:
    """A source, or a list of them, whose path does not depend on the directory it is given in."""
    if isinstance(told, list):
        return [_absolute_source(it, folder, name) for it in told]
    source = dict(_dict(told))
    if isinstance(source.get("path"), str):
        source["path"] = str(folder.absolute() / source["path"])
    elif source.get("workspace") is True and (member := _member(folder, name)) is not None:
        del source["workspace"]
        source["path"] = str(member)
    return source


def _member(folder: Path, name: str) -> Path | None:
    """The directory of a workspace's member, or of its root; None if no member has the name."""
    for root, table in _uv_tables(folder):
        members = _list(_dict(table.get("workspace")).get("members"))
        for place in (root, *(it for pattern in members for it in sorted(root.glob(pattern)))):
            project = _dict(_pyproject(place).get("project")).get("name")
            if isinstance(project, str) and canonicalize_name(project) == canonicalize_name(name):
                return place.absolute()
    return None


def _absolute_index(told: Any, folder: Path) -> Any:
    index = dict(_dict(told))
    if isinstance(index.get("url"), str) and "://" not in index["url"]:
        index["url"] = str(folder.absolute() / index["url"])
    return index


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


NO_SOURCE = frozenset({"build", "dist", "node_modules", "site-packages", "venv"})
"""Names of directories that hold no source of a project."""


def is_link_loop(link: Path) -> bool:
    """Whether a link leads to a directory that holds it: whoever follows it finds no end."""
    return Path(os.path.realpath(link.parent)).is_relative_to(os.path.realpath(link))


def dead_links(root: Path) -> Iterator[Path]:
    """The links below a directory that lead nowhere, or only to themselves."""
    return (link for link in _links(root) if not os.path.exists(link))  # noqa: PTH110 - never raises


def endless_links(root: Path) -> Iterator[Path]:
    """The links below a directory that lead around themselves from inside a package or ``src``."""
    for link in _links(root):
        inside = link.parent == root / "src" or (link.parent / "__init__.py").is_file()
        if inside and os.path.isdir(link) and is_link_loop(link):  # noqa: PTH112 - never raises
            yield link


def _links(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = [
            name for name in sorted(folders) if not name.startswith(".") and name not in NO_SOURCE
        ]
        for name in (*folders, *sorted(files)):
            if os.path.islink(place := Path(folder, name)):  # noqa: PTH114 - never raises
                yield place


_DAY = 86400
_RECENT = 10**8  # 1973: a time that someone may mean
_END = 8**11  # of what a plain tar header can say
# of what a zip can say, and a day less at both ends: a backend may write local time
_ZIP_BEGINS = int(datetime(1980, 1, 1, tzinfo=UTC).timestamp()) + _DAY
_ZIP_ENDS = int(datetime(2108, 1, 1, tzinfo=UTC).timestamp()) - _DAY


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


def backend_epoch(environment: Mapping[str, str] | None = None) -> str:
    """SOURCE_DATE_EPOCH for a build backend: the nearest time that a zip can hold.

    Backends fail at other times, and the time is taken out of their wheels anyway. Raises what
    `source_date_epoch` raises.
    """
    return str(min(max(source_date_epoch(environment), _ZIP_BEGINS), _ZIP_ENDS))


def timestamp(epoch: int) -> str:
    """The moment as RFC 3339 writes it: ``1970-01-01T00:00:00Z``."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
