"""The machine that an ELF file was made for, and whether Python can import it."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_MACHINES = {
    (2, 62): "x86_64",
    (2, 183): "aarch64",
    (2, 21): "ppc64le",
    (2, 22): "s390x",
    (2, 243): "riscv64",
    (2, 258): "loongarch64",
    (1, 3): "i686",
    (1, 40): "armv7l",
    (1, 62): "x32",
}


def elf_machine(header: bytes) -> str | None:
    """The machine as the kernel names it, from a file's beginning; None for what is no ELF."""
    if len(header) < 20 or header[:4] != b"\x7fELF":
        return None
    order = ">" if header[5] == 2 else "<"
    (machine,) = struct.unpack_from(order + "H", header, 18)
    return _MACHINES.get((header[4], machine), f"machine-{machine}")


def read_elf_machine(path: Path) -> str | None:
    """`elf_machine` of a file; None also for one that cannot be read."""
    try:
        with path.open("rb") as stream:
            return elf_machine(stream.read(20))
    except OSError:
        return None


def read_is_module(path: Path) -> bool:
    """Whether a file has the function that Python calls when it imports a module of its name."""
    wanted = b"\0PyInit_" + path.name.partition(".")[0].encode() + b"\0"
    try:
        with (
            path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            return content.find(wanted) >= 0
    except (OSError, ValueError):  # an empty file cannot be mapped
        return False
