"""Archives of images that no one verifies."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.factories.images import tar_bytes

from lls_provider.bundle.bundle import Bundle
from lls_provider.errors import Code, SdkError
from lls_provider.image.bundle_image import compose
from lls_provider.image.transports.archive import DockerArchive, OciArchive, read_archive
from lls_provider.image.transports.layout import read_layout
from lls_provider.image.transports.registry.reference import tagged

MakeBundle = Callable[..., Bundle]
MakeLayout = Callable[..., Path]
Members = list[tuple[tarfile.TarInfo | str, bytes]]


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def saved(layers: list[bytes], **manifest: Any) -> Members:
    """What `docker save` writes of an image with these (plain) layers."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
        }
    ).encode()
    names = [f"{number}/layer.tar" for number, _ in enumerate(layers)]
    described = {"Config": "c.json", "Layers": names, "RepoTags": ["a:1"], **manifest}
    return [
        *zip(names, layers, strict=True),
        ("c.json", config),
        ("manifest.json", json.dumps([described]).encode()),
    ]


def put(path: Path, members: Members) -> Path:
    path.write_bytes(tar_bytes(members))
    return path


def refused(path: Path, *words: str) -> None:
    with pytest.raises(SdkError) as caught:
        for layer in read_archive(path).layers:
            for _ in layer.chunks():
                pass
    assert caught.value.code is Code.IMAGE_INVALID
    assert caught.value.where.file == str(path)
    assert all(word in caught.value.render() for word in words), caught.value.render()


def test_what_is_written_is_read_back(
    make_bundle: MakeBundle, make_layout: MakeLayout, tmp_path: Path
) -> None:
    base = read_layout(make_layout([("x", b"x")], compress="gzip"))
    image = compose(make_bundle(), base)
    OciArchive(tmp_path / "oci.tar", "v1").write(image)
    DockerArchive(tmp_path / "docker.tar", tagged("acme/echo")).write(image)
    for path, name in (
        (tmp_path / "oci.tar", "v1"),
        (tmp_path / "docker.tar", "docker.io/acme/echo:latest"),
    ):
        again = read_archive(path, name)
        assert again.config_bytes() == image.config_bytes()
        stored = [b"".join(layer.chunks()) for layer in again.layers]
        assert stored == [b"".join(layer.chunks()) for layer in image.layers]
        with pytest.raises(SdkError, match="damaged or not"):
            read_archive(path, "other")
    assert read_archive(tmp_path / "oci.tar").digest == image.digest


def test_a_link_is_a_layer_by_another_name(tmp_path: Path) -> None:
    layer = tar_bytes([("x", b"x")])
    members = saved([layer, layer])
    link = tarfile.TarInfo("1/layer.tar")
    link.type, link.linkname = tarfile.SYMTYPE, "../0/layer.tar"
    members[1] = (link, b"")
    image = read_archive(put(tmp_path / "a.tar", members))
    assert [b"".join(it.chunks()) for it in image.layers] == [layer, layer]


def test_links_lead_nowhere_outside(tmp_path: Path) -> None:
    secret = tmp_path / "layer.tar"
    secret.write_bytes(tar_bytes([("x", b"secret")]))
    for target in (str(secret), "../layer.tar", "0/layer.tar"):
        members = saved([secret.read_bytes()])
        link = tarfile.TarInfo("0/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, target
        members[0] = (link, b"")
        refused(put(tmp_path / "a.tar", members), "0/layer.tar", "no such file")


@pytest.mark.parametrize(
    "change",
    [
        {"Config": None},
        {"Config": "/etc/passwd"},
        {"Layers": None},
        {"Layers": []},
        {"Layers": ["../../etc/passwd"]},
        {"Layers": [7]},
    ],
)
def test_a_manifest_that_names_what_is_not_there(tmp_path: Path, change: dict[str, Any]) -> None:
    refused(put(tmp_path / "a.tar", saved([tar_bytes([("x", b"")])], **change)))


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"[1]", b"[" * 100_000, b"[{}, {}]", b"\xff"])
def test_a_manifest_that_is_none(tmp_path: Path, text: bytes) -> None:
    members = [*saved([])[:-1], ("manifest.json", text)]
    refused(put(tmp_path / "a.tar", members), "manifest.json")


def test_a_layer_that_was_changed(tmp_path: Path) -> None:
    members = saved([tar_bytes([("x", b"original")])])
    members[0] = ("0/layer.tar", tar_bytes([("x", b"tampered")]))
    refused(put(tmp_path / "a.tar", members), "digest")


def test_an_archive_that_ends_early(make_bundle: MakeBundle, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    OciArchive(path).write(compose(make_bundle()))
    os.truncate(path, path.stat().st_size // 2)
    refused(path)


def test_files_that_are_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"all of it" * 1000)
    refused(path, "not an uncompressed tar file")
    refused(put(path, [("thesis.txt", b"")]), "neither oci-layout")
    path.write_bytes(gzip.compress(tar_bytes([("x", b"")])))
    refused(path, "gunzip it first")
    with pytest.raises(SdkError) as caught:
        read_archive(tmp_path / "nothing.tar")
    assert caught.value.code is Code.FILE_MISSING


def test_a_document_without_end_is_refused_unread(tmp_path: Path) -> None:
    refused(put(tmp_path / "a.tar", [("manifest.json", bytes(5 << 20))]), "larger than")


def test_a_header_without_end_is_refused_unread(tmp_path: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 4 << 30
    path = tmp_path / "a.tar"
    path.write_bytes(header.tobuf())
    os.truncate(path, header.size + 1024)  # sparse
    refused(path, "header is longer than")


def test_a_pipe_is_no_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tar")
    with pytest.raises(SdkError) as caught:
        read_archive(tmp_path / "a.tar")
    assert caught.value.code is Code.FILE_MISSING


def test_an_image_of_several_is_chosen_by_any_spelling_of_its_name(tmp_path: Path) -> None:
    first, second = (tar_bytes([("x", data)]) for data in (b"1", b"2"))
    one = saved([first], Config="1.json", Layers=["1.tar"], RepoTags=["acme/a:1"])
    two = saved([second], Config="2.json", Layers=["2.tar"], RepoTags=None)
    listed = [*json.loads(one[-1][1]), *json.loads(two[-1][1])]
    members = [("1.tar", first), ("2.tar", second), ("1.json", one[1][1]), ("2.json", two[1][1])]
    path = put(tmp_path / "a.tar", [*members, ("manifest.json", json.dumps(listed).encode())])
    (layer,) = read_archive(path, "docker.io/acme/a:1").layers
    assert b"".join(layer.chunks()) == first
    refused(path, "2 images", "docker.io/acme/a:1")
