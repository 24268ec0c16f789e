"""Wheels that attack: each is refused under its own code, and nothing is written."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.factories.wheels import record_hash
from tests.hostile import archives, metadatas, names, records
from tests.hostile.crafted import (
    INFO,
    METADATA,
    WHEEL,
    Case,
    Entry,
    archive,
    entries,
    first,
    wheel,
)

from lls_provider.bundle.checks.bundle import check_bundle
from lls_provider.bundle.compat import compatibility
from lls_provider.errors import Code
from lls_provider.runtime.install.install import install

if TYPE_CHECKING:
    Refuse = Callable[..., Any]
    World = Any

ONE = {"dep/a.py": "x" * 99}
FOLDER = Entry(b"dep/", mode=0o40755)

CASES: list[Case] = [
    (f"{kind} {name}", code, why, build)
    for kind, table in (
        ("name that", names.CASES),
        ("RECORD", records.CASES),
        ("archive", archives.CASES),
        ("metadata", metadatas.CASES),
    )
    for name, code, why, build in table
]


def place(world: World, data: bytes, name: str = WHEEL) -> None:
    (world.packages / name).write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "why", "build"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_it_is_refused(
    world: World, refuse: Refuse, code: Code, why: str, build: Callable[[], bytes]
) -> None:
    place(world, build())
    refuse(code, why, names=WHEEL)


def test_the_table_is_as_wide_as_it_should_be() -> None:
    assert len(CASES) >= 140
    assert len({code for _, code, _, _ in CASES}) >= 24


def test_what_the_cases_start_from_is_fine(world: World) -> None:
    place(world, wheel())
    install(world.request(), workers=1)
    assert (world.root / "external-providers/python-packages/dep/__init__.py").is_file()


def test_a_field_that_tells_the_same_name_is_fine(world: World) -> None:
    name = b"dep/__init__.py"
    place(world, first(extra=archives.unicode_path(name, name)))
    install(world.request(), workers=1)
    assert (world.root / "external-providers/python-packages/dep/__init__.py").is_file()


EQUAL = {
    "a member": lambda: archive([*entries(), *entries()[:1]]),
    "all members": lambda: archive([*entries(), *entries()]),
    "a member, stored and deflated": lambda: archive(
        [*entries(ONE), *(it for it in entries(ONE, method=8) if it.name == b"dep/a.py")]
    ),
    "a directory": lambda: archive([*entries(), FOLDER, FOLDER]),
    "a line of RECORD": lambda: wheel(record=lambda it: it + it),
    "a file, by a data directory": lambda: wheel(
        {**ONE, "dep-1.0.data/purelib/dep/a.py": "x" * 99}
    ),
    "a file, by two data directories": lambda: wheel(
        {"dep-1.0.data/data/dep/a.py": "x" * 99, "dep-1.0.data/platlib/dep/a.py": "x" * 99}
    ),
    "a file, with two kinds of hash": lambda: wheel(
        {**ONE, "dep-1.0.data/purelib/dep/a.py": "x" * 99},
        record=lambda it: it.replace(record_hash(b"x" * 99), record_hash(b"x" * 99, "sha512"), 1),
    ),
}


@pytest.mark.parametrize("build", EQUAL.values(), ids=EQUAL)
def test_what_stands_there_twice_in_the_same_content_is_fine(
    world: World, build: Callable[[], bytes]
) -> None:
    """As in selenium 3.11.0, which has four files in its module and in its data directory."""
    place(world, build())
    install(world.request(), workers=1)
    packages = world.root / "external-providers/python-packages"
    assert (packages / "dep/__init__.py").is_file()
    record = (packages / INFO / "RECORD").read_text().splitlines()
    assert len(record) == len({line.partition(",")[0] for line in record})
    files = {it.relative_to(packages).as_posix() for it in packages.rglob("*") if it.is_file()}
    assert {line.partition(",")[0] for line in record} == {
        it for it in files if it.startswith(("dep/", f"{INFO}/"))
    }


@pytest.mark.parametrize("part", range(24))
def test_a_wheel_cut_anywhere_is_refused(world: World, refuse: Refuse, part: int) -> None:
    whole = wheel({"dep/data.bin": bytes(range(256)) * 4}, method=8)
    left = part if part < 8 else len(whole) * (part - 7) // 17
    place(world, whole[:left])
    code = Code.WHEEL_NOT_ZIP if left < 4 else Code.WHEEL_TRUNCATED
    refuse(code, "The wheel", names=WHEEL)


@pytest.mark.parametrize(
    "name",
    [
        *("dep.whl", "dep-1.0.whl", "dep-1.0-py3-none.whl", "-1.0-py3-none-any.whl"),
        *("dep-one-py3-none-any.whl", "de p-1.0-py3-none-any.whl"),
        *("$(id)-1.0-py3-none-any.whl", ";id-1.0-py3-none-any.whl", "--help.whl"),
    ],
)
def test_a_file_name_that_is_no_wheels_is_refused(world: World, refuse: Refuse, name: str) -> None:
    place(world, wheel(), name)
    refuse(Code.WHEEL_NAME_INVALID, "", names=name)


@pytest.mark.parametrize("name", ["dep-2.0", "evil-1.0", "..-1.0"])
def test_a_file_name_of_another_wheel_is_refused(world: World, refuse: Refuse, name: str) -> None:
    place(world, wheel(), f"{name}-py3-none-any.whl")
    refuse(Code.WHEEL_NAME_MISMATCH, "does not belong", names=f"{name}-py3-none-any.whl")


def test_a_file_name_that_is_not_text_is_refused(world: World, refuse: Refuse) -> None:
    Path(str(world.packages) + "/dep\udcff-1.0-py3-none-any.whl").write_bytes(wheel())
    refuse(Code.WHEEL_NAME_INVALID, "not valid", names="-1.0-py3-none-any.whl")


def test_many_small_bombs_are_one(world: World, refuse: Refuse) -> None:
    deflate = zlib.compressobj(9, wbits=-15)
    told = {"size": 40 * 1024 * 1024}
    packed = deflate.compress(bytes(told["size"])) + deflate.flush()
    line = f"dep/bomb,{record_hash(b'')},{told['size']}\n"
    for name in ("dep", "dip"):
        bomb = Entry(b"dep/bomb", b"", 8, packed=packed, local=told, central=told)
        data = wheel(
            {f"{INFO}/METADATA": METADATA.replace("dep", name)},
            record=lambda text: text + line,
            unrecorded=[bomb],
        )
        place(world, data.replace(b"dep", name.encode()), f"{name}-1.0-py3-none-any.whl")
    refuse(Code.WHEEL_LIMIT, "3 wheels unpack to 83,88", names="packages")


WHILE_UNPACKING = {
    *(Code.WHEEL_HASH_MISMATCH, Code.WHEEL_DATA_DAMAGED, Code.WHEEL_HEADER_MISMATCH),
    *(Code.WHEEL_SIZE_MISMATCH, Code.WHEEL_OVERLAP),
}
"""What may be seen only when a member is read: `check` and `compat` read few."""


@pytest.mark.parametrize("number", range(0, len(CASES), 7))
def test_before_deployment_it_is_refused_under_the_same_code(world: World, number: int) -> None:
    _, code, _, build = CASES[number]
    place(world, build())
    found = check_bundle(world.source, label="bundle").findings
    (verdict,) = compatibility([("bundle", world.source)]).verdicts
    if code in WHILE_UNPACKING:
        return
    assert code in {it.problem.code for it in found if it.level == "error" and it.problem}
    assert verdict.error is not None
    assert verdict.error.code is code


@pytest.mark.slow
@pytest.mark.parametrize("number", range(0, len(CASES), 14))
def test_the_zipapp_refuses_it_too(
    world: World, refuse_in_zipapp: Callable[[str], str], number: int
) -> None:
    _, _, why, build = CASES[number]
    place(world, build())
    assert WHEEL in refuse_in_zipapp(why)
