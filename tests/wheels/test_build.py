from __future__ import annotations

import csv
import hashlib
import io
import random
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uv

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.wheelfile.wheel import read_wheel
from lls_provider.wheels.build import build_wheel, repack, scratch

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter

Project = Callable[..., Path]

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

# A backend without requirements, so that building needs no index.
BACKEND = """
import os, pathlib, sys, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    {body}
    info = "demo-1.0.dist-info/"
    with zipfile.ZipFile(os.path.join(wheel_directory, "demo-1.0-py3-none-any.whl"), "w") as out:
        out.writestr("demo.py", "python = %r" % (sys.version_info[:2],))
        out.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: demo\\nVersion: 1.0\\n")
        out.writestr(info + "WHEEL",
                     "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        out.writestr(info + "RECORD", "")
    return "demo-1.0-py3-none-any.whl"
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that brings its own backend; ``body`` runs first in each build."""

    def make(body: str = "pass") -> Path:
        folder = tmp_path / "project"
        folder.mkdir()
        (folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            '[project]\nname = "demo"\nversion = "1.0"\n'
        )
        (folder / "backend.py").write_text(BACKEND.format(body=body))
        return folder

    return make


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


def test_a_project_becomes_a_wheel_for_its_python(
    project: Project, tmp_path: Path, interpreter: Interpreter
) -> None:
    folder = project()
    wheel = build_wheel(folder, tmp_path / "out", interpreter=interpreter)
    assert wheel == tmp_path / "out" / WHEEL
    assert sorted(it.name for it in wheel.parent.iterdir()) == [WHEEL]
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("demo.py").decode() == f"python = {interpreter.minor}"
    assert read_wheel(wheel).name == "demo"


def test_two_builds_are_equal(project: Project, tmp_path: Path, interpreter: Interpreter) -> None:
    folder = project()
    first = build_wheel(folder, tmp_path / "a", interpreter=interpreter).read_bytes()
    assert build_wheel(folder, tmp_path / "b", interpreter=interpreter).read_bytes() == first


@pytest.mark.parametrize(
    "body",
    [
        'raise ValueError("demo/data.json is missing")',
        'raise SystemExit("demo/data.json is missing")',
        'print("demo/data.json is missing"); sys.exit(3)',
        'print("demo/data.json is missing", file=sys.stderr); sys.exit(3)',
    ],
)
def test_what_the_backend_says_is_shown(
    project: Project, tmp_path: Path, interpreter: Interpreter, body: str
) -> None:
    folder = project(body)
    with pytest.raises(SdkError) as caught:
        build_wheel(folder, tmp_path / "out", interpreter=interpreter)
    error = caught.value
    assert error.code is Code.WHEEL_BUILD_FAILED
    assert "demo/data.json is missing" in error.why
    assert error.where.file == str(folder)
    assert "uv build --wheel" in error.resolution
    assert not (tmp_path / "out").exists()


def test_a_build_that_is_tried_again_does_nothing_else_twice(
    project: Project, tmp_path: Path, interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First with what the cache has, then with the network."""
    program = tmp_path / "uv"
    program.write_text(
        f"#!/bin/sh\necho offline=$UV_OFFLINE >>{tmp_path}/seen\n"
        'echo "Network connectivity is disabled" >&2\nexit 2\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(uv, "find_uv_bin", lambda: str(program))
    calls: list[str] = []
    with pytest.raises(SdkError) as caught:
        build_wheel(
            project(),
            tmp_path / "out",
            interpreter=interpreter,
            pins=["hatchling==1"],
            meanwhile=lambda: calls.append("once"),
        )
    assert caught.value.code is Code.NETWORK
    assert (tmp_path / "seen").read_text().split() == ["offline=1", "offline="]
    assert calls == ["once"]


def test_other_failures_keep_their_kind(
    project: Project, tmp_path: Path, interpreter: Interpreter
) -> None:
    folder = project('raise OSError(28, "No space left on device")')
    with pytest.raises(SdkError) as caught:
        build_wheel(folder, tmp_path / "out", interpreter=interpreter)
    assert caught.value.code is Code.NO_SPACE


def test_what_the_build_leaves_is_removed(
    project: Project, tmp_path: Path, interpreter: Interpreter
) -> None:
    folder = project(
        'for it in ("build/lib", "demo.egg-info", "src/demo.egg-info"): '
        "pathlib.Path(it).mkdir(parents=True)"
    )
    (folder / "src").mkdir()
    build_wheel(folder, tmp_path / "out", interpreter=interpreter)
    assert not (folder / "build").exists()
    assert list(folder.rglob("*.egg-info")) == []


def test_a_failed_build_leaves_nothing_either(
    project: Project, tmp_path: Path, interpreter: Interpreter
) -> None:
    folder = project('pathlib.Path("build").mkdir(); sys.exit(1)')
    with pytest.raises(SdkError):
        build_wheel(folder, tmp_path / "out", interpreter=interpreter)
    assert not (folder / "build").exists()


def test_what_was_there_before_stays(
    project: Project, tmp_path: Path, interpreter: Interpreter
) -> None:
    folder = project()
    for name in ("build", "demo.egg-info"):
        (folder / name).mkdir()
        (folder / name / "mine.txt").write_text("mine")
    build_wheel(folder, tmp_path / "out", interpreter=interpreter)
    for name in ("build", "demo.egg-info"):
        assert (folder / name / "mine.txt").read_text() == "mine"


def test_a_relative_path_of_the_project_is_enough(
    project: Project, tmp_path: Path, interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project())
    assert build_wheel(Path(), tmp_path / "out", interpreter=interpreter).name == WHEEL


@pytest.mark.network
def test_a_project_of_setuptools_stays_as_it_was(tmp_path: Path, interpreter: Interpreter) -> None:
    """setuptools comes from PyPI."""
    folder = tmp_path / "project"
    (folder / "src" / "demo").mkdir(parents=True)
    (folder / "src" / "demo" / "__init__.py").write_text("")
    (folder / "pyproject.toml").write_text('[project]\nname = "demo"\nversion = "1.0"\n')
    before = sorted(folder.rglob("*"))
    wheel = build_wheel(folder, tmp_path / "out", interpreter=interpreter)
    assert "demo/__init__.py" in zipfile.ZipFile(wheel).namelist()
    assert sorted(folder.rglob("*")) == before


def test_a_temporary_folder_is_gone_whatever_happens() -> None:
    with pytest.raises(ZeroDivisionError), scratch("test") as folder:
        (folder / "file").write_text("")
        raise ZeroDivisionError
    assert not folder.exists()


def test_without_a_place_for_temporary_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(SdkError) as caught, scratch("test"):
        pytest.fail("there is no folder to work in")
    assert caught.value.code is Code.OUTPUT_UNWRITABLE
    assert str(tmp_path / "gone") in str(caught.value.where.file)
