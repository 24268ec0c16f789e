"""What the ELF files in a wheel say of themselves: machine, newest glibc, Python module or not.

pyelftools reads them, out of the zip; nothing is loaded or run. The files are hostile input.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING

from lls_provider.runtime.elf import elf_machine
from lls_provider.wheels.cache import cache_root, keep

if TYPE_CHECKING:
    from pathlib import Path

    from lls_provider.runtime.wheel import Wheel

Glibc = tuple[int, int]

_HEADER = 20  # bytes that tell an ELF file's machine
_IN_MEMORY = 8 << 20
_GLIBC = re.compile(r"GLIBC_([0-9]{1,3})\.([0-9]{1,3})(?:\.[0-9]+)?")
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class NativeFile:
    """An ELF file of a wheel."""

    path: str
    machine: str
    glibc: Glibc | None  # the newest symbol version that it needs
    module: bool  # whether Python can import it by its name


def native_files(wheel: Wheel, sha256: str | None = None) -> tuple[NativeFile, ...]:
    """The ELF files of a wheel. With its ``sha256`` they are read once and then remembered.

    What cannot be read is left to the rule about readable wheels.
    """
    kept = cache_root() / "native" / f"{sha256}.json" if sha256 else None
    if kept is not None and (known := _known(kept)) is not None:
        return known
    found = tuple(_read(wheel))
    if kept is not None:
        keep(kept, json.dumps([_FORMAT, *(asdict(it) for it in found)]).encode())
    return found


def needed_glibc(stream: IO[bytes]) -> Glibc | None:
    """The newest glibc symbol version that an ELF file needs (``.gnu.version_r``)."""
    return _newest(stream, ".gnu.version_r")


def defined_glibc(stream: IO[bytes]) -> Glibc | None:
    """The newest glibc symbol version that an ELF file has (``.gnu.version_d``): a libc's own."""
    return _newest(stream, ".gnu.version_d")


def _known(path: Path) -> tuple[NativeFile, ...] | None:
    try:
        version, *files = json.loads(path.read_bytes())
        return (
            tuple(
                NativeFile(
                    it["path"],
                    it["machine"],
                    (it["glibc"][0], it["glibc"][1]) if it["glibc"] else None,
                    it["module"],
                )
                for it in files
            )
            if version == _FORMAT
            else None
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(wheel: Wheel) -> list[NativeFile]:
    names = [
        (file.path, file.member.name)
        for file in wheel.files
        if file.member is not None and ".so" in file.path.rpartition("/")[2]
    ]
    found: list[NativeFile] = []
    if not names:
        return found
    try:
        with zipfile.ZipFile(wheel.path) as archive:
            for path, member in names:
                with archive.open(member) as source:
                    header = source.read(_HEADER)
                    machine = elf_machine(header)
                    if machine is None:
                        continue
                    # sections are read back and forth, which a deflated member cannot do
                    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as stream:
                        stream.write(header)
                        shutil.copyfileobj(source, stream, 1 << 20)
                        found.append(
                            NativeFile(
                                path,
                                machine,
                                needed_glibc(stream),
                                _is_module(stream, path.rpartition("/")[2]),
                            )
                        )
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile):
        return []
    return found


def _newest(stream: IO[bytes], section: str) -> Glibc | None:
    matches = map(_GLIBC.fullmatch, _version_names(stream, section))
    return max(((int(it[1]), int(it[2])) for it in matches if it), default=None)


def _version_names(stream: IO[bytes], section: str) -> list[str]:
    """The symbol versions in a section; none in what is no readable ELF file."""
    from elftools.elf.elffile import ELFFile
    from elftools.elf.gnuversions import GNUVersionSection

    try:
        stream.seek(0)
        table = ELFFile(stream).get_section_by_name(section)
        if not isinstance(table, GNUVersionSection):
            return []
        return [str(it.name) for _, entries in table.iter_versions() for it in entries]
    except _unreadable():
        return []


def _is_module(stream: IO[bytes], filename: str) -> bool:
    """Whether it has the function that Python calls when it imports a module of this name."""
    from elftools.elf.elffile import ELFFile

    name = filename.partition(".")[0]
    try:
        stream.seek(0)
        strings = ELFFile(stream).get_section_by_name(".dynstr")
        return strings is not None and b"\0PyInit_" + name.encode() + b"\0" in strings.data()
    except _unreadable():
        return False


def _unreadable() -> tuple[type[Exception], ...]:
    """What pyelftools raises for damaged files: its own errors, and those of its assumptions."""
    from elftools.common.exceptions import ELFError

    return (
        ELFError,
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        MemoryError,
        OSError,
        RecursionError,
        TypeError,
        ValueError,
    )
