"""Wheels with names that lead elsewhere, and members that are not a files."""

from __future__ import annotations

from tests.factories.wheels import record_hash
from tests.hostile.crafted import (
    INFO,
    Case,
    Entry,
    archive,
    entries,
    wheel,
    with_member,
)

from lls_provider.errors import Code

UNSAFE, KIND = Code.WHEEL_PATH_UNSAFE, Code.WHEEL_ENTRY_TYPE

CASES: list[Case] = [
    ("leaves by ..", UNSAFE, "leaves", lambda: wheel({"../evil.py": ""})),
    ("leaves from inside", UNSAFE, "leaves", lambda: wheel({"dep/../../evil.py": ""})),
    ("is absolute", UNSAFE, "absolute", lambda: wheel({"/etc/evil": ""})),
    ("has a dot", UNSAFE, "leaves", lambda: wheel({"dep/./evil.py": ""})),
    ("has an empty part", UNSAFE, "empty part", lambda: wheel({"dep//evil.py": ""})),
    ("is empty", UNSAFE, "empty", lambda: with_member(Entry(b""))),
    ("is a slash", UNSAFE, "empty", lambda: with_member(Entry(b"/", mode=0o40755))),
    ("has backslashes", UNSAFE, "backslash", lambda: wheel({"dep\\..\\..\\evil.py": ""})),
    ("is of a drive", UNSAFE, "drive", lambda: wheel({"C:/evil.py": ""})),
    ("is beside a drive", UNSAFE, "drive", lambda: wheel({"c:evil.py": ""})),
    ("has a NUL", UNSAFE, "control", lambda: wheel({"dep/evil.py\0.txt": ""})),
    ("has a newline", UNSAFE, "control", lambda: wheel({"dep/a\nERROR: evil": ""})),
    ("turns the text around", UNSAFE, "control", lambda: wheel({"dep/\u202eyp.live": ""})),
    ("has a long part", UNSAFE, "255 bytes", lambda: wheel({"dep/" + "a" * 256: ""})),
    ("has a long part in UTF-8", UNSAFE, "255 bytes", lambda: wheel({"dep/" + "ä" * 128: ""})),
    ("is too long", UNSAFE, "4,095 bytes", lambda: wheel({"a/" * 2100 + "b": ""})),
    ("is not UTF-8", UNSAFE, "not text", lambda: with_member(Entry(b"dep/\xff\xfe", flags=0x800))),
    ("in RECORD leaves", UNSAFE, "line 5", lambda: wheel(record=lambda it: it + "../evil,,\n")),
    ("in RECORD is absolute", UNSAFE, "line 5", lambda: wheel(record=lambda it: it + "/x,,\n")),
    ("of data leaves", UNSAFE, "leaves", lambda: wheel({"dep-1.0.data/data/../../../evil": ""})),
    ("of data is absolute", UNSAFE, "empty", lambda: wheel({"dep-1.0.data/data//etc/evil": ""})),
    ("of dist-info leaves", UNSAFE, "leaves", lambda: wheel({"../e-1.0.dist-info/METADATA": ""})),
    (
        "appears twice",
        Code.WHEEL_DUPLICATE_ENTRY,
        "twice",
        lambda: with_member(Entry(b"dep/__init__.py", b"evil")),
    ),
    (
        "appears twice in one size",
        Code.WHEEL_DUPLICATE_ENTRY,
        "twice, with different content",
        lambda: archive([*entries({"dep/a.py": b"good"}), Entry(b"dep/a.py", b"evil")]),
    ),
    (
        "appears twice, once to be run",
        Code.WHEEL_DUPLICATE_ENTRY,
        "twice, with different content",
        lambda: with_member(Entry(b"dep/__init__.py", mode=0o100755)),
    ),
    (
        "appears twice in two alphabets",
        Code.WHEEL_DUPLICATE_ENTRY,
        "twice, with different content",
        lambda: archive([*entries({"dep/\u00e4.py": b""}), Entry(b"dep/\x84.py")]),
    ),
    (
        "is written twice, under the hash of the other",
        Code.WHEEL_DUPLICATE_ENTRY,
        "in different content",
        lambda: wheel(
            {"dep/a.py": "good", "dep-1.0.data/purelib/dep/a.py": "evil"},
            record=lambda it: it.replace(record_hash(b"evil"), record_hash(b"good")),
        ),
    ),
    (
        "is written twice",
        Code.WHEEL_DUPLICATE_ENTRY,
        "two of its files",
        lambda: wheel({"dep-1.0.data/purelib/dep/__init__.py": "evil"}),
    ),
    (
        "is a script and a command",
        Code.WHEEL_DUPLICATE_ENTRY,
        "'bin/x'",
        lambda: wheel(
            {"dep-1.0.data/scripts/x": "", f"{INFO}/entry_points.txt": "[console_scripts]\nx=a:b\n"}
        ),
    ),
    (
        "differs in case",
        Code.WHEEL_CASE_COLLISION,
        "case does not count",
        lambda: wheel({"dep/A.py": "", "dep/a.py": "evil"}),
    ),
    (
        "differs in case in another alphabet",
        Code.WHEEL_CASE_COLLISION,
        "case does not count",
        lambda: wheel({"dep/STRASSE": "", "dep/stra\u00dfe": "evil"}),
    ),
    (
        "is file and directory",
        Code.WHEEL_PATH_CONFLICT,
        "'dep/a' is a file and a directory",
        lambda: wheel({"dep/a": "", "dep/a/b.py": ""}),
    ),
    (
        "is file and directory's directory",
        Code.WHEEL_PATH_CONFLICT,
        "'bin' is a file and a directory",
        lambda: wheel({"bin": "", f"{INFO}/entry_points.txt": "[console_scripts]\nx = a:b\n"}),
    ),
    ("is a link", KIND, "link", lambda: with_member(Entry(b"dep/l", b"/etc", mode=0o120777))),
    ("is a device", KIND, "device", lambda: with_member(Entry(b"dep/d", mode=0o20666))),
    ("is a disk", KIND, "device", lambda: with_member(Entry(b"dep/d", mode=0o60666))),
    ("is a pipe", KIND, "device", lambda: with_member(Entry(b"dep/p", mode=0o10666))),
    ("is a socket", KIND, "device", lambda: with_member(Entry(b"dep/s", mode=0o140666))),
    (
        "is a link as a directory",
        KIND,
        "link",
        lambda: with_member(Entry(b"dep/l/", mode=0o120777)),
    ),
    (
        "is a directory with content",
        KIND,
        "content",
        lambda: with_member(Entry(b"d/", b"x", mode=0)),
    ),
]
