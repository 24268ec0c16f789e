"""Bytes that are nearly right: seeds changed at random, the same for the same seed."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Sequence

from tests.factories.wheels import record_of, zip_bytes

INFO = "x-1.0.dist-info"
_NUMBERS = (0, 1, 2, 8, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_WORDS = (
    *(b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"\x00", b"\r"),
    *(b"../", b"/", b"\\", b",", b'"', b"sha256=", b"md5=", b"\n", b"[", b"]", b"=", b":", b"("),
    *(b"&a ", b"*a", b"<<: ", b"!!python/name:os.system ", b"? ", b"- ", b"{", b"}", b"|\n", b">"),
    *(b"\t", b"'", b"# ", b"---\n", b"...\n", b"%TAG ! x\n", b"!!binary ", b"0x", b"1_0:59", b"~"),
    *(b".nan", b"-.inf", b"\\ud800", b"\\U00110000", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc2\x85"),
    *(b"; extra == 'a'", b"Requires-Dist: ", b"Name: ", b" and ", b"===", b"@ file:///", b"~="),
)


def mutate(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """The data after one to eight changes."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 8))):
        _CHANGES[rng.randrange(len(_CHANGES))](found, rng, others)
    return bytes(found)


def _place(data: bytearray, rng: random.Random) -> int:
    # the end of an archive says where everything is: look there as often as anywhere
    if rng.random() < 0.3:
        return max(0, len(data) - 1 - int(rng.expovariate(1 / 60)))
    return rng.randrange(len(data) + 1)


def _bit(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    if data:
        data[min(_place(data, rng), len(data) - 1)] ^= 1 << rng.randrange(8)


def _number(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at, size = _place(data, rng), rng.choice((1, 2, 4, 8))
    number = rng.choice(_NUMBERS) & ((1 << 8 * size) - 1)
    data[at : at + size] = number.to_bytes(size, "little")


def _insert(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at = _place(data, rng)
    data[at:at] = rng.choice(_WORDS) * rng.choice((1, 1, 1, 2, 70))


def _overwrite(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at, word = _place(data, rng), rng.choice(_WORDS)
    data[at : at + len(word)] = word


def _delete(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at = _place(data, rng)
    del data[at : at + 1 + int(rng.expovariate(1 / 8))]


def _copy(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    start, at = _place(data, rng), _place(data, rng)
    data[at:at] = data[start : start + 1 + int(rng.expovariate(1 / 40))] * rng.choice((1, 1, 30))


def _cut(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    del data[_place(data, rng) :]


def _splice(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    other = bytearray(rng.choice(others))
    data[_place(data, rng) :] = other[_place(other, rng) :]


_CHANGES = (
    _bit,
    _bit,
    _number,
    _number,
    _insert,
    _insert,
    _overwrite,
    _delete,
    _copy,
    _cut,
    _splice,
)


def wheel_contents() -> dict[str, bytes]:
    """The files of a small valid wheel with every part that reading knows."""
    return {
        "x/__init__.py": b"",
        "x/deep/er/module.py": b"print(1)\n" * 40,
        "x-1.0.data/scripts/run": b"#!python -E\nprint()\n",
        "x-1.0.data/purelib/y.py": b"y = 1\n",
        f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: x\nVersion: 1.0\nSummary: s\n more\n"
        b"Requires-Python: >=3.8,!=3.9.*\nRequires-Dist: a[b,c]>=1,<2; python_version > '3.8' "
        b"and (extra == 'd' or sys_platform == 'linux')\nRequires-Dist: e @ https://e.example/e\n"
        b"\nBody\n",
        f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{INFO}/entry_points.txt": b"[console_scripts]\nx = x.m:main.f [d]\n[other]\na = b\n",
    }


def mutated_parts(rng: random.Random) -> bytes:
    """A sound archive of a wheel in which one file that is read was changed at random.

    RECORD agrees with the change, so that it is not what refuses the wheel.
    """
    contents = wheel_contents()
    others = list(contents.values())
    name = rng.choice([*contents, f"{INFO}/RECORD"])
    if name in contents:
        contents[name] = mutate(contents[name], rng, others)
    record = record_of(contents, f"{INFO}/RECORD").encode("utf-8", "surrogateescape")
    contents[f"{INFO}/RECORD"] = (
        mutate(record, rng, others) if name not in contents or rng.random() < 0.1 else record
    )
    return zip_bytes(contents, method=zipfile.ZIP_STORED)
