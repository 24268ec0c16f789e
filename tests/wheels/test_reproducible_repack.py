from __future__ import annotations

import csv
import hashlib
import io
import random
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.wheelfile.wheel import read_wheel
from lls_provider.wheels.reproducible import repack

INFO = "demo-1.0.dist-info"
WHEEL = "demo-1.0-py3-none-any.whl"
MEMBERS = {
    "demo/__init__.py": b"version = '1.0'\n" * 100,
    "demo/caf\u00e9,.txt": b"a comma and an accent",
    "demo-1.0.data/scripts/demo": b"#!python\n",
    f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
    f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{INFO}/RECORD": b"",
}


def write_zip(
    path: Path,
    members: dict[str, bytes] | None = None,
    *,
    order: int = 0,
    compression: int = zipfile.ZIP_DEFLATED,
    year: int = 2024,
    mode: int = 0o644,
) -> Path:
    """The same content in one of many ways; ``order`` is the seed that members are shuffled by."""
    items = list((members or MEMBERS).items())
    random.Random(order).shuffle(items)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in items:
            info = zipfile.ZipInfo(name, (year, 2, 3, 4, 5, 6))
            script = name.endswith("scripts/demo")
            info.external_attr = (0o100000 | mode | (0o111 if script else 0)) << 16
            archive.writestr(info, content, compress_type=compression)
    return path


@pytest.fixture
def packed(tmp_path: Path) -> bytes:
    """What the plainest way of writing gives."""
    return repack(write_zip(tmp_path / "plain" / WHEEL), tmp_path / "packed").read_bytes()


@pytest.mark.parametrize(
    "way",
    [
        {"order": 1},
        {"order": 2, "year": 1999},
        {"compression": zipfile.ZIP_STORED},
        {"compression": zipfile.ZIP_BZIP2},
        {"mode": 0o600},
        {"mode": 0o666},
    ],
    ids=str,
)
def test_equal_content_is_equal_bytes(tmp_path: Path, packed: bytes, way: dict[str, Any]) -> None:
    other = write_zip(tmp_path / "other" / WHEEL, **way)
    assert repack(other, tmp_path / "out").read_bytes() == packed


def test_entries_for_folders_make_no_difference(tmp_path: Path, packed: bytes) -> None:
    members = {"demo/": b"", f"{INFO}/": b"", **MEMBERS}
    other = write_zip(tmp_path / "other" / WHEEL, members)
    assert repack(other, tmp_path / "out").read_bytes() == packed


def test_other_content_is_other_bytes(tmp_path: Path, packed: bytes) -> None:
    other = write_zip(tmp_path / "other" / WHEEL, {**MEMBERS, "demo/__init__.py": b""})
    assert repack(other, tmp_path / "out").read_bytes() != packed


def test_repacking_what_was_repacked_changes_nothing(tmp_path: Path, packed: bytes) -> None:
    again = repack(tmp_path / "packed" / WHEEL, tmp_path / "again")
    assert again.read_bytes() == packed


def test_a_wheel_can_be_repacked_in_place(tmp_path: Path, packed: bytes) -> None:
    path = write_zip(tmp_path / WHEEL)
    assert repack(path, tmp_path) == path
    assert path.read_bytes() == packed
    assert path.stat().st_mode & 0o777 == 0o644


def test_its_record_tells_what_is_in_it(tmp_path: Path) -> None:
    wrong = {**MEMBERS, f"{INFO}/RECORD": b"demo/gone.py,sha256=AAAA,1\n"}
    wheel = repack(write_zip(tmp_path / WHEEL, wrong), tmp_path / "out")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        rows = list(csv.reader(io.StringIO(archive.read(f"{INFO}/RECORD").decode())))
        for name, digest, size in rows[:-1]:
            content = archive.read(name)
            encoded = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={encoded}", str(len(content)))
    assert [row[0] for row in rows] == names
    assert rows[-1] == [f"{INFO}/RECORD", "", ""]
    assert set(names) == set(MEMBERS)
    assert read_wheel(wheel).name == "demo"


def test_a_signature_of_the_old_record_is_dropped(tmp_path: Path, packed: bytes) -> None:
    signed = {**MEMBERS, f"{INFO}/RECORD.jws": b"{}", f"{INFO}/RECORD.p7s": b"x"}
    wheel = repack(write_zip(tmp_path / "signed" / WHEEL, signed), tmp_path / "out")
    assert wheel.read_bytes() == packed


def test_the_metadata_stands_last_and_scripts_stay_executable(
    tmp_path: Path, packed: bytes
) -> None:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        infos = archive.infolist()
    places = [info.filename.startswith(f"{INFO}/") for info in infos]
    assert places == sorted(places)
    modes = {info.filename: oct(info.external_attr >> 16) for info in infos}
    assert modes.pop("demo-1.0.data/scripts/demo") == "0o100755"
    assert set(modes.values()) == {"0o100644"}


def broken(tmp_path: Path, content: bytes) -> SdkError:
    path = tmp_path / WHEEL
    path.write_bytes(content)
    with pytest.raises(SdkError) as caught:
        repack(path, tmp_path / "out")
    assert list((tmp_path / "out").glob("*")) == []
    assert caught.value.code is Code.WHEEL_INVALID
    assert caught.value.where.file == str(path)
    return caught.value


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x05\x06"])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    assert broken(tmp_path, content).why


def test_a_wheel_without_a_record_is_refused(tmp_path: Path) -> None:
    members = {name: it for name, it in MEMBERS.items() if not name.endswith("RECORD")}
    content = write_zip(tmp_path / "raw.zip", members).read_bytes()
    assert "dist-info/RECORD" in broken(tmp_path, content).why


def test_a_wheel_with_two_records_is_refused(tmp_path: Path) -> None:
    """Which of them counts would depend on the order in the zip."""
    members = {**MEMBERS, "other-1.0.dist-info/RECORD": b""}
    content = write_zip(tmp_path / "raw.zip", members).read_bytes()
    assert "dist-info/RECORD" in broken(tmp_path, content).why


@pytest.mark.parametrize(
    "compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]
)
def test_damaged_content_is_refused(tmp_path: Path, compression: int) -> None:
    content = bytearray(
        write_zip(tmp_path / "raw.zip", order=3, compression=compression).read_bytes()
    )
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        info = archive.getinfo("demo/__init__.py")
        start = info.header_offset + 30 + len(info.filename.encode())
        for place in range(start, start + info.compress_size):
            content[place] ^= 0xFF
    broken(tmp_path, bytes(content))
