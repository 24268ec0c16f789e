"""The readers of archives and layers, against the standard library's."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories.images import PACKERS, tar_bytes, write_image

from lls_provider.contract.limits import WheelLimits
from lls_provider.image.bundle_image import unpack
from lls_provider.image.layer_reader import LayerEntries
from lls_provider.image.tar import find_member
from lls_provider.image.transports.archive import read_archive
from lls_provider.image.transports.layout import read_layout
from lls_provider.runtime.wheelfile.archive import open_wheel, read_member, read_members

pytestmark = pytest.mark.unmeasured

contents = st.binary(max_size=40) | st.sampled_from([bytes(5000), b"ab" * 700, os.urandom(1500)])
parts = st.text(st.sampled_from("abcXé日 .-_+"), min_size=1, max_size=9).filter(
    lambda it: it.strip(". ") == it and it not in {".", ".."}
) | st.sampled_from(["n" * 120, "é" * 90])
paths = st.lists(parts, min_size=1, max_size=4).map("/".join)


def apart(names: Sequence[str]) -> list[str]:
    """Those that are not a directory of another one."""
    folders = {str(above) for name in names for above in PurePosixPath(name).parents}
    return [name for name in dict.fromkeys(names) if name not in folders]


def trees(root: str = "") -> st.SearchStrategy[dict[str, bytes]]:
    """Names and contents of files."""
    return st.lists(st.tuples(paths, contents), max_size=6).map(
        lambda found: {f"{root}{name}": dict(found)[name] for name in apart(list(dict(found)))}
    )


@dataclass
class Pipe(io.RawIOBase):
    """What cannot seek, so that sizes come behind the data."""

    data: bytearray = field(default_factory=bytearray)

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.data += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """A well-formed zip: any method, with directories, comments, zip64 or written to a pipe."""
    files = draw(trees())
    stream: io.BytesIO | Pipe = io.BytesIO() if draw(st.booleans()) else Pipe()
    with zipfile.ZipFile(stream, "w") as archive:
        # zipfile itself does not find the directory before a comment with its signature
        archive.comment = draw(st.binary(max_size=30).filter(lambda it: b"PK\5\6" not in it))
        for name, data in files.items():
            if draw(st.booleans()) and "/" in name:
                folder = name.rpartition("/")[0]
                if f"{folder}/" not in archive.namelist():
                    archive.mkdir(folder)
            info = zipfile.ZipInfo(name, (draw(st.integers(1980, 2107)), 1, 1, 0, 0, 0))
            info.compress_type = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
            info.external_attr = 0o100644 << 16
            info.comment = draw(st.binary(max_size=5))
            with archive.open(info, "w", force_zip64=draw(st.booleans())) as out:
                out.write(data)
    return bytes(stream.data) if isinstance(stream, Pipe) else stream.getvalue()


@given(archives())
def test_the_reader_of_wheels_finds_what_zipfile_finds(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        wanted = {it.filename: archive.read(it) for it in archive.infolist() if not it.is_dir()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.whl")
        path.write_bytes(data)
        descriptor = open_wheel(path)
        try:
            members = read_members(path, descriptor, WheelLimits())
            found = {it.name: b"".join(read_member(path, descriptor, it)) for it in members}
        finally:
            os.close(descriptor)
    assert found == wanted


FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


class Tar(bytes):
    """A tar that a failure shows by what is in it."""

    def __repr__(self) -> str:
        return f"<tar of {members(self)}>"


@st.composite
def tars(draw: st.DrawFn, root: str = "", *, links: bool = True) -> bytes:
    """A tar in one of the three formats, with directories, long names and links."""
    kind = draw(st.sampled_from(FORMATS))
    stream = io.BytesIO()
    names: list[str] = []
    with tarfile.open(fileobj=stream, mode="w", format=kind) as archive:

        def add(name: str, type_: bytes, mode: int, link: str = "", data: bytes = b"") -> None:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = type_, link, len(data)
            info.mode = mode
            info.mtime = draw(st.integers(0, 2**33 - 1))
            if kind == tarfile.PAX_FORMAT:
                info.pax_headers = draw(
                    st.dictionaries(st.sampled_from(["comment", "mtime"]), st.just("12.5"))
                )
            try:
                archive.addfile(info, io.BytesIO(data))
            except ValueError:  # a name that this format has no room for
                assert kind == tarfile.USTAR_FORMAT
            else:
                names.append(name)

        for name, data in draw(trees(root)).items():
            if draw(st.booleans()) and "/" in name:
                add(name.rpartition("/")[0], tarfile.DIRTYPE, 0o755)
            mode = draw(st.sampled_from([0o644, 0o755, 0o600]))
            add(name, tarfile.REGTYPE, mode, data=data)
            if links and draw(st.booleans()):
                add(f"{name}.sym", tarfile.SYMTYPE, 0o777, draw(paths))
            if draw(st.booleans()) and names[-1:] == [name]:
                add(f"{name}.hard", tarfile.LNKTYPE, mode, name)
    return Tar(stream.getvalue())


def members(data: bytes) -> list[tuple[str, bytes, str, bytes]]:
    """What the standard library reads: name, type, target and content."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [
            (it.name, it.type, it.linkname, _content(archive, it) if it.isreg() else b"")
            for it in archive
        ]


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    source = archive.extractfile(member)
    assert source is not None
    return source.read()


