"""Wheels whose metadata is malformed, reports another wheel, or writes where it may not."""

from __future__ import annotations

from tests.hostile.crafted import (
    INFO,
    METADATA,
    Case,
    Entry,
    archive,
    commands,
    info,
    metadata,
    wheel,
)

from lls_provider.errors import Code

META, SCRIPT = Code.WHEEL_METADATA_INVALID, Code.WHEEL_ENTRY_POINT_INVALID
DIST_INFO, MISMATCH = Code.WHEEL_DIST_INFO_INVALID, Code.WHEEL_NAME_MISMATCH


def nested_requirement() -> str:
    return "Requires-Dist: a; " + "(" * 2000 + "extra == 'a'" + ")" * 2000 + "\n"


CASES: list[Case] = [
    ("missing", DIST_INFO, "METADATA is missing", lambda: wheel(drop=[f"{INFO}/METADATA"])),
    ("without WHEEL", DIST_INFO, "WHEEL is missing", lambda: wheel(drop=[f"{INFO}/WHEEL"])),
    ("of nothing", DIST_INFO, "found: none", lambda: archive([Entry(b"dep/__init__.py")])),
    ("of two", DIST_INFO, "found: dep-1.0", lambda: wheel({"evil-1.0.dist-info/METADATA": ""})),
    (
        "of an installed package",
        DIST_INFO,
        "of an installed distribution",
        lambda: wheel({"dep-1.0.data/purelib/requests-2.0.dist-info/METADATA": "evil"}),
    ),
    (
        "with another RECORD",
        DIST_INFO,
        "of an installed distribution",
        lambda: wheel({f"dep-1.0.data/purelib/{INFO}/RECORD": "evil"}),
    ),
    ("that is none", META, "no 'Key: value'", lambda: info("METADATA", "evil\n")),
    ("that goes on with nothing", META, "continues nothing", lambda: info("METADATA", " evil\n")),
    ("without a name", META, "Name is missing", lambda: info("METADATA", "Version: 1.0\n")),
    ("with two names", META, "Name is there 2", lambda: metadata("Name: dep\n")),
    ("with two versions", META, "Version is there 2", lambda: metadata("Version: 2\n")),
    ("in UTF-16", META, "METADATA", lambda: info("METADATA", METADATA.encode("utf-16"))),
    ("in Latin-1", META, "utf-8", lambda: info("METADATA", METADATA.encode() + b"Summary: \xe4\n")),
    (
        "with a version of words",
        META,
        "Invalid version",
        lambda: info("METADATA", "Name: dep\nVersion: one\n"),
    ),
    (
        "with an endless version",
        META,
        "digits",
        lambda: info("METADATA", f"Name: dep\nVersion: {'1' * 5000}\n"),
    ),
    ("with a requirement of words", META, "METADATA", lambda: metadata("Requires-Dist: a b c\n")),
    (
        "with a nested requirement",
        META,
        "levels of parentheses",
        lambda: metadata(nested_requirement()),
    ),
    (
        "with an endless number",
        META,
        "digits",
        lambda: metadata(f"Requires-Dist: a>={'9' * 5000}\n"),
    ),
    (
        "with an endless requirement",
        META,
        "longer than",
        lambda: metadata(f"Requires-Dist: {'a' * 40_000}\n"),
    ),
    ("with odd bounds", META, "evil", lambda: metadata("Requires-Python: evil\n")),
    ("with endless bounds", META, "digits", lambda: metadata(f"Requires-Python: >={'3' * 5000}\n")),
    (
        "with a path as name",
        MISMATCH,
        "'../../evil'",
        lambda: info("METADATA", "Name: ../../evil\nVersion: 1.0\n"),
    ),
    (
        "of another name",
        MISMATCH,
        "says 'evil'",
        lambda: info("METADATA", "Name: evil\nVersion: 1.0\n"),
    ),
    (
        "of another version",
        MISMATCH,
        "'2.0'",
        lambda: info("METADATA", "Name: dep\nVersion: 2.0\n"),
    ),
    (
        "of another wheel",
        MISMATCH,
        "does not belong",
        lambda: wheel().replace(b"dep-1.0", b"dep-2.0"),
    ),
    ("with WHEEL of no version", META, "Wheel-Version is missing", lambda: info("WHEEL", "A: b\n")),
    ("with WHEEL of words", META, "WHEEL", lambda: info("WHEEL", "evil")),
    (
        "with WHEEL 2.0",
        Code.WHEEL_VERSION_UNSUPPORTED,
        "'2.0' is not 1.x",
        lambda: info("WHEEL", "Wheel-Version: 2.0\n"),
    ),
    (
        "with data of another wheel",
        Code.WHEEL_DATA_INVALID,
        "another wheel",
        lambda: wheel({"evil-1.0.data/scripts/sh": ""}),
    ),
    (
        "with data of no kind",
        Code.WHEEL_DATA_INVALID,
        "no such",
        lambda: wheel({"dep-1.0.data/etc/passwd": ""}),
    ),
    (
        "with a command that leaves",
        SCRIPT,
        "not a script",
        lambda: commands("[console_scripts]\n../../evil = a:b\n"),
    ),
    (
        "with an absolute command",
        SCRIPT,
        "not a script",
        lambda: commands("[console_scripts]\n/bin/sh = a:b\n"),
    ),
    (
        "with a command of dots",
        SCRIPT,
        "not a script",
        lambda: commands("[console_scripts]\n.. = a:b\n"),
    ),
    ("with a nameless command", SCRIPT, "not a script", lambda: commands("[gui_scripts]\n= a:b\n")),
    (
        "with a command of code",
        SCRIPT,
        "not a script",
        lambda: commands("[console_scripts]\nx = os:system('evil')\n"),
    ),
    (
        "with a command of statements",
        SCRIPT,
        "not a script",
        lambda: commands("[console_scripts]\nx = a;import os:b\n"),
    ),
    (
        "with a command twice",
        SCRIPT,
        "twice",
        lambda: commands("[console_scripts]\nx = a:b\nx = evil:b\n"),
    ),
    ("with commands of no section", SCRIPT, "no section", lambda: commands("x = a:b\n")),
    ("with commands in Latin-1", SCRIPT, "utf-8", lambda: commands(b"[console_scripts]\n\xe4=a:b")),
]
