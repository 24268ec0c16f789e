"""The content of members: where it begins, in which pieces it comes, where it ends."""

from __future__ import annotations

import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from tests.hostile.crafted import Entry, archive
from tests.hostile.reading import opened, read, refused

from lls_provider.contract.limits import WheelLimits
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.wheelfile import archive as reader
from lls_provider.runtime.wheelfile.archive import Member, open_wheel, read_member, read_members

U32 = 0xFFFFFFFF


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("method", [0, 8])
def test_content_comes_in_any_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, method: int
) -> None:
    monkeypatch.setattr(reader, "_CHUNK", piece)
    contents = {b"empty": b"", b"one": b"x", b"zeros": bytes(700), b"mixed": bytes(range(256)) * 2}
    found = archive([Entry(name, data, method) for name, data in contents.items()])
    assert read(tmp_path, found) == {name.decode(): data for name, data in contents.items()}


@pytest.mark.parametrize("piece", [1, 5, 1000])
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"size": 99}, Code.WHEEL_SIZE_MISMATCH),
        ({"size": 101}, Code.WHEEL_SIZE_MISMATCH),
        ({"size": 0}, Code.WHEEL_SIZE_MISMATCH),
        ({"packed": b"more"}, Code.WHEEL_DATA_DAMAGED),
        ({"packed": b"\0"}, Code.WHEEL_DATA_DAMAGED),
        ({"cut": 1}, Code.WHEEL_DATA_DAMAGED),
    ],
)
def test_deflated_content_ends_where_it_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    piece: int,
    change: dict[str, int | bytes],
    code: Code,
) -> None:
    monkeypatch.setattr(reader, "_CHUNK", piece)
    deflate = zlib.compressobj(wbits=-15)
    packed = deflate.compress(bytes(range(100))) + deflate.flush(zlib.Z_SYNC_FLUSH)
    if "cut" not in change:
        packed += deflate.flush()
    more = change.get("packed", b"")
    assert isinstance(more, bytes)
    size = {"size": change.get("size", 100)}
    entry = Entry(b"a", bytes(range(100)), 8, packed=packed + more, local=size, central=size)
    why = refused(tmp_path, archive([entry]), code)
    assert why.startswith("member 'a': ")


def test_an_end_of_content_that_says_nothing_may_be_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_CHUNK", 10)
    deflate = zlib.compressobj(wbits=-15)
    packed = deflate.compress(b"x" * 50)
    packed += b"".join(deflate.flush(zlib.Z_FULL_FLUSH) + b"\0\0\0\xff\xff" * 9 for _ in range(1))
    packed += deflate.flush()
    assert read(tmp_path, archive([Entry(b"a", b"x" * 50, 8, packed=packed)])) == {"a": b"x" * 50}


@pytest.mark.parametrize(
    ("local", "why"),
    [
        ({"compressed": 99}, "in size"),
        ({"compressed": 101}, "in size"),
        ({"size": 99}, "in size"),
        ({"size": 101}, "in size"),
        ({"method": 8}, "in method"),
        ({"flags": 1}, "in method"),
        ({"name": b"dep/__init__.pyc"}, "otherwise"),
        ({"name": b"dep/__init__.pz"}, "otherwise"),
        ({"name": b"dep/__init__.p", "extra": b"y"}, "otherwise"),
        ({"signature": b"PK\x03\x05"}, "is damaged"),
    ],
)
def test_two_headers_that_differ_are_refused(
    tmp_path: Path, local: dict[str, object], why: str
) -> None:
    data = archive([Entry(b"dep/__init__.py", b"x" * 100, local=local)])
    assert why in refused(tmp_path, data, Code.WHEEL_HEADER_MISMATCH)


def test_a_local_header_that_says_stored_is_refused_where_the_directory_says_deflated(
    tmp_path: Path,
) -> None:
    data = archive([Entry(b"a", b"x" * 100, 8, local={"method": 0})])
    assert "in method" in refused(tmp_path, data, Code.WHEEL_HEADER_MISMATCH)


