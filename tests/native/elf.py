"""Writes small ELF files with what is read of them: machine, symbol versions, names."""

from __future__ import annotations

import struct
from collections.abc import Sequence

X86_64, AARCH64 = 62, 183
_STRTAB, _VERDEF, _VERNEED = 3, 0x6FFFFFFD, 0x6FFFFFFE


def elf(
    machine: int = X86_64,
    *,
    needs: Sequence[str] = (),
    has: Sequence[str] = (),
    exports: Sequence[str] = (),
) -> bytes:
    """A shared object that needs and has symbol versions (``GLIBC_2.34``) and exports names."""
    names = ["libc.so.6", *needs, *has, *exports]
    strings, at = b"\0", {}
    for name in names:
        at[name] = len(strings)
        strings += name.encode() + b"\0"
    sections = [(b".dynstr", _STRTAB, 0, 0, strings)]
    if needs:
        data = struct.pack("<HHIII", 1, len(needs), at["libc.so.6"], 16, 0)
        for number, name in enumerate(needs):
            following = 16 if number + 1 < len(needs) else 0
            data += struct.pack("<IHHII", 0, 0, number + 2, at[name], following)
        sections.append((b".gnu.version_r", _VERNEED, 1, 1, data))
    if has:
        data = b""
        for number, name in enumerate(has):
            following = 28 if number + 1 < len(has) else 0
            data += struct.pack("<HHHHIII", 1, 0, number + 1, 1, 0, 20, following)
            data += struct.pack("<II", at[name], 0)
        sections.append((b".gnu.version_d", _VERDEF, 1, len(has), data))
    return _assembled(machine, sections)


def _assembled(machine: int, sections: list[tuple[bytes, int, int, int, bytes]]) -> bytes:
    titles = b"\0" + b"".join(name + b"\0" for name, *_ in sections) + b".shstrtab\0"
    sections = [*sections, (b".shstrtab", _STRTAB, 0, 0, titles)]
    body, headers = b"", bytes(64)
    for name, kind, link, info, data in sections:
        place = (titles.index(b"\0" + name + b"\0") + 1, kind, 0, 0, 64 + len(body), len(data))
        headers += struct.pack("<IIQQQQIIQQ", *place, link, info, 1, 0)
        body += data
    identification = b"\x7fELF\x02\x01\x01" + bytes(9)
    count = len(sections) + 1
    rest = (3, machine, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, count, count - 1)
    return identification + struct.pack("<HHIQQQIHHHHHH", *rest) + body + headers
