"""The writer of tars: what it writes is what tarfile reads, and it is the same bytes each time."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from hypothesis import given
from hypothesis import strategies as st
from tests.properties.test_archives import contents, trees

from lls_provider.image.tar import ArchiveMember, LayerFile, LayerTree, write_tar

orders = st.randoms(use_true_random=False)
modes = st.sampled_from([0o644, 0o755])


def layer_files(folder: Path, files: dict[str, bytes], mode: int) -> list[LayerFile]:
    found = []
    for number, (name, data) in enumerate(files.items()):
        source = folder / str(number)
        source.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        found.append(LayerFile(name, source, len(data), mode, digest))
    return found


@given(trees(), orders, st.integers(0, 2**33 - 1), modes)
def test_a_layer_is_read_back_as_it_was_written(
    files: dict[str, bytes], order: random.Random, mtime: int, mode: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        entries = layer_files(Path(folder), files, mode)
        tree = LayerTree.of(entries, mtime)
        data = b"".join(tree.chunks())
        again = LayerTree.of(order.sample(entries, len(entries)), mtime)
        assert b"".join(again.verified()) == data
        assert again.fingerprint == tree.fingerprint
        assert tree.size == len(data)
        assert len(data) % tarfile.RECORDSIZE == 0
        assert {name: tree.read(name) for name in files} == files
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
        read = {it.name: _content(archive, it) for it in members if it.isreg()}
    assert read == files
    folders = {str(above) for name in files for above in PurePosixPath(name).parents} - {"."}
    assert {it.name for it in members if it.isdir()} == folders
    assert len(members) == len(files) + len(folders)
    places = {it.name: place for place, it in enumerate(members)}
    assert all(
        places[str(PurePosixPath(name).parent)] < place
        for name, place in places.items()
        if "/" in name
    )
    assert {it.mtime for it in members} <= {mtime}
    assert {it.mode for it in members if it.isreg()} <= {mode}
    assert {(it.uid, it.gid, it.uname, it.gname) for it in members} <= {(0, 0, "", "")}


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    source = archive.extractfile(member)
    assert source is not None
    return source.read()


@given(trees(), contents)
def test_two_different_layers_have_different_fingerprints(
    files: dict[str, bytes], other: bytes
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = LayerTree.of(layer_files(Path(folder), files, 0o644))
        (Path(folder) / "more").mkdir()
        changed = dict(files) | {"a-file-more": other}
        more = LayerTree.of(layer_files(Path(folder, "more"), changed, 0o644))
        assert more.fingerprint != tree.fingerprint


@given(trees())
def test_an_archive_is_read_back_in_its_order(files: dict[str, bytes]) -> None:
    written = [
        b"".join(write_tar(ArchiveMember.of(*item) for item in files.items())) for _ in range(2)
    ]
    assert written[0] == written[1]
    with tarfile.open(fileobj=io.BytesIO(written[0])) as archive:
        read = [(it.name, _content(archive, it)) for it in archive]
    assert read == list(files.items())
