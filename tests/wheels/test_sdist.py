from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.wheels.sdist import unpack_sdist


@pytest.fixture(autouse=True, params=["filters", "no filters"])
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python whose tarfile has extraction filters, and one before 3.11.4, as Debian 12 has."""
    if request.param == "no filters":
        monkeypatch.delattr(tarfile, "data_filter")
        monkeypatch.delattr(tarfile.TarFile, "extractall")


FILES = {"demo-1.0/pyproject.toml": b"[project]\n", "demo-1.0/src/demo.py": b"x = 1\n"}


def tarred(path: Path, members: list[tarfile.TarInfo], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for info in members:
            tar.addfile(info, io.BytesIO(FILES.get(info.name, b"evil")[: info.size]))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    info.size = len(FILES.get(name, b"evil")) if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz", "w"])
def test_a_tar_is_unpacked(tmp_path: Path, mode: str) -> None:
    archive = tarred(tmp_path / "demo-1.0.tar", [entry(name) for name in FILES], mode)
    folder = unpack_sdist(archive, tmp_path / "out")
    assert folder == tmp_path / "out" / "demo-1.0"
    assert {
        str(it.relative_to(tmp_path / "out")): it.read_bytes()
        for it in folder.rglob("*")
        if it.is_file()
    } == FILES


def test_a_zip_is_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "demo-1.0.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for name, content in FILES.items():
            zipped.writestr(name, content)
    folder = unpack_sdist(archive, tmp_path / "out")
    assert (folder / "src" / "demo.py").read_bytes() == b"x = 1\n"


def refused(archive: Path, out: Path) -> str:
    with pytest.raises(SdkError) as caught:
        unpack_sdist(archive, out)
    assert caught.value.code is Code.WHEEL_BUILD_FAILED
    assert caught.value.where.file == str(archive)
    return caught.value.why


@pytest.mark.parametrize(
    "member",
    [
        entry("demo-1.0/../../evil"),
        entry("/{out}/evil"),
        entry("demo-1.0/link", tarfile.SYMTYPE, "../../.."),
        entry("demo-1.0/link", tarfile.SYMTYPE, "/etc/passwd"),
        entry("demo-1.0/link", tarfile.LNKTYPE, "../../evil"),
        entry("demo-1.0/device", tarfile.CHRTYPE),
        entry("demo-1.0/pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda it: f"{it.name} {it.linkname}",
)
def test_what_leads_out_of_its_folder_is_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    member.name = member.name.format(out=tmp_path)
    archive = tarred(tmp_path / "demo-1.0.tar.gz", [*map(entry, FILES), member])
    out = tmp_path / "in" / "out"
    if member.name.endswith(f"{tmp_path}/evil"):
        # an absolute name is taken as one below, which is not the one directory
        assert refused(archive, out) == "It does not hold one directory."
    else:
        assert refused(archive, out)
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "in" / "evil").exists()


def test_a_zip_that_leads_out_stays_inside(tmp_path: Path) -> None:
    archive = tmp_path / "demo-1.0.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("../evil/x", b"")
        zipped.writestr("../../evil/y", b"")
    folder = unpack_sdist(archive, tmp_path / "in" / "out")
    assert folder == tmp_path / "in" / "out" / "evil"
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "content", [b"", b"no archive", b"PK\x03\x04broken", b"\x1f\x8b\x08broken"]
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    archive = tmp_path / "demo-1.0.tar.gz"
    archive.write_bytes(content)
    assert refused(archive, tmp_path / "out")


def test_an_archive_that_ends_early_is_refused(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "demo-1.0.tar.gz", [entry(name) for name in FILES])
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    assert refused(archive, tmp_path / "out")


def test_several_folders_are_refused(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "demo-1.0.tar.gz", [*map(entry, FILES), entry("other/file")])
    assert refused(archive, tmp_path / "out") == "It does not hold one directory."