@given(st.lists(tars(), min_size=1, max_size=3), st.sampled_from(sorted(PACKERS)))
def test_the_reader_of_layers_finds_what_tarfile_finds(layers: list[bytes], packed: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        image = read_layout(write_image(Path(folder, "layout"), layers, {}, compress=packed))
        walk = LayerEntries(image, "It cannot be read", "Build it again.")
        for number, layer in enumerate(layers):
            found = [
                (it.member.name, it.member.type, it.member.linkname)
                + ((b"".join(it.chunks()),) if it.member.isreg() else (b"",))
                for it in walk.of_layer(number)
            ]
            assert found == members(layer)


@given(tars("lls-provider/", links=False))
def test_what_is_unpacked_is_what_tarfile_extracts(layer: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            archive.extractall(folder / "theirs", filter="data")
        theirs = _files(folder / "theirs" / "lls-provider")
        (empty,) = [tar_bytes([("lls-provider/", b"")])]  # an image has the directory in any case
        image = read_layout(write_image(folder / "layout", [empty, layer], {}))
        assert _files(unpack(image, folder / "ours")) == theirs


def _files(root: Path) -> dict[str, tuple[bytes, bool]]:
    return {
        path.relative_to(root).as_posix(): (path.read_bytes(), os.access(path, os.X_OK))
        for path in root.rglob("*")
        if path.is_file()
    }


@given(trees(), st.integers(1, 2000))
def test_a_file_of_a_stream_is_found_as_tarfile_finds_it(
    files: dict[str, bytes], size: int
) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files.items():
            if len(name.encode()) > 100:
                continue  # it is in an extended header or in two fields
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    data = stream.getvalue()
    for name, _, _, content in members(data):
        chunks = (data[start : start + size] for start in range(0, len(data), size))
        assert find_member(chunks, name, limit=1 << 20) == content


@given(st.lists(tars(), min_size=1, max_size=2), st.sampled_from(FORMATS))
def test_the_layers_of_an_archive_come_out_as_they_went_in(layers: list[bytes], form: int) -> None:
    """An OCI layout in a tar of any format."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_image(folder / "layout", layers, {})
        path = folder / "image.tar"
        with tarfile.open(path, "w", format=form) as archive:
            for file in sorted((folder / "layout").rglob("*")):
                archive.add(file, file.relative_to(folder / "layout").as_posix(), recursive=False)
        image = read_archive(path)
        assert [b"".join(it.chunks()) for it in image.layers] == layers
