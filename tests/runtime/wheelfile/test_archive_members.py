from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import pytest
from tests.factories.wheels import zip_bytes
from tests.hostile import crafted

from lls_provider.contract.limits import WheelLimits
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.wheelfile.archive import (
    name_problem,
    open_wheel,
    read_member,
    read_members,
)


def _zip(path: Path, contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    path.write_bytes(zip_bytes(contents, method=method))
    return path


def _read(path: Path) -> dict[str, bytes]:
    descriptor = open_wheel(path)
    try:
        members = read_members(path, descriptor, WheelLimits())
        return {m.name: b"".join(read_member(path, descriptor, m)) for m in members}
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_as_they_were_written(tmp_path: Path, method: int) -> None:
    contents = {
        "empty": b"",
        "small": b"x",
        "zeros": bytes(5_000_000),
        "random": os.urandom(3_000_000),
        "ünï": b"non-ascii name",
    }
    assert _read(_zip(tmp_path / "a.whl", contents, method)) == contents


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "./a",
        "a/.",
        "..",
        "a\\b",
        "a\nb",
        "a" * 256,
        "",
        "a\udc80",
    ],
)
def test_a_name_that_could_leave_the_folder_is_a_problem(name: str) -> None:
    assert name_problem(name) is not None


@pytest.mark.parametrize("name", ["a", "a/b.py", ".hidden", "a..b", "ä/ö", "a/...", "a b"])
def test_an_ordinary_name_is_no_problem(name: str) -> None:
    assert name_problem(name) is None


def _refused(path: Path, code: Code) -> str:
    with pytest.raises(SdkError) as caught:
        _read(path)
    assert caught.value.code is code
    assert path.name in caught.value.what
    return caught.value.why


def test_damaged_data_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.whl", {"a": os.urandom(1000) * 10})
    data = bytearray(path.read_bytes())
    data[40:60] = b"\xff" * 20
    path.write_bytes(data)
    assert "member 'a'" in _refused(path, Code.WHEEL_DATA_DAMAGED)


def test_a_member_that_shrank_while_it_was_read_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.whl", {"a": os.urandom(100_000)})
    descriptor = open_wheel(path)
    (member,) = read_members(path, descriptor, WheelLimits())
    os.truncate(path, 50_000)
    with pytest.raises(SdkError) as caught:
        list(read_member(path, descriptor, member))
    os.close(descriptor)
    assert caught.value.code is Code.WHEEL_TRUNCATED


@pytest.mark.parametrize("declared", [9_999, 10_001, 10])
def test_a_size_that_lies_is_refused_when_the_content_ends(tmp_path: Path, declared: int) -> None:
    path = _zip(tmp_path / "a.whl", {"a": bytes(10_000)})
    data = bytearray(path.read_bytes())
    for header, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<L", data, data.index(header) + place, declared)
    path.write_bytes(data)
    assert "declared" in _refused(path, Code.WHEEL_SIZE_MISMATCH)


def test_data_behind_the_end_of_a_member_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.whl", {"a": b"abc"}, zipfile.ZIP_STORED)
    data = path.read_bytes()
    empty = b"\x03\x00x"  # an empty deflate stream and one byte more
    data = data.replace(b"abc", empty).replace(b"\0\0\0\0\0\0!X", b"\0\0\x08\0\0\0!X")
    data = data.replace(b"\x03\0\0\0\x03\0\0\0", b"\x03\0\0\0\0\0\0\0")
    path.write_bytes(data)
    assert "does not end" in _refused(path, Code.WHEEL_DATA_DAMAGED)


def test_an_archive_of_many_writers_is_read(tmp_path: Path) -> None:
    """Streamed members, zip64 fields, a comment and directories: all of it is allowed."""
    path = tmp_path / "a.whl"

    class Pipe:  # what cannot seek gets data descriptors
        def __init__(self) -> None:
            self.data = b""

        def write(self, data: bytes) -> int:
            self.data += data
            return len(data)

        def flush(self) -> None:
            pass

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
        archive.comment = b"made by a test"
        archive.mkdir("folder")
        archive.writestr("folder/a", "streamed")
        with archive.open("big", "w", force_zip64=True) as stream:
            stream.write(b"zip64")
    path.write_bytes(pipe.data)
    assert _read(path) == {"folder/a": b"streamed", "big": b"zip64"}


def test_an_archive_with_a_zip64_end_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    path = _zip(tmp_path / "a.whl", {"a": b"1", "b": b"2"})
    assert b"PK\x06\x06" in path.read_bytes()
    assert _read(path) == {"a": b"1", "b": b"2"}


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(SdkError) as caught:
        open_wheel(tmp_path / "a.whl")
    assert caught.value.code is Code.FILE_UNREADABLE
    assert caught.value.why == "No such file or directory"


def test_a_path_that_no_file_can_have_is_unreadable() -> None:
    with pytest.raises(SdkError) as caught:
        open_wheel(Path("a\0.whl"))
    assert caught.value.code is Code.FILE_UNREADABLE
    assert "null byte" in caught.value.why


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.whl")
    with pytest.raises(SdkError) as caught:
        open_wheel(tmp_path / "a.whl")
    assert caught.value.code is Code.WHEEL_NOT_FILE


def test_a_member_whose_header_is_gone_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.whl", {"a": b"1", "b": b"2"})
    descriptor = open_wheel(path)
    _, member = read_members(path, descriptor, WheelLimits())
    os.truncate(path, member.offset + 10)
    with pytest.raises(SdkError) as caught:
        list(read_member(path, descriptor, member))
    os.close(descriptor)
    assert caught.value.code is Code.WHEEL_TRUNCATED
    assert caught.value.why == "member 'b': the archive ends in its header"


@pytest.mark.parametrize("more", range(0, 600, 23))
def test_content_is_whole_wherever_a_piece_ends(tmp_path: Path, more: int) -> None:
    """What zlib holds back at the end of a piece comes too."""
    content = bytes(256 * 1024 + more)
    assert _read(_zip(tmp_path / "a.whl", {"a": content})) == {"a": content}


def test_sizes_are_read_from_the_zip64_field_wherever_it_stands(tmp_path: Path) -> None:
    other = struct.pack("<2H", 0xCAFE, 2) + b"xx"
    field = struct.pack("<2H2Q", 1, 16, 100, 100)
    unknown = {"size": 0xFFFFFFFF, "compressed": 0xFFFFFFFF}
    path = tmp_path / "a.whl"
    path.write_bytes(
        crafted.archive([crafted.Entry(b"a", b"x" * 100, extra=other + field, central=unknown)])
    )
    assert _read(path) == {"a": b"x" * 100}
