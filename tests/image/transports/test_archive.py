"""Images as one file, judged by the tools that read such files."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.bundle.bundle import Bundle
from lls_provider.errors import Code, SdkError
from lls_provider.image.bundle_image import compose
from lls_provider.image.image import sha256
from lls_provider.image.tar import LayerTree
from lls_provider.image.transports.archive import DockerArchive, OciArchive, writable_archive
from lls_provider.image.transports.layout import read_layout
from lls_provider.image.transports.registry.reference import tagged

if TYPE_CHECKING:
    from tests.engines.containers import Engine as Container

Engine = Callable[[str], str]
MakeBundle = Callable[..., Bundle]
MakeLayout = Callable[..., Path]
Archive = OciArchive | DockerArchive
KINDS = pytest.mark.parametrize("kind", [OciArchive, DockerArchive])


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(path: Path) -> dict[str, bytes]:
    with tarfile.open(path, "r:") as found:
        return {
            member.name: stream.read() for member in found if (stream := found.extractfile(member))
        }


def judged(*command: str | Path) -> Any:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout


@KINDS
def test_equal_images_are_equal_files(
    make_bundle: MakeBundle, tmp_path: Path, kind: type[Archive]
) -> None:
    for name in ("a", "b"):
        digest = kind(tmp_path / f"{name}.tar").write(compose(make_bundle(name)))
        assert digest.startswith("sha256:")
    first, second = ((tmp_path / f"{name}.tar").read_bytes() for name in ("a", "b"))
    assert first == second
    assert len(first) % tarfile.RECORDSIZE == 0


def test_an_oci_archive_is_a_layout(make_bundle: MakeBundle, tmp_path: Path) -> None:
    image = compose(make_bundle())
    digest = OciArchive(tmp_path / "image.tar", "v1").write(image)
    for name, data in contents(tmp_path / "image.tar").items():
        path = tmp_path / "layout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert read_layout(tmp_path / "layout", "v1").digest == digest == image.digest


def test_a_layer_that_is_there_twice_is_written_once(
    make_layout: MakeLayout, tmp_path: Path
) -> None:
    base = read_layout(make_layout([("x", b"same")], [("x", b"same")]))
    OciArchive(tmp_path / "image.tar").write(base)
    with tarfile.open(tmp_path / "image.tar") as found:
        assert len(found.getnames()) == len(set(found.getnames())) == 5


def test_a_docker_archive_names_its_parts(make_bundle: MakeBundle, tmp_path: Path) -> None:
    image = compose(make_bundle())
    name = tagged("registry.example.com/acme/echo:1")
    known = DockerArchive(tmp_path / "image.tar", name).write(image)
    found = contents(tmp_path / "image.tar")
    (described,) = json.loads(found["manifest.json"])
    assert described["RepoTags"] == ["registry.example.com/acme/echo:1"]
    assert sha256(found[described["Config"]]) == known == sha256(image.config_bytes())
    assert [
        f"sha256:{hashlib.sha256(found[layer]).hexdigest()}" for layer in described["Layers"]
    ] == json.loads(found[described["Config"]])["rootfs"]["diff_ids"]


@KINDS
def test_an_earlier_archive_is_replaced_and_nothing_else(
    make_bundle: MakeBundle, tmp_path: Path, kind: type[Archive]
) -> None:
    image = compose(make_bundle())
    path = tmp_path / "out" / "image.tar"
    kind(path).write(image)
    kind(path).write(image)
    assert listing(path.parent) == ["image.tar"]
    thesis = tmp_path / "thesis.tar"
    with tarfile.open(thesis, "w") as work:
        work.add(path, "chapter1.txt")
    (tmp_path / "notes.txt").write_text("all of it")
    (tmp_path / "empty").touch()
    for other in (thesis, tmp_path / "notes.txt", tmp_path):
        with pytest.raises(SdkError) as caught:
            kind(other).write(image)
        assert caught.value.code is Code.TARGET_EXISTS
    writable_archive(tmp_path / "empty")
    assert (tmp_path / "notes.txt").read_text() == "all of it"


@KINDS
@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, Code.NO_SPACE), (errno.EROFS, Code.OUTPUT_UNWRITABLE)],
)
def test_a_disk_that_fails_leaves_the_earlier_archive(
    make_bundle: MakeBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Archive],
    number: int,
    code: Code,
) -> None:
    path = tmp_path / "image.tar"
    kind(path).write(compose(make_bundle()))
    before = path.read_bytes()

    def fails(_self: LayerTree) -> Iterator[bytes]:
        yield b"some"
        raise OSError(number, os.strerror(number))

    image = compose(make_bundle("b"))
    monkeypatch.setattr(LayerTree, "chunks", fails)
    with pytest.raises(SdkError) as caught:
        kind(path).write(image)
    assert caught.value.code is code
    assert path.read_bytes() == before
    assert listing(tmp_path) == ["b", "bundle", "image.tar", "wheels"]


# --- judges ---


@pytest.mark.engine
@pytest.mark.parametrize("compress", ["", "gzip"])
def test_skopeo_reads_both_archives(
    make_bundle: MakeBundle, make_layout: MakeLayout, tmp_path: Path, engine: Engine, compress: str
) -> None:
    skopeo = engine("skopeo")
    base = read_layout(make_layout([("usr/bin/python3", b"")], compress=compress))
    image = compose(make_bundle(), base)
    places = (
        OciArchive(tmp_path / "oci.tar", "v1"),
        DockerArchive(tmp_path / "docker.tar", tagged("localhost/acme/echo:v1")),
    )
    for place in places:
        digest = place.write(image)
        inspected = judged(skopeo, "inspect", str(place))
        assert inspected["Labels"]["io.llamastack.provider.id"] == "acme-echo"
        config = judged(skopeo, "inspect", "--config", "--raw", str(place))
        assert config == json.loads(image.config_bytes())
        copy = tmp_path / f"copy-{place.path.name}"
        keep = ["--preserve-digests"] if isinstance(place, OciArchive) else []
        judged(skopeo, "--insecure-policy", "copy", *keep, str(place), f"oci:{copy}:v1")
        copied = read_layout(copy, "v1")
        assert [it.diff_id for it in copied.layers] == [it.diff_id for it in image.layers]
        if isinstance(place, OciArchive):
            assert inspected["Digest"] == digest == copied.digest


@pytest.mark.engine
def test_podman_loads_both_archives(
    make_bundle: MakeBundle, tmp_path: Path, podman: Container
) -> None:
    image = compose(make_bundle())
    name = "localhost/acme/echo:v1"
    for place in (
        OciArchive(tmp_path / "oci.tar", name),
        DockerArchive(tmp_path / "docker.tar", tagged(name)),
    ):
        place.write(image)
        podman.run("load", "--quiet", "--input", place.path)
        (found,) = json.loads(podman.run("image", "inspect", name).stdout)
        assert f"sha256:{found['Id']}" == sha256(image.config_bytes())
        assert found["Labels"] == image.labels
        assert found["User"] == "1001"
        podman.run("rmi", name)
