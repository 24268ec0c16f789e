"""Writing OCI layouts, and reading ones that no one verifies."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lls_provider.bundle.bundle import Bundle
from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.image.bundle_image import compose
from lls_provider.image.image import Platform
from lls_provider.image.tar import LayerTree
from lls_provider.image.transports.layout import (
    is_layout,
    parse_reference,
    read_layout,
    write_layout,
)

MakeBundle = Callable[..., Bundle]
MakeLayout = Callable[..., Path]
Engine = Callable[[str], str]


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def rewrite(layout: Path, change: Callable[[dict[str, Any]], object], blob: str = "") -> None:
    """Change index.json, or a blob in place (whose digest is then wrong)."""
    path = layout / "blobs" / "sha256" / blob if blob else layout / "index.json"
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def readdress(layout: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
    """Change manifest and config and give both right digests, as an attacker would."""
    import hashlib

    def put(document: dict[str, Any], described: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        digest = hashlib.sha256(data).hexdigest()
        (layout / "blobs" / "sha256" / digest).write_bytes(data)
        described.update(digest=f"sha256:{digest}", size=len(data))

    def get(described: dict[str, Any]) -> dict[str, Any]:
        blob = layout / "blobs" / "sha256" / described["digest"].removeprefix("sha256:")
        document: dict[str, Any] = json.loads(blob.read_bytes())
        return document

    index = json.loads((layout / "index.json").read_bytes())
    manifest = get(index["manifests"][0])
    config = get(manifest["config"])
    change(manifest, config)
    if isinstance(manifest.get("config"), dict):
        put(config, manifest["config"])
    put(manifest, index["manifests"][0])
    (layout / "index.json").write_text(json.dumps(index))


def refused(layout: Path, *words: str, code: Code = Code.IMAGE_INVALID) -> SdkError:
    with pytest.raises(SdkError) as caught:
        read_layout(layout)
    assert caught.value.code is code
    text = caught.value.render()
    assert all(word in text for word in words), text
    assert caught.value.where.file is not None
    return caught.value


# --- writing ---


def test_what_is_written_is_read_back(make_bundle: MakeBundle, tmp_path: Path) -> None:
    image = compose(make_bundle())
    digest = write_layout(image, tmp_path / "oci")
    again = read_layout(tmp_path / "oci")
    assert again.digest == digest == image.digest
    assert again.labels == image.labels
    assert again.platform == Platform("amd64")
    assert [layer.digest for layer in again.layers] == [layer.digest for layer in image.layers]
    # the layout of an image that was read is the same bytes again
    assert write_layout(again, tmp_path / "copy") == digest


def test_a_layout_is_replaced_whole(make_bundle: MakeBundle, tmp_path: Path) -> None:
    write_layout(compose(make_bundle("a")), tmp_path / "oci")
    write_layout(compose(make_bundle("b", source="ANSWER = 43\n")), tmp_path / "oci")
    # config, manifest and four layers: nothing of the first
    assert len(listing(tmp_path / "oci" / "blobs" / "sha256")) == 6
    assert listing(tmp_path) == ["a", "b", "oci", "wheels"]


def test_a_link_to_a_layout_stays_a_link(make_bundle: MakeBundle, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write_layout(compose(make_bundle()), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert is_layout(tmp_path / "real")


def test_something_else_is_not_replaced(make_bundle: MakeBundle, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("all of it")
    (tmp_path / "file").write_text("x")
    image = compose(make_bundle())
    for name in ("thesis", "file"):
        with pytest.raises(SdkError) as caught:
            write_layout(image, tmp_path / name)
        assert caught.value.code is Code.TARGET_EXISTS
    assert (tmp_path / "thesis" / "chapter1.txt").read_text() == "all of it"


def test_nothing_stays_behind_when_a_file_changes_meanwhile(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle()
    image = compose(bundle)
    bundle.own_wheel.write_bytes(b"cut")
    with pytest.raises(SdkError, match="changed while"):
        write_layout(image, tmp_path / "oci")
    assert listing(tmp_path) == ["bundle", "wheels"]


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, Code.NO_SPACE), (errno.EROFS, Code.OUTPUT_UNWRITABLE)],
)
def test_a_disk_that_fails_leaves_the_earlier_layout(
    make_bundle: MakeBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    code: Code,
) -> None:
    image = compose(make_bundle())
    digest = write_layout(image, tmp_path / "oci")

    def fails(_self: LayerTree) -> Iterator[bytes]:
        yield b"some"
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(LayerTree, "chunks", fails)
    with pytest.raises(SdkError) as caught:
        write_layout(image, tmp_path / "oci")
    assert caught.value.code is code
    assert caught.value.status is ExitStatus.ENVIRONMENT
    monkeypatch.undo()
    assert read_layout(tmp_path / "oci").digest == digest
    assert listing(tmp_path) == ["bundle", "oci", "wheels"]


@pytest.mark.engine
def test_a_full_disk_is_told_and_leaves_nothing(
    make_bundle: MakeBundle, tmp_path: Path, engine: Engine
) -> None:
    """On a real file system of 64 KiB, where this user may mount one."""
    bundle = make_bundle()
    script = (
        "import sys; from pathlib import Path\n"
        "from lls_provider.bundle.bundle import read_bundle\n"
        "from lls_provider.errors import SdkError\n"
        "from lls_provider.image.bundle_image import compose\n"
        "from lls_provider.image.transports.layout import write_layout\n"
        "small = Path(sys.argv[2])\n"
        "try: write_layout(compose(read_bundle(Path(sys.argv[1]))), small / 'oci')\n"
        "except SdkError as error: print(error.code.slug, sorted(small.iterdir()))\n"
    )
    small = tmp_path / "small"
    small.mkdir()
    mount = f'mount -t tmpfs -o size=64k tmpfs "$2" && exec {sys.executable} -c "$3" "$1" "$2"'
    done = subprocess.run(
        [
            engine("unshare"),
            "-rm",
            engine("sh"),
            "-c",
            mount,
            "sh",
            str(bundle.root),
            str(small),
            script,
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode and ("mount" in done.stderr or "unshare" in done.stderr):
        pytest.skip(f"no private mount here: {done.stderr.strip()}")
    assert done.stdout.strip() == "no-space []", done.stderr


# --- reading ---


def test_a_layout_of_another_tool_is_read(make_layout: MakeLayout) -> None:
    layout = make_layout([("etc/os-release", b"x")], compress="gzip", architecture="arm64")
    image = read_layout(layout)
    assert image.platform == Platform("arm64")
    assert image.layers[0].media_type.endswith("+gzip")
    assert image.layers[0].digest != image.layers[0].diff_id


def test_no_layout_is_told_with_its_marker(tmp_path: Path) -> None:
    refused(tmp_path, "no file oci-layout", code=Code.FILE_MISSING)


def test_another_version_is_refused(make_layout: MakeLayout) -> None:
    layout = make_layout([("x", b"")])
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "2.0.0"}')
    refused(layout, "2.0.0")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "null", "[" * 100_000, '{"manifests": 1}', "\xff", '{"manifests": []}']
)
def test_an_index_that_is_none_is_refused(make_layout: MakeLayout, text: str) -> None:
    layout = make_layout([("x", b"")])
    (layout / "index.json").write_bytes(text.encode("latin-1"))
    refused(layout, "index.json")


def test_a_large_index_is_refused_unread(make_layout: MakeLayout) -> None:
    layout = make_layout([("x", b"")])
    os.truncate(layout / "index.json", 1 << 40)
    refused(layout, "larger than")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("digest", "sha256:../../../../etc/passwd"),
        ("digest", "sha512:" + "0" * 128),
        ("digest", 7),
        ("size", -1),
        ("size", True),
        ("size", "12"),
        ("mediaType", None),
        ("mediaType", "text/plain"),
        ("annotations", ["x"]),
        ("platform", {"os": "linux"}),
    ],
)
def test_a_descriptor_that_is_wrong_is_refused(
    make_layout: MakeLayout, key: str, value: object
) -> None:
    layout = make_layout([("x", b"")])
    rewrite(layout, lambda index: index["manifests"][0].update({key: value}))
    refused(layout)


def test_a_blob_with_another_digest_is_refused(make_layout: MakeLayout) -> None:
    layout = make_layout([("x", b"content")])
    for blob in (layout / "blobs" / "sha256").iterdir():
        original = blob.read_bytes()
        blob.write_bytes(bytes([original[0] ^ 1]) + original[1:])
        refused(layout, blob.name)
        blob.write_bytes(original + b" ")
        refused(layout, blob.name)
        blob.write_bytes(original[:-1])
        refused(layout, blob.name)
        blob.unlink()
        refused(layout, blob.name)
        os.mkfifo(blob)
        refused(layout, "regular file")
        blob.unlink()
        blob.write_bytes(original)
    read_layout(layout)


def drop_layer(manifest: dict[str, Any], _config: dict[str, Any]) -> None:
    manifest["layers"].clear()


def many_layers(manifest: dict[str, Any], _config: dict[str, Any]) -> None:
    manifest["layers"] *= 2000


def bad_config(_manifest: dict[str, Any], config: dict[str, Any]) -> None:
    config["config"] = {"Env": "PATH=/bin"}


def bad_labels(_manifest: dict[str, Any], config: dict[str, Any]) -> None:
    config["config"] = {"Labels": {"a": 1}}


def bad_runtime(_manifest: dict[str, Any], config: dict[str, Any]) -> None:
    config["config"] = []


def bad_rootfs(_manifest: dict[str, Any], config: dict[str, Any]) -> None:
    config["rootfs"] = {"diff_ids": [1]}


def no_architecture(_manifest: dict[str, Any], config: dict[str, Any]) -> None:
    del config["architecture"]


def artifact(manifest: dict[str, Any], _config: dict[str, Any]) -> None:
    manifest["config"]["mediaType"] = "application/vnd.oci.empty.v1+json"


def no_config(manifest: dict[str, Any], _config: dict[str, Any]) -> None:
    manifest["config"] = None


def foreign_layer(manifest: dict[str, Any], _config: dict[str, Any]) -> None:
    manifest["layers"][0]["mediaType"] = "application/x-squashfs"


@pytest.mark.parametrize(
    "change",
    [
        drop_layer,
        many_layers,
        bad_config,
        bad_labels,
        bad_runtime,
        bad_rootfs,
        no_architecture,
        artifact,
        no_config,
        foreign_layer,
    ],
)
def test_documents_that_contradict_are_refused(
    make_layout: MakeLayout, change: Callable[[dict[str, Any], dict[str, Any]], None]
) -> None:
    layout = make_layout([("x", b"")])
    readdress(layout, change)
    refused(layout)


def test_indexes_do_not_nest_for_ever(make_layout: MakeLayout) -> None:
    import hashlib

    layout = make_layout([("x", b"")])
    described = json.loads((layout / "index.json").read_bytes())["manifests"][0]
    for _ in range(6):
        data = json.dumps({"schemaVersion": 2, "manifests": [described]}).encode()
        digest = hashlib.sha256(data).hexdigest()
        (layout / "blobs" / "sha256" / digest).write_bytes(data)
        described = {
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "digest": f"sha256:{digest}",
            "size": len(data),
        }
    (layout / "index.json").write_text(json.dumps({"manifests": [described]}))
    refused(layout, "nested")


def test_several_images_are_chosen_by_tag_or_platform(make_layout: MakeLayout) -> None:
    amd = make_layout([("x", b"amd")], name="amd")
    arm = make_layout([("x", b"arm")], name="arm", architecture="arm64")
    index = json.loads((amd / "index.json").read_bytes())
    other = json.loads((arm / "index.json").read_bytes())
    index["manifests"] += other["manifests"]
    for described, tag in zip(index["manifests"], ("one", "two"), strict=True):
        described["annotations"] = {"org.opencontainers.image.ref.name": tag}
    (amd / "index.json").write_text(json.dumps(index))
    for blob in (arm / "blobs" / "sha256").iterdir():
        (amd / "blobs" / "sha256" / blob.name).write_bytes(blob.read_bytes())
    assert read_layout(amd, platform=Platform("arm64")).platform.architecture == "arm64"
    assert read_layout(amd, "two").platform.architecture == "arm64"
    with pytest.raises(SdkError, match="damaged or not") as caught:
        read_layout(amd, "three")
    assert "the tags are: one, two" in caught.value.why
    with pytest.raises(SdkError, match="no image for linux/s390x") as caught:
        read_layout(amd, platform=Platform("s390x"))
    assert caught.value.code is Code.IMAGE_MISSING
    assert "linux/amd64, linux/arm64" in caught.value.why


@pytest.mark.parametrize(
    ("text", "folder", "tag"),
    [
        ("oci:out", "out", None),
        ("out", "out", None),
        ("oci:out:v1", "out", "v1"),
        ("oci:a/b:c/d", "a/b", "c/d"),
        ("oci:out:localhost:5000/a:1", "out", "localhost:5000/a:1"),
    ],
)
def test_references(text: str, folder: str, tag: str | None) -> None:
    assert parse_reference(text) == (Path(folder), tag)


def test_a_path_with_a_colon_that_is_there_is_no_tag(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    assert parse_reference(f"oci:{tmp_path}/a:b") == (tmp_path / "a:b", None)


# --- judges ---


@pytest.mark.engine
def test_skopeo_inspects_and_copies_without_changing_a_byte(
    make_bundle: MakeBundle, make_layout: MakeLayout, tmp_path: Path, engine: Engine
) -> None:
    skopeo = engine("skopeo")
    base = read_layout(make_layout([("usr/bin/python3", b"")], compress="gzip"))
    for name, image in (
        ("data", compose(make_bundle("a"))),
        ("runnable", compose(make_bundle("b"), base)),
    ):
        digest = write_layout(image, tmp_path / name)
        inspected = json.loads(
            subprocess.run(
                [skopeo, "inspect", f"oci:{tmp_path / name}"], check=True, capture_output=True
            ).stdout
        )
        assert inspected["Digest"] == digest
        assert inspected["Labels"]["io.llamastack.provider.id"] == "acme-echo"
        assert inspected["Architecture"] == "amd64"
        copy = tmp_path / f"{name}-copy"
        subprocess.run(
            [
                *(skopeo, "--insecure-policy", "copy", "--preserve-digests"),
                *(f"oci:{tmp_path / name}:latest", f"oci:{copy}:other"),
            ],
            check=True,
            capture_output=True,
        )
        assert read_layout(copy, "other").digest == digest


@pytest.mark.engine
def test_umoci_unpacks_the_same_files(
    make_bundle: MakeBundle, tmp_path: Path, engine: Engine
) -> None:
    umoci = engine("umoci")
    bundle = make_bundle()
    write_layout(compose(bundle), tmp_path / "oci")
    subprocess.run(
        [
            *(umoci, "unpack", "--rootless", "--image"),
            *(f"{tmp_path / 'oci'}:latest", str(tmp_path / "unpacked")),
        ],
        check=True,
        capture_output=True,
    )
    root = tmp_path / "unpacked" / "rootfs" / "lls-provider"
    for path in bundle.root.rglob("*"):
        if path.is_file():
            assert (root / path.relative_to(bundle.root)).read_bytes() == path.read_bytes()
