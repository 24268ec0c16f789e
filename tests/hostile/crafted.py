"""Archives and wheels written byte by byte, so that any part of them can be wrong."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.factories.wheels import record_hash

from lls_provider.errors import Code

WHEEL = "dep-1.0-py3-none-any.whl"
INFO = "dep-1.0.dist-info"
METADATA = "Metadata-Version: 2.1\nName: dep\nVersion: 1.0\n"
WHEEL_FILE = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
LOCAL = struct.Struct("<4s5H3L2H")
CENTRAL = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")

Case = tuple[str, Code, str, Callable[[], bytes]]
"""What is odd about the wheel, the code it is refused under, words of the cause, its bytes."""


@dataclass
class Entry:
    """A member of an archive; ``local`` and ``central`` overwrite what its headers say."""

    name: bytes
    data: bytes = b""
    method: int = 0
    flags: int = 0
    mode: int = 0o100644
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)
    packed: bytes | None = None
    extra: bytes = b""
    comment: bytes = b""

    def told(self, changes: dict[str, Any]) -> dict[str, Any]:
        packed = self.raw()
        fields: dict[str, Any] = {
            "signature": b"",
            "name": self.name,
            "flags": self.flags,
            "method": self.method,
        }
        fields |= {"compressed": len(packed), "size": len(self.data), "disk": 0}
        fields |= {"extra": self.extra}
        return fields | changes

    def raw(self) -> bytes:
        if self.packed is not None:
            return self.packed
        if self.method != 8:
            return self.data
        deflate = zlib.compressobj(wbits=-15)
        return deflate.compress(self.data) + deflate.flush()


def archive(
    entries: Sequence[Entry],
    *,
    prefix: bytes = b"",
    shift: int = 0,
    comment: bytes = b"",
    end: Mapping[str, int] | None = None,
    before_end: bytes = b"",
) -> bytes:
    """A zip file, byte by byte; ``shift`` is added to the places of headers."""
    out = io.BytesIO()
    out.write(prefix)
    directory = b""
    for entry in entries:
        place = out.tell() + shift
        told = entry.told(entry.local)
        out.write(
            LOCAL.pack(
                told["signature"] or b"PK\x03\x04",
                *(20, told["flags"], told["method"], 0, 33),
                *(0, told["compressed"], told["size"], len(told["name"]), len(told["extra"])),
            )
        )
        out.write(told["name"] + told["extra"] + entry.raw())
        told = entry.told(entry.central)
        directory += CENTRAL.pack(
            told["signature"] or b"PK\x01\x02",
            *(0x0314, 20, told["flags"], told["method"], 0, 33),
            *(0, told["compressed"], told["size"], len(told["name"]), len(told["extra"])),
            *(len(entry.comment), told["disk"], 0, entry.mode << 16, told.get("offset", place)),
        )
        directory += told["name"] + told["extra"] + entry.comment
    numbers = {"disk": 0, "first": 0, "here": len(entries), "count": len(entries)}
    numbers |= {"size": len(directory), "offset": out.tell() + shift, "comment": len(comment)}
    numbers |= end or {}
    out.write(directory + before_end)
    out.write(END.pack(b"PK\x05\x06", *numbers.values()) + comment)
    return out.getvalue()


def entries(
    files: Mapping[str, str | bytes] | None = None,
    *,
    drop: Sequence[str] = (),
    record: Callable[[str], str | bytes] = lambda text: text,
    unrecorded: Sequence[Entry] = (),
    method: int = 0,
) -> list[Entry]:
    """The members of a wheel that is valid but for what the case changes."""
    contents: dict[str, bytes] = {}
    defaults: dict[str, str | bytes] = {"dep/__init__.py": "", f"{INFO}/METADATA": METADATA}
    for name, text in (defaults | {f"{INFO}/WHEEL": WHEEL_FILE} | dict(files or {})).items():
        contents[name] = text.encode() if isinstance(text, str) else text
    lines = "".join(f"{name},{record_hash(data)},{len(data)}\n" for name, data in contents.items())
    changed = record(lines + f"{INFO}/RECORD,,\n")
    contents[f"{INFO}/RECORD"] = changed.encode() if isinstance(changed, str) else changed
    found = [
        Entry(name.encode(), data, method, flags=0 if name.isascii() else 0x800)
        for name, data in contents.items()
        if name not in drop
    ]
    return [*found, *unrecorded]


def wheel(files: Mapping[str, str | bytes] | None = None, **more: Any) -> bytes:
    return archive(entries(files, **more))


def with_member(*members: Entry) -> bytes:
    return archive(entries(unrecorded=members))


def first(found: list[Entry] | None = None, **changes: Any) -> bytes:
    """A wheel whose first member is changed."""
    found = found or entries({"dep/__init__.py": b"x" * 100})
    for name, value in changes.items():
        setattr(found[0], name, value)
    return archive(found)


def info(name: str, text: str | bytes) -> bytes:
    return wheel({f"{INFO}/{name}": text})


def metadata(more: str) -> bytes:
    return info("METADATA", METADATA + more)


def commands(text: str | bytes) -> bytes:
    return info("entry_points.txt", text)
