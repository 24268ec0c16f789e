"""Wheels whose RECORD is not what is in them."""

from __future__ import annotations

from tests.factories.wheels import record_hash
from tests.hostile.crafted import INFO, Case, Entry, wheel, with_member

from lls_provider.errors import Code

RECORD, WEAK = Code.WHEEL_RECORD_INVALID, Code.WHEEL_HASH_WEAK
SIZE = Code.WHEEL_SIZE_MISMATCH

CASES: list[Case] = [
    (
        "missing",
        Code.WHEEL_RECORD_MISSING,
        "RECORD is missing",
        lambda: wheel(drop=[f"{INFO}/RECORD"]),
    ),
    ("empty", Code.WHEEL_RECORD_INCOMPLETE, "does not cover", lambda: wheel(record=lambda _: "")),
    (
        "incomplete",
        Code.WHEEL_RECORD_INCOMPLETE,
        "does not cover 'dep/evil.py'",
        lambda: with_member(Entry(b"dep/evil.py", b"evil")),
    ),
    (
        "of more than is there",
        Code.WHEEL_FILE_MISSING,
        "'dep/gone.py'",
        lambda: wheel(record=lambda it: it + f"dep/gone.py,{record_hash(b'')},0\n"),
    ),
    (
        "with a wrong hash",
        Code.WHEEL_HASH_MISMATCH,
        "its hash differs",
        lambda: wheel(record=lambda it: it.replace(record_hash(b""), record_hash(b"other"))),
    ),
    (
        "with a wrong hash of a script",
        Code.WHEEL_HASH_MISMATCH,
        "scripts/run is not what RECORD says",
        lambda: wheel(
            {"dep-1.0.data/scripts/run": "#!python\nevil"},
            record=lambda it: it.replace(record_hash(b"#!python\nevil"), record_hash(b"good")),
        ),
    ),
    (
        "with a wrong size",
        SIZE,
        "RECORD says 7",
        lambda: wheel(
            record=lambda it: it.replace(f"{record_hash(b'')},0", f"{record_hash(b'')},7")
        ),
    ),
    (
        "with md5",
        WEAK,
        "no sha256",
        lambda: wheel(record=lambda it: it.replace(record_hash(b""), record_hash(b"", "md5"))),
    ),
    (
        "with sha1",
        WEAK,
        "no sha256",
        lambda: wheel(record=lambda it: it.replace(record_hash(b""), record_hash(b"", "sha1"))),
    ),
    (
        "with half a hash",
        WEAK,
        "no sha256",
        lambda: wheel(record=lambda it: it.replace(record_hash(b""), record_hash(b"")[:-20])),
    ),
    (
        "without a hash",
        WEAK,
        "no sha256",
        lambda: wheel(record=lambda it: it.replace(record_hash(b""), "")),
    ),
    (
        "with a hash of no letters",
        WEAK,
        "no sha256",
        lambda: wheel(record=lambda it: it.replace("sha256=", "sha256=\u00e4!", 1)),
    ),
    ("that never ends a quote", RECORD, "RECORD", lambda: wheel(record=lambda it: '"' + it)),
    ("with two fields", RECORD, "2 fields", lambda: wheel(record=lambda it: it + "a,b\n")),
    (
        "that says twice",
        RECORD,
        "again, with another hash or size",
        lambda: wheel(record=lambda it: it + f"dep/__init__.py,{record_hash(b'evil')},0\n"),
    ),
    ("in UTF-16", RECORD, "RECORD", lambda: wheel(record=lambda it: it.encode("utf-16"))),
    ("in Latin-1", RECORD, "utf-8", lambda: wheel(record=lambda it: b"\xe4,,\n" + it.encode())),
    (
        "with a size of words",
        RECORD,
        "is not a size",
        lambda: wheel(record=lambda it: it.replace(",0\n", ",zero\n")),
    ),
    (
        "with a negative size",
        RECORD,
        "is not a size",
        lambda: wheel(record=lambda it: it.replace(",0\n", ",-1\n")),
    ),
    (
        "with an endless size",
        RECORD,
        "is not a size",
        lambda: wheel(record=lambda it: it.replace(",0\n", "," + "9" * 5000 + "\n")),
    ),
]