@pytest.mark.parametrize(
    "local",
    [
        {"flags": 0x8, "size": 0, "compressed": 0},
        {"size": U32, "compressed": U32},
        {"size": U32},
        {"compressed": U32},
        {"flags": 0x806},
    ],
)
def test_what_a_local_header_need_not_know_is_no_difference(
    tmp_path: Path, local: dict[str, object]
) -> None:
    assert read(tmp_path, archive([Entry(b"a", b"x" * 100, local=local)])) == {"a": b"x" * 100}


@pytest.mark.parametrize("extra", [0, 1, 30])
def test_a_member_ends_before_the_next_by_its_own_header(tmp_path: Path, extra: int) -> None:
    """Only its local header knows how long its extra field is."""
    data = bytearray(archive([Entry(b"a", b"x" * 100), Entry(b"b")]))
    struct.pack_into("<H", data, 28, extra)
    if not extra:
        assert read(tmp_path, bytes(data)) == {"a": b"x" * 100, "b": b""}
    else:
        assert "into what follows" in refused(tmp_path, bytes(data), Code.WHEEL_OVERLAP)


@pytest.mark.parametrize("more", [0, 1])
def test_a_member_has_the_room_up_to_the_next(tmp_path: Path, more: int) -> None:
    told = {"compressed": 100 + more, "size": 100 + more}
    data = archive([Entry(b"a", b"x" * 100, local=told, central=told), Entry(b"b")])
    if not more:
        assert read(tmp_path, data) == {"a": b"x" * 100, "b": b""}
    else:
        assert "into what follows" in refused(tmp_path, data, Code.WHEEL_OVERLAP)


@pytest.mark.parametrize("left", [0, 29, 30, 31, 35])
def test_a_file_that_is_cut_while_it_is_read_is_told(tmp_path: Path, left: int) -> None:
    path = tmp_path / "a.whl"
    path.write_bytes(archive([Entry(b"a", b"x" * 10)]))
    descriptor = open_wheel(path)
    (member,) = read_members(path, descriptor, WheelLimits())
    os.truncate(path, left)
    with pytest.raises(SdkError) as caught:
        list(read_member(path, descriptor, member))
    os.close(descriptor)
    wanted = Code.WHEEL_HEADER_MISMATCH if left == 30 else Code.WHEEL_TRUNCATED
    assert caught.value.code is wanted


def test_a_member_is_read_at_most_as_long_as_it_says(tmp_path: Path) -> None:
    path = tmp_path / "a.whl"
    path.write_bytes(archive([Entry(b"a", b"x" * 10)]))
    descriptor = open_wheel(path)
    member = Member("a", 0, 41, b"a", 0, 0, 10, 10, False)
    assert b"".join(read_member(path, descriptor, member)) == b"x" * 10
    os.close(descriptor)


@pytest.mark.parametrize("piece", [1, 10, 299, 300, 301, 400])
@pytest.mark.parametrize("size", [299, 301, 374, 375, 384, 600])
def test_what_zlib_holds_back_counts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, size: int
) -> None:
    """Of 375 zeros it has taken every byte when 300 have come out."""
    monkeypatch.setattr(reader, "_CHUNK", piece)
    told = {"size": 300}
    entry = Entry(b"a", bytes(size), 8, local=told, central=told)
    why = refused(tmp_path, archive([entry]), Code.WHEEL_SIZE_MISMATCH)
    assert why == "member 'a': its content is not of the declared 300 bytes"


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1000, reader._CHUNK])
@pytest.mark.parametrize("declared", [0, 10, 999, 20_000])
def test_no_more_is_unpacked_than_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, declared: int
) -> None:
    """Here 32 KB unpack to 32 MiB, which would fill the memory of a small Pod."""
    monkeypatch.setattr(reader, "_CHUNK", chunk)
    told = {"size": declared}
    sizes: list[int] = []
    with opened(tmp_path, archive([Entry(b"a", bytes(1 << 25), 8, local=told, central=told)])) as (
        path,
        descriptor,
    ):
        (member,) = read_members(path, descriptor, WheelLimits())
        tracemalloc.start()
        try:
            with pytest.raises(SdkError) as caught:
                sizes.extend(len(piece) for piece in read_member(path, descriptor, member))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert caught.value.code is Code.WHEEL_SIZE_MISMATCH
    assert sum(sizes) <= declared
    assert max(sizes, default=0) <= chunk
    assert peak < 512 * 1024
