"""Wheels whose archive lies, is packed otherwise, or unpacks to too much."""

from __future__ import annotations

import struct
import zlib

from tests.factories.wheels import record_hash
from tests.hostile.crafted import (
    END,
    Case,
    Entry,
    archive,
    commands,
    entries,
    first,
    metadata,
    wheel,
    with_member,
)

from lls_provider.errors import Code

NOT_ZIP, CUT = Code.WHEEL_NOT_ZIP, Code.WHEEL_TRUNCATED
ARCHIVE, HEADER = Code.WHEEL_ARCHIVE_INVALID, Code.WHEEL_HEADER_MISMATCH
LIMIT, SIZE = Code.WHEEL_LIMIT, Code.WHEEL_SIZE_MISMATCH


def two_ends() -> bytes:
    """An archive in the comment of another: readers differ in which of the two they see."""
    inner = END.pack(b"PK\x05\x06", 0, 0, 0, 0, 0, 0, 0)
    return archive(entries(), comment=inner)


def zip64(**changes: int) -> bytes:
    """A wheel with a zip64 end, of which the changes are wrong."""
    plain = archive(entries())
    _, _, _, here, count, size, offset, _ = END.unpack(plain[-22:])
    body = plain[:-22]
    told = {
        "here": here,
        "count": count,
        "size": size,
        "offset": offset,
        "at": len(body),
        "length": 44,
    }
    told |= changes
    record = struct.pack(
        "<4sQ2H2L4Q",
        b"PK\x06\x06",
        told.pop("length"),
        45,
        45,
        0,
        0,
        told["here"],
        told["count"],
        told["size"],
        told["offset"],
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, told["at"], 1)
    end = END.pack(b"PK\x05\x06", 0, 0, here, count, size, offset, 0)
    return body + record + locator + end


def same_place() -> bytes:
    """Two names for one member, as in archives that contain themselves."""
    found = entries({"dep/a.py": b"x" * 100, "dep/b.py": b"x" * 100})
    return archive([*found[:-1], Entry(b"dep/c.py", b"x" * 100, central={"offset": 0}), found[-1]])


def unicode_path(name: bytes, other: bytes) -> bytes:
    """The field of Info-ZIP that Python 3.12 and later take a member's name from, and 3.11 not."""
    body = struct.pack("<BL", 1, zlib.crc32(name)) + other
    return struct.pack("<2H", 0xCAFE, 0) + struct.pack("<2H", 0x7075, len(body)) + body


def ratio_bomb() -> bytes:
    zeros = bytes(1024 * 1024)
    deflate = zlib.compressobj(9, wbits=-15)
    packed = b"".join(deflate.compress(zeros) for _ in range(80)) + deflate.flush()
    size = 80 * len(zeros)
    told = {"size": size}
    bomb = Entry(b"dep/bomb", b"", 8, packed=packed, local=told, central=told)
    line = f"dep/bomb,{record_hash(b'')},{size}\n"
    return archive(entries(record=lambda text: text + line, unrecorded=[bomb]))


