"""The reader of archives at its edges: each number of a header one less and one more.

`tests/hostile` shows that the installer refuses such wheels; here the reader is asked alone, so
that mutation testing of it is quick (docs/mutation-testing.md).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.hostile import archives, names
from tests.hostile.crafted import END, Case, Entry, archive, entries, first
from tests.hostile.reading import opened, read, refused

from lls_provider.contract.limits import WheelLimits
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.messages import wheel_error
from lls_provider.runtime.wheelfile import archive as reader
from lls_provider.runtime.wheelfile.archive import name_problem, open_wheel, read_members, renames

PATH = Path("a.whl")
U16, U32 = 0xFFFF, 0xFFFFFFFF


OF_METADATA = (
    *("commands", "by metadata", "by requirements", "in RECORD", "differs in case", "written"),
    *("is file and directory", "script and a command", "of data is absolute", "without members"),
)
CASES: list[Case] = [
    case for case in (*archives.CASES, *names.CASES) if not any(it in case[0] for it in OF_METADATA)
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "why", "build"), [it[1:] for it in CASES], ids=[it[0] for it in CASES]
)
def test_the_reader_alone_refuses_what_an_archive_must_not_be(
    tmp_path: Path, code: Code, why: str, build: object
) -> None:
    assert callable(build)
    assert why in refused(tmp_path, build(), code)


# the end of the archive


def test_an_archive_without_members_is_one(tmp_path: Path) -> None:
    assert read(tmp_path, b"PK\x05\x06" + bytes(18)) == {}


@pytest.mark.parametrize("size", [0, 1, U16])
def test_a_comment_may_be_as_long_as_its_field_says(tmp_path: Path, size: int) -> None:
    assert read(tmp_path, archive([Entry(b"a", b"x")], comment=b"c" * size)) == {"a": b"x"}


@pytest.mark.parametrize("told", [0, 2, 4, 1000])
def test_a_comment_of_another_length_is_no_end(tmp_path: Path, told: int) -> None:
    data = archive([Entry(b"a", b"x")], comment=b"ccc", end={"comment": told})
    refused(tmp_path, data, Code.WHEEL_TRUNCATED)


@pytest.mark.parametrize("size", [18, 19, 20, 21, 75, 76, 77])
def test_what_stands_before_a_lone_end_is_no_directory(tmp_path: Path, size: int) -> None:
    data = b"x" * size + b"PK\x05\x06" + bytes(18)
    assert "data precedes" in refused(tmp_path, data, Code.WHEEL_ARCHIVE_INVALID)


@pytest.mark.parametrize("size", [0, 1, 55, 56])
def test_a_locator_needs_a_record_before_it(tmp_path: Path, size: int) -> None:
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    data = b"x" * size + locator + b"PK\x05\x06" + bytes(18)
    assert "not where it should be" in refused(tmp_path, data, Code.WHEEL_ARCHIVE_INVALID)


def test_a_download_that_broke_off_is_no_archive(tmp_path: Path) -> None:
    data = archive([Entry(b"a", b"x")])
    for size in range(len(data)):
        refused(tmp_path, data[:size], Code.WHEEL_NOT_ZIP if size < 4 else Code.WHEEL_TRUNCATED)


@pytest.mark.parametrize(
    "told", [{"disk": 1}, {"first": 1}, {"here": 0}, {"here": 2}, {"disk": 1, "first": 1}]
)
def test_an_archive_is_whole(tmp_path: Path, told: dict[str, int]) -> None:
    why = refused(tmp_path, archive([Entry(b"a")], end=told), Code.WHEEL_ARCHIVE_INVALID)
    assert "several" in why


@pytest.mark.parametrize("more", [-1, 1])
def test_the_directory_begins_where_the_end_says(tmp_path: Path, more: int) -> None:
    data = archive([Entry(b"a", b"x" * 9)], end={"offset": 31 + 9 + more})
    refused(tmp_path, data, Code.WHEEL_TRUNCATED if more > 0 else Code.WHEEL_ARCHIVE_INVALID)


# zip64


def _zip64(
    *,
    record: dict[str, int] | None = None,
    locator: dict[str, int] | None = None,
    short: dict[str, int] | None = None,
    signature: bytes = b"PK\x06\x06",
) -> bytes:
    """An archive with a zip64 end, of which the changes are wrong."""
    plain = archive([Entry(b"a", b"x"), Entry(b"b", b"y")])
    _, _, _, here, count, size, offset, _ = END.unpack(plain[-22:])
    body = plain[:-22]
    told = {"length": 44, "disk": 0, "first": 0, "here": here, "count": count}
    told |= {"size": size, "offset": offset} | (record or {})
    length, *rest = told.values()
    end64 = struct.pack("<4sQ2H2L4Q", signature, length, 45, 45, *rest)
    placed = {"disk": 0, "at": len(body), "disks": 1} | (locator or {})
    found = struct.pack("<4sLQL", b"PK\x06\x07", *placed.values())
    ends = {"here": here, "count": count, "size": size, "offset": offset} | (short or {})
    return body + end64 + found + END.pack(b"PK\x05\x06", 0, 0, *ends.values(), 0)


@pytest.mark.parametrize(
    "short",
    [
        {},
        {"here": U16},
        {"count": U16},
        {"size": U32},
        {"offset": U32},
        {"here": U16, "count": U16, "size": U32, "offset": U32},
    ],
)
def test_what_the_short_end_leaves_open_is_in_the_long_one(
    tmp_path: Path, short: dict[str, int]
) -> None:
    assert read(tmp_path, _zip64(short=short)) == {"a": b"x", "b": b"y"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"short": {"here": U16 - 1}}, "end records differ"),
        ({"short": {"count": U16 - 1}}, "end records differ"),
        ({"short": {"size": U32 - 1}}, "end records differ"),
        ({"short": {"offset": U32 - 1}}, "end records differ"),
        ({"short": {"offset": 0}}, "end records differ"),
        ({"short": {"count": 1}}, "end records differ"),
        ({"record": {"length": 43}}, "is damaged"),
        ({"record": {"length": 45}}, "is damaged"),
        ({"record": {"disk": 1}}, "is damaged"),
        ({"record": {"first": 1}}, "is damaged"),
        ({"locator": {"disk": 1}}, "is damaged"),
        ({"locator": {"disks": 2}}, "is damaged"),
        ({"locator": {"at": 0}}, "not where it should be"),
        ({"signature": b"PK\x06\x05"}, "not where it should be"),
    ],
)
def test_the_two_ends_must_agree(
    tmp_path: Path, changes: dict[str, dict[str, int]], why: str
) -> None:
    data = _zip64(**changes)  # type: ignore[arg-type]
    assert why in refused(tmp_path, data, Code.WHEEL_ARCHIVE_INVALID)


@pytest.mark.parametrize("disks", [0, 1])
def test_a_locator_counts_one_disk_or_none(tmp_path: Path, disks: int) -> None:
    assert read(tmp_path, _zip64(locator={"disks": disks})) == {"a": b"x", "b": b"y"}


def test_an_archive_without_members_may_have_a_zip64_end(tmp_path: Path) -> None:
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, *bytes(6))
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    assert read(tmp_path, record + locator + b"PK\x05\x06" + bytes(18)) == {}


@pytest.mark.parametrize("number", range(8))
def test_a_file_that_is_cut_between_two_reads_ends_in_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    data, pread = _zip64(), os.pread

    def cut_to(left: int) -> Callable[[int, int, int], bytes]:
        reads = itertools.count()

        def cut(descriptor: int, size: int, offset: int) -> bytes:
            if next(reads) == number:
                os.truncate(tmp_path / "a.whl", left)
            return pread(descriptor, size, offset)

        return cut

    for left in range(0, len(data), 5):
        monkeypatch.setattr(os, "pread", cut_to(left))
        with contextlib.suppress(SdkError):  # none if what was needed had been read before
            assert read(tmp_path, data) == {"a": b"x", "b": b"y"}
        assert (tmp_path / "a.whl").stat().st_size == left


def _field(*values: int, length: int | None = None, kind: int = 1) -> bytes:
    data = b"".join(struct.pack("<Q", it) for it in values)
    return struct.pack("<2H", kind, len(data) if length is None else length) + data


@pytest.mark.parametrize(
    ("told", "extra", "found"),
    [
        ((U32, U32, U32), _field(1, 2, 3), (1, 2, 3)),
        ((7, U32, U32), _field(2, 3), (7, 2, 3)),
        ((U32, 7, U32), _field(1, 3), (1, 7, 3)),
        ((U32, U32, 7), _field(1, 2), (1, 2, 7)),
        ((U32, 7, 8), _field(1, 2, 3), (1, 7, 8)),
        ((7, 8, U32), _field(1 << 40), (7, 8, 1 << 40)),
        ((U32, U32, U32), _field(1, 2, 3, length=28) + bytes(4), (1, 2, 3)),  # a disk behind it
        ((U32, U32, U32), _field(9, kind=2) + _field(1, 2, 3), (1, 2, 3)),
        ((U32, U32, U32), _field(9, 9, 9, kind=0) + _field(1, 2, 3), (1, 2, 3)),
        ((U32, U32, U32), _field(1, 2, 3) + _field(9, 9, 9), (1, 2, 3)),
    ],
)
def test_sizes_that_did_not_fit_are_in_a_field(
    told: tuple[int, int, int], extra: bytes, found: tuple[int, int, int]
) -> None:
    assert reader._zip64_sizes(PATH, b"a", extra, told) == found


@pytest.mark.parametrize(
    "extra",
    [
        b"",
        b"\x01\x00\x18",
        _field(1, 2),
        _field(1, 2, 3, length=23),
        _field(1, 2, 3, length=16),
        _field(1, 2, 3, kind=2),
        _field(kind=2) + _field(1, 2),
        _field(1, 2, 3)[:-1],
        _field(1, 2, 3)[:-4],
    ],
)
def test_a_field_that_has_not_got_them_is_refused(extra: bytes) -> None:
    with pytest.raises(SdkError) as caught:
        reader._zip64_sizes(PATH, b"a", extra, (U32, U32, U32))
    assert caught.value.code is Code.WHEEL_ARCHIVE_INVALID
    assert caught.value.why == "member 'a': its zip64 field is missing"


@pytest.mark.parametrize("which", ["size", "compressed", "offset"])
def test_each_of_the_three_may_be_the_one_that_did_not_fit(tmp_path: Path, which: str) -> None:
    value = 0 if which == "offset" else 100
    entry = Entry(b"a", b"x" * 100, central={which: U32, "extra": _field(value)})
    assert read(tmp_path, archive([entry])) == {"a": b"x" * 100}


# one entry


@pytest.mark.parametrize(
    ("raw", "flags", "method", "compressed", "size", "mode", "code"),
    [
        (b"a", 0, 8, 10, 10 * 1032, 0, None),
        (b"a", 0, 8, 10, 10 * 1032 + 1, 0, Code.WHEEL_SIZE_MISMATCH),
        (b"a", 0, 8, 0, 0, 0, None),
        (b"a", 0, 0, 5, 5, stat.S_IFREG, None),
        (b"a", 0, 0, 5, 4, 0, Code.WHEEL_SIZE_MISMATCH),
        (b"a", 0, 0, 4, 5, 0, Code.WHEEL_SIZE_MISMATCH),
        (b"a", 0, 1, 5, 5, 0, Code.WHEEL_COMPRESSION),
        (b"a", 0, 7, 5, 5, 0, Code.WHEEL_COMPRESSION),
        (b"a", 0, 9, 5, 5, 0, Code.WHEEL_COMPRESSION),
        (b"a", 0x20, 8, 5, 5, 0, Code.WHEEL_COMPRESSION),
        (b"a", 0x1E, 8, 5, 5, 0, None),
        (b"a", 0x01, 8, 5, 5, 0, Code.WHEEL_ENCRYPTED),
        (b"a", 0x40, 8, 5, 5, 0, Code.WHEEL_ENCRYPTED),
        (b"a", 0x2000, 8, 5, 5, 0, Code.WHEEL_ENCRYPTED),
        (b"a", 0, 0, 5, 5, stat.S_IFDIR, Code.WHEEL_ENTRY_TYPE),
        (b"a/", 0, 0, 0, 0, stat.S_IFDIR, None),
        (b"a/", 0, 0, 0, 0, 0, None),
        (b"a/", 0, 0, 0, 0, stat.S_IFREG, Code.WHEEL_ENTRY_TYPE),
        (b"a/", 0, 8, 2, 0, stat.S_IFDIR, None),
        (b"a/", 0, 8, 3, 0, stat.S_IFDIR, Code.WHEEL_ENTRY_TYPE),
        (b"a/", 0, 8, 2, 1, stat.S_IFDIR, Code.WHEEL_ENTRY_TYPE),
    ],
)
def test_what_no_wheel_has_is_a_problem_and_its_neighbour_is_none(
    raw: bytes, flags: int, method: int, compressed: int, size: int, mode: int, code: Code | None
) -> None:
    found = reader._problem(raw, flags, method, compressed, size, mode)
    assert (found[0] if found else None) is code


def test_a_name_in_a_field_of_the_directory_alone_is_seen(tmp_path: Path) -> None:
    extra = archives.unicode_path(b"dep/__init__.py", b"dep/evil.py")
    why = refused(tmp_path, first(central={"extra": extra}), Code.WHEEL_HEADER_MISMATCH)
    assert "a field names it otherwise" in why


@pytest.mark.parametrize(
    ("extra", "found"),
    [
        (b"", False),
        (b"\x75\x70", False),
        (b"\x75\x70\x00", False),
        (archives.unicode_path(b"a", b"a"), False),
        (archives.unicode_path(b"a", b"b"), True),
        (archives.unicode_path(b"a", b"a") + archives.unicode_path(b"a", b"b"), True),
        (archives.unicode_path(b"a", b"a") + b"more", False),
        (struct.pack("<2H", 0x7076, 6) + bytes(5) + b"b", False),
        (struct.pack("<2H", 0x7075, 5) + bytes(5), True),  # no name is another one
        (struct.pack("<2H", 0x7075, 0), True),
    ],
)
def test_a_field_may_hold_the_name_again_and_no_other(extra: bytes, found: bool) -> None:
    assert renames(extra, b"a") is found


def test_entries_are_as_many_as_the_end_says_and_as_long(tmp_path: Path) -> None:
    three = [Entry(b"a", b"1", extra=b"\xfe\xca\x00\x00", comment=b"c"), Entry(b"b"), Entry(b"c")]
    assert read(tmp_path, archive(three)) == {"a": b"1", "b": b"", "c": b""}
    cut = archive(three, end={"here": 4, "count": 4})
    assert "entry 4 of its directory" in refused(tmp_path, cut, Code.WHEEL_ARCHIVE_INVALID)


@pytest.mark.parametrize("signature", [b"PK\x01\x01", b"PK\x01\x03"])
def test_an_entry_begins_with_its_signature(tmp_path: Path, signature: bytes) -> None:
    data = archive([Entry(b"a", central={"signature": signature})])
    assert "entry 1 of its directory" in refused(tmp_path, data, Code.WHEEL_ARCHIVE_INVALID)


@pytest.mark.parametrize("field", [28, 30, 32], ids=["name", "extra", "comment"])
def test_an_entry_ends_within_the_directory(tmp_path: Path, field: int) -> None:
    data = bytearray(archive([Entry(b"a"), Entry(b"b")]))
    struct.pack_into("<H", data, data.rindex(b"PK\x01\x02") + field, 2)
    assert "as long as" in refused(tmp_path, bytes(data), Code.WHEEL_ARCHIVE_INVALID)


@pytest.mark.parametrize(
    "entry",
    [
        Entry(b"a", b"x" * 100, central={"compressed": 101, "size": 101}),
        Entry(b"d/", b"", 8, mode=0o40755, packed=b"\x03", central={"compressed": 2}),
    ],
    ids=["file", "directory"],
)
def test_an_overlap_is_refused_before_any_content_is_read(tmp_path: Path, entry: Entry) -> None:
    with (
        opened(tmp_path, archive([entry, Entry(b"b")])) as (path, descriptor),
        pytest.raises(SdkError) as caught,
    ):
        read_members(path, descriptor, WheelLimits())
    assert caught.value.code is Code.WHEEL_OVERLAP


@pytest.mark.parametrize(("more", "code"), [(0, None), (1, Code.WHEEL_LIMIT)])
def test_a_directory_has_so_much_room(tmp_path: Path, more: int, code: Code | None) -> None:
    extra = _field(kind=0xCAFE) * 250
    comment = bytes(65536 + 1024 - 46 - 1 - len(extra) + more)
    data = archive([Entry(b"a", comment=comment, central={"extra": extra})])
    if code is None:
        assert read(tmp_path, data) == {"a": b""}
    else:
        assert "66,560 are allowed" in refused(tmp_path, data, code)


@pytest.mark.parametrize(("count", "fits"), [(3, True), (4, False)])
def test_members_are_counted(tmp_path: Path, count: int, fits: bool) -> None:
    data = archive([Entry(b"%d" % number) for number in range(count)])
    limits = WheelLimits(files=3)
    if fits:
        assert len(read(tmp_path, data, limits)) == count
        return
    with pytest.raises(SdkError) as caught:
        read(tmp_path, data, limits)
    assert caught.value.code is Code.WHEEL_LIMIT


@pytest.mark.parametrize(("size", "fits"), [(1000, True), (1001, False)])
def test_what_members_unpack_to_is_summed(tmp_path: Path, size: int, fits: bool) -> None:
    data = archive([Entry(b"a", b"x" * 500), Entry(b"b", b"x" * (size - 500))])
    limits = WheelLimits(ratio=0, bytes=1000)
    if fits:
        assert len(read(tmp_path, data, limits)) == 2
        return
    with pytest.raises(SdkError) as caught:
        read(tmp_path, data, limits)
    assert caught.value.code is Code.WHEEL_LIMIT
    assert "unpack to 1,001 bytes" in caught.value.why


def test_a_member_may_be_written_twice_in_two_ways_but_not_for_two_uses(tmp_path: Path) -> None:
    one = Entry(b"a", b"x" * 100)
    assert read(tmp_path, archive([one, Entry(b"a", b"x" * 100, method=8)])) == {"a": b"x" * 100}
    for other in (
        Entry(b"a", b"x" * 100, mode=0o100755),
        Entry(b"a", b"x" * 101),
        Entry(b"a", b"x" * 99 + b"y"),
    ):
        refused(tmp_path, archive([one, other]), Code.WHEEL_DUPLICATE_ENTRY)
        refused(tmp_path, archive([other, one]), Code.WHEEL_DUPLICATE_ENTRY)


@pytest.mark.parametrize("mode", [0o644, 0o100, 0o010, 0o001, 0o755])
def test_who_may_run_a_member_may_be_anybody(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.whl"
    path.write_bytes(archive([Entry(b"a", mode=stat.S_IFREG | mode)]))
    descriptor = open_wheel(path)
    (member,) = read_members(path, descriptor, WheelLimits())
    os.close(descriptor)
    assert member.executable is (mode != 0o644)


@pytest.mark.parametrize(
    ("raw", "flags", "name"),
    [(b"a", 0, "a"), (b"\x84", 0, "ä"), ("ä".encode(), 0x800, "ä"), (b"d/", 0, "d/")],
)
def test_a_name_is_of_the_first_code_page_unless_it_says_otherwise(
    raw: bytes, flags: int, name: str
) -> None:
    assert reader._name(PATH, raw, flags) == name


# names


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a" * 255, None),
        ("a" * 256, "255 bytes"),
        ("ä" * 127, None),
        ("ä" * 128, "255 bytes"),
        ("/".join(["a" * 255] * 15) + "/" + "b" * 255, None),
        ("/".join(["a" * 255] * 16) + "/", "empty part"),
        ("/".join(["a" * 254] * 16) + "/" + "b" * 15, None),
        ("/".join(["a" * 254] * 16) + "/" + "b" * 16, "4,095 bytes"),
        ("a b", None),
        ("a\x7f", "control"),
        ("a\x1f", "control"),
        ("a\x9f", "control"),
        ("a\xa0", None),
        ("1:", None),
        ("z:", "drive"),
        ("Z:x", "drive"),
        ("a\ud800", "not text"),
        ("a\udfff", "not text"),
        ("a\ue000", None),
        ("...", None),
        ("-a", None),
        ("a.-b", None),
        ("a/.b", None),
        ("a/..", "leaves"),
    ],
)
def test_a_name_at_the_edge_of_what_it_may_be(name: str, problem: str | None) -> None:
    found = name_problem(name)
    assert (problem in found) if found is not None and problem is not None else found is problem


# the solution


@pytest.mark.parametrize(
    ("code", "of_record", "is_record"),
    [
        (Code.WHEEL_RECORD_MISSING, False, True),
        (Code.WHEEL_RECORD_INCOMPLETE, False, True),
        (Code.WHEEL_TRUNCATED, False, False),
        (Code.WHEEL_TRUNCATED, True, True),
    ],
)
def test_a_record_can_be_written_anew_and_an_archive_not(
    code: Code, of_record: bool, is_record: bool
) -> None:
    error = wheel_error(code, "/x/dep-1.0-py3-none-any.whl", "why", of_record=of_record)
    assert ("wheel pack dep-1.0" in error.resolution) is is_record
    assert error.where.file == "/x/dep-1.0-py3-none-any.whl"
    assert error.what == "The wheel dep-1.0-py3-none-any.whl is not valid"
    assert wheel_error(code, "x.whl", "why", resolution="Wait.").resolution == "Wait."


def test_the_cases_are_all_that_an_archive_can_be_wrong_in() -> None:
    assert len(CASES) >= 88
    assert len(entries()) == 4
