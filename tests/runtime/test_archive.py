from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.archive import name_problem, read_member, read_members


def _zip(path: Path, contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in contents.items():
            archive.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), data, method)
    return path


def _read(path: Path) -> dict[str, bytes]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return {m.name: b"".join(read_member(path, descriptor, m)) for m in read_members(path)}
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
    ["/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/.", "..", "a\\b", "a\nb", "a" * 256, ""],
)
def test_a_name_that_could_leave_the_folder_is_a_problem(name: str) -> None:
    assert name_problem(name) is not None


@pytest.mark.parametrize("name", ["a", "a/b.py", ".hidden", "a..b", "ä/ö", "a/...", "a b"])
def test_an_ordinary_name_is_no_problem(name: str) -> None:
    assert name_problem(name) is None


def _refused(path: Path) -> str:
    with pytest.raises(SdkError) as caught:
        _read(path)
    assert caught.value.code is Code.WHEEL_INVALID
    assert path.name in caught.value.what
    return caught.value.why


def test_traversal_in_the_archive_is_refused(tmp_path: Path) -> None:
    why = _refused(_zip(tmp_path / "a.whl", {"a/../../../etc/x": b""}))
    assert "leaves its folder" in why


def test_a_link_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert "link or a device" in _refused(tmp_path / "a.whl")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("a", "1")
        archive.writestr("a", "2")
    assert "twice" in _refused(tmp_path / "a.whl")


def test_other_compression_is_refused(tmp_path: Path) -> None:
    assert "method 14" in _refused(_zip(tmp_path / "a.whl", {"a": b"x"}, zipfile.ZIP_LZMA))


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.whl", {"a": b"x"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "encrypted" in _refused(path)


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.whl"
    path.write_bytes(b"<html>not found</html>")
    assert "no readable zip" in _refused(path)


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.whl", {"a": os.urandom(100_000)})
    path.write_bytes(path.read_bytes()[:50_000])
    assert "no readable zip" in _refused(path)


def test_a_size_that_lies_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.whl", {"a": bytes(10_000)})
    for declared in (9_999, 10_001, 0):
        data = bytearray(path.read_bytes())
        struct.pack_into("<L", data, data.index(b"PK\x01\x02") + 24, declared)
        liar = tmp_path / "b.whl"
        liar.write_bytes(data)
        assert "declared" in _refused(liar)


def test_damaged_data_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.whl", {"a": os.urandom(1000) * 10})
    data = bytearray(path.read_bytes())
    data[40:60] = b"\xff" * 20
    path.write_bytes(data)
    assert "member 'a'" in _refused(path)


def test_two_names_for_one_member_are_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.whl", {"abc": b"x"})
    data = path.read_bytes()
    path.write_bytes(data.replace(b"abc", b"xyz", 1))
    assert "two ways" in _refused(path)


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(SdkError) as caught:
        read_members(tmp_path / "a.whl")
    assert caught.value.code is Code.FILE_UNREADABLE