CASES: list[Case] = [
    ("empty", NOT_ZIP, "empty", lambda: b""),
    ("without members", Code.WHEEL_DIST_INFO_INVALID, "found: none", lambda: archive([])),
    ("a page", NOT_ZIP, "not a zip", lambda: b"<html>404 not found</html>"),
    ("a tar", NOT_ZIP, "not a zip", lambda: b"dep/__init__.py" + bytes(10_240)),
    ("followed by data", CUT, "end record", lambda: wheel() + b"evil"),
    (
        "behind data, places kept",
        ARCHIVE,
        "precedes",
        lambda: archive(entries(), prefix=b"#!evil\n"),
    ),
    (
        "behind data, places moved",
        ARCHIVE,
        "precedes",
        lambda: archive(entries(), prefix=b"#!evil\n", shift=-7),
    ),
    *(
        (
            f"behind {size} bytes, places {'moved' if moved else 'kept'}",
            ARCHIVE,
            "precedes",
            lambda size=size, moved=moved: archive(
                entries(), prefix=b"#" * size, shift=-size if moved else 0
            ),
        )
        for size in range(1, 6)
        for moved in (False, True)
    ),
    ("with two ends", ARCHIVE, "two ends", two_ends),
    (
        "with data before its end",
        ARCHIVE,
        "between",
        lambda: archive(entries(), before_end=b"evil"),
    ),
    ("of two disks", ARCHIVE, "several", lambda: archive(entries(), end={"disk": 1})),
    ("of a second disk's members", ARCHIVE, "several", lambda: first(central={"disk": 1})),
    (
        "that counts too few",
        ARCHIVE,
        "not as long as",
        lambda: archive(entries(), end={"here": 3, "count": 3}),
    ),
    (
        "that counts too many",
        ARCHIVE,
        "damaged",
        lambda: archive(entries(), end={"here": 5, "count": 5}),
    ),
    ("with a damaged entry", ARCHIVE, "entry 1", lambda: first(central={"signature": b"PK\0\0"})),
    (
        "with a directory too far",
        CUT,
        "not whole",
        lambda: archive(entries(), end={"offset": 1 << 30}),
    ),
    ("with a zip64 count that is", ARCHIVE, "end records differ", lambda: zip64(here=3, count=3)),
    ("with a zip64 place that is", ARCHIVE, "end records differ", lambda: zip64(offset=1)),
    ("with a zip64 end of another size", ARCHIVE, "is damaged", lambda: zip64(length=45)),
    ("with a zip64 end elsewhere", ARCHIVE, "not where", lambda: zip64(at=0)),
    ("with a zip64 end beyond", ARCHIVE, "not where", lambda: zip64(at=1 << 62)),
    (
        "without its zip64 field",
        ARCHIVE,
        "zip64 field",
        lambda: first(central={"size": 0xFFFFFFFF}),
    ),
    (
        "with a zip64 field that is cut short",
        ARCHIVE,
        "zip64 field is missing",
        lambda: first(central={"size": 0xFFFFFFFF, "extra": b"\x01\x00\x08\x00" + bytes(4)}),
    ),
    (
        "with a short zip64 field",
        ARCHIVE,
        "zip64 field",
        lambda: first(central={"size": 0xFFFFFFFF}, extra=b"\x01\x00\x04\x00abcd"),
    ),
    ("with one member twice", Code.WHEEL_OVERLAP, "into what follows", same_place),
    (
        "with members that overlap",
        Code.WHEEL_OVERLAP,
        "into what follows",
        lambda: first(
            central={"compressed": 190, "size": 190}, local={"compressed": 190, "size": 190}
        ),
    ),
    (
        "with an overlap by a local field",
        Code.WHEEL_OVERLAP,
        "into what follows",
        lambda: wheel().replace(
            b"\x0f\x00\x00\x00dep/__init__.py", b"\x0f\x00\x10\x00dep/__init__.py", 1
        ),
    ),
    (
        "with another name in a field",
        HEADER,
        "otherwise",
        lambda: first(extra=unicode_path(b"dep/__init__.py", b"dep/evil.py")),
    ),
    (
        "with another name in a local field",
        HEADER,
        "otherwise",
        lambda: first(local={"extra": unicode_path(b"dep/__init__.py", b"dep/evil.py")}),
    ),
    ("with two names", HEADER, "otherwise", lambda: first(local={"name": b"dep/evil.py.abc"})),
    ("with two methods", HEADER, "method", lambda: first(local={"method": 8})),
    ("with two sizes", HEADER, "size", lambda: first(local={"size": 7})),
    ("with a damaged member", HEADER, "damaged", lambda: first(local={"signature": b"PK\0\0"})),
    ("encrypted", Code.WHEEL_ENCRYPTED, "encrypted", lambda: first(flags=1)),
    ("encrypted strongly", Code.WHEEL_ENCRYPTED, "encrypted", lambda: first(flags=0x40)),
    ("with hidden headers", Code.WHEEL_ENCRYPTED, "encrypted", lambda: first(flags=0x2000)),
    ("packed by bzip2", Code.WHEEL_COMPRESSION, "method 12", lambda: first(method=12)),
    ("packed by lzma", Code.WHEEL_COMPRESSION, "method 14", lambda: first(method=14)),
    ("packed by zstandard", Code.WHEEL_COMPRESSION, "method 93", lambda: first(method=93)),
    ("of patches", Code.WHEEL_COMPRESSION, "not used", lambda: first(flags=0x20)),
    (
        "of noise",
        Code.WHEEL_DATA_DAMAGED,
        "damaged data",
        lambda: first(method=8, packed=b"\xff" * 9),
    ),
    (
        "that goes on",
        Code.WHEEL_DATA_DAMAGED,
        "does not end",
        lambda: first(method=8, packed=zlib.compress(b"x" * 100, wbits=-15) + b"evil"),
    ),
    (
        "of half a member",
        SIZE,
        "not of the declared",
        lambda: first(method=8, packed=zlib.compress(b"x" * 100, wbits=-15)[:-3]),
    ),
    (
        "that says too little",
        SIZE,
        "not of the declared",
        lambda: first(
            entries({"dep/__init__.py": b"x" * 99}),
            method=8,
            packed=zlib.compress(b"x" * 100, wbits=-15),
        ),
    ),
    (
        "that says too much",
        SIZE,
        "not of the declared",
        lambda: first(
            entries({"dep/__init__.py": b"x" * 101}),
            method=8,
            packed=zlib.compress(b"x" * 100, wbits=-15),
        ),
    ),
    (
        "that says the impossible",
        SIZE,
        "cannot unpack",
        lambda: first(
            method=8, packed=b"\x03\x00", local={"size": 1 << 30}, central={"size": 1 << 30}
        ),
    ),
    (
        "of two sizes for one",
        SIZE,
        "sizes differ",
        lambda: first(local={"compressed": 9}, central={"compressed": 9}),
    ),
    ("a bomb by ratio", LIMIT, "unpack to 83,886,", ratio_bomb),
    (
        "a bomb by count",
        LIMIT,
        "17,004 members",
        lambda: wheel({f"d{number}": "" for number in range(17_000)}, method=8),
    ),
    (
        "a bomb by announced count",
        LIMIT,
        "65,535 members",
        lambda: archive(entries(), end={"here": 65535, "count": 65535}),
    ),
    (
        "a bomb by comments",
        LIMIT,
        "its directory has",
        lambda: with_member(
            *(Entry(b"c%d" % number, comment=bytes(60_000)) for number in range(3))
        ),
    ),
    (
        "a bomb by commands",
        LIMIT,
        "10,600 commands",
        lambda: commands(
            "[console_scripts]\n" + "".join(f"c{number}=a:b\n" for number in range(10_600))
        ),
    ),
    (
        "a bomb by metadata",
        LIMIT,
        "METADATA has 16,777,2",
        lambda: metadata("\n" + " " * (1 << 24)),
    ),
    (
        "a bomb by requirements",
        LIMIT,
        "10,001 requirements",
        lambda: metadata("Requires-Dist: a\n" * 10_001),
    ),
]
