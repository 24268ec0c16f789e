"""Small real wheels, of which any part can be replaced."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Files = Mapping[str, str | bytes]
MakeWheel = Callable[..., Path]

DATE = (2024, 1, 1, 0, 0, 0)


def module_of(name: str) -> str:
    """The name that a distribution's module, wheel and dist-info directory have."""
    return name.replace("-", "_")


def wheel_name(name: str, version: str = "1.0", tag: str = "py3-none-any") -> str:
    return f"{module_of(name)}-{version}-{tag}.whl"


def record_hash(data: bytes, algorithm: str = "sha256") -> str:
    """The hash of a file as RECORD has it."""
    digest = base64.urlsafe_b64encode(hashlib.new(algorithm, data).digest()).rstrip(b"=")
    return f"{algorithm}={digest.decode()}"


def record_of(contents: Mapping[str, bytes], path: str) -> str:
    """The RECORD at ``path`` that these files need."""
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerows((name, record_hash(data), len(data)) for name, data in contents.items())
    rows.writerow((path, "", ""))
    return stream.getvalue()


def metadata_of(
    name: str,
    version: str = "1.0",
    *,
    requires: Sequence[str] = (),
    extras: Sequence[str] = (),
    fields: Sequence[str] = (),
) -> str:
    """The text of a METADATA; ``fields`` are whole lines of it."""
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *fields]
    lines += [f"Requires-Dist: {it}" for it in requires]
    lines += [f"Provides-Extra: {it}" for it in extras]
    return "\n".join([*lines, "", "A description.", ""])


def wheel_file(tag: str = "py3-none-any") -> str:
    """The text of a WHEEL."""
    return f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"


def wheel_contents(
    name: str,
    version: str = "1.0",
    files: Files | None = None,
    *,
    requires: Sequence[str] = (),
    extras: Sequence[str] = (),
    fields: Sequence[str] = (),
    tag: str = "py3-none-any",
    record: Callable[[str], str] = lambda text: text,
    unrecorded: Files | None = None,
) -> dict[str, bytes]:
    """The members of a valid wheel; ``unrecorded`` ones are not in its RECORD.

    ``files`` may have a METADATA or WHEEL of its own; ``record`` changes the text of RECORD.
    """
    info = f"{module_of(name)}-{version}.dist-info"
    contents = encoded(files or {f"{module_of(name)}/__init__.py": ""})
    metadata = metadata_of(name, version, requires=requires, extras=extras, fields=fields)
    contents.setdefault(f"{info}/METADATA", metadata.encode())
    contents.setdefault(f"{info}/WHEEL", wheel_file(tag).encode())
    contents[f"{info}/RECORD"] = record(record_of(contents, f"{info}/RECORD")).encode()
    return contents | encoded(unrecorded or {})


def encoded(files: Files) -> dict[str, bytes]:
    return {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}


def zip_bytes(
    contents: Mapping[str, bytes],
    *,
    method: int = zipfile.ZIP_DEFLATED,
    modes: Mapping[str, int] | None = None,
) -> bytes:
    """An archive of these files, the same bytes each time."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for path, data in contents.items():
            entry = zipfile.ZipInfo(path, DATE)
            entry.external_attr = (0o100000 | (modes or {}).get(path, 0o644)) << 16
            archive.writestr(entry, data, method)
    return stream.getvalue()


def write_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    files: Files | None = None,
    *,
    requires: Sequence[str] = (),
    extras: Sequence[str] = (),
    fields: Sequence[str] = (),
    tag: str = "py3-none-any",
    record: Callable[[str], str] = lambda text: text,
    unrecorded: Files | None = None,
    modes: Mapping[str, int] | None = None,
) -> Path:
    """Write a wheel, valid but for what is changed (see `wheel_contents`)."""
    contents = wheel_contents(
        name,
        version,
        files,
        requires=requires,
        extras=extras,
        fields=fields,
        tag=tag,
        record=record,
        unrecorded=unrecorded,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / wheel_name(name, version, tag)
    path.write_bytes(zip_bytes(contents, modes=modes))
    return path


@dataclass(frozen=True)
class WheelFactory:
    """Writes wheels, each into a directory of its own, so that two may have one name."""

    folder: Path
    version: str = "1.0"

    def __call__(
        self,
        name: str,
        version: str | None = None,
        files: Files | None = None,
        *,
        requires: Sequence[str] = (),
        extras: Sequence[str] = (),
        fields: Sequence[str] = (),
        tag: str = "py3-none-any",
        record: Callable[[str], str] = lambda text: text,
        unrecorded: Files | None = None,
        modes: Mapping[str, int] | None = None,
        folder: Path | None = None,
    ) -> Path:
        return write_wheel(
            folder or self.folder / str(sum(1 for _ in self.folder.glob("*"))),
            name,
            version or self.version,
            files,
            requires=requires,
            extras=extras,
            fields=fields,
            tag=tag,
            record=record,
            unrecorded=unrecorded,
            modes=modes,
        )
