"""Unpacking /lls-provider out of images of any origin."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import struct
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lls_provider.bundle.bundle import Bundle, read_bundle
from lls_provider.errors import Code, SdkError
from lls_provider.image.bundle_image import UnpackLimits, compose, unpack
from lls_provider.image.transports.layout import blob_path, read_layout

MakeBundle = Callable[..., Bundle]
MakeLayout = Callable[..., Path]


def entry(name: str, kind: bytes, link: str = "", **fields: int) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    for field, value in fields.items():
        setattr(info, field, value)
    return info, b""


def files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def refused(
    layout: Path, destination: Path, *words: str, limits: UnpackLimits | None = None
) -> None:
    image = read_layout(layout)
    before = sorted(destination.parent.iterdir())
    with pytest.raises(SdkError) as caught:
        unpack(image, destination, limits=limits or UnpackLimits())
    assert caught.value.code is Code.IMAGE_INVALID
    text = caught.value.render()
    assert all(word in text for word in words), text
    assert sorted(destination.parent.iterdir()) == before


def test_a_bundle_comes_back_as_it_was(make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundle = make_bundle()
    root = unpack(compose(bundle), tmp_path / "out")
    assert files(root) == files(bundle.root)
    assert read_bundle(root).manifest == bundle.manifest


def test_the_base_stays_in_the_image(
    make_bundle: MakeBundle, make_layout: MakeLayout, tmp_path: Path
) -> None:
    base = make_layout(
        [
            ("usr/", b""),
            entry("bin", tarfile.SYMTYPE, "usr/bin"),
            entry("dev/null", tarfile.CHRTYPE, devmajor=1, devminor=3),
            ("../outside", b"x"),
            ("lls-provider-other/file", b"x"),
            ("./lls-provider/leftover.txt", b"hand-made"),
        ],
        compress="gzip",
    )
    bundle = make_bundle()
    root = unpack(compose(bundle, read_layout(base)), tmp_path / "out")
    assert files(root) == files(bundle.root)


def test_a_base_is_not_read_where_ours_hides_it(
    make_bundle: MakeBundle, make_layout: MakeLayout, tmp_path: Path
) -> None:
    base = read_layout(make_layout([("lls-provider/packages/evil.whl", b"x")]))
    bundle = make_bundle()
    image = compose(bundle, base)
    (tmp_path / "foreign" / blob_path(base.layers[0].digest)).unlink()
    assert files(unpack(image, tmp_path / "out")) == files(bundle.root)


def test_a_history_that_lies_hides_nothing(make_layout: MakeLayout, tmp_path: Path) -> None:
    image = read_layout(make_layout([("lls-provider/a", b"1")], [("lls-provider/b", b"2")]))
    history = [{"created_by": "base"}, {"created_by": "lls-provider: runtime"}]
    lying = replace(image, config={**image.config, "history": history})
    assert files(unpack(lying, tmp_path / "out")) == {"a": b"1", "b": b"2"}


def test_an_image_of_something_else_is_told(make_layout: MakeLayout, tmp_path: Path) -> None:
    with pytest.raises(SdkError, match=r"Missing /lls-provider/lls-provider-spec\.yaml") as caught:
        unpack(read_layout(make_layout([("etc/passwd", b"")])), tmp_path / "out")
    assert caught.value.code is Code.METADATA_MISSING
    assert not (tmp_path / "out").exists()


def test_a_full_destination_is_not_touched(make_bundle: MakeBundle, tmp_path: Path) -> None:
    image = compose(make_bundle())
    with pytest.raises(SdkError) as caught:
        unpack(image, tmp_path)
    assert caught.value.code is Code.TARGET_EXISTS


def test_whiteouts_take_away_what_lower_layers_put_there(
    make_layout: MakeLayout, tmp_path: Path
) -> None:
    layout = make_layout(
        [
            ("lls-provider/a", b"1"),
            ("lls-provider/old/x", b"1"),
            ("lls-provider/old/y", b"1"),
            ("lls-provider/packages/gone.whl", b"1"),
            ("lls-provider/packages/kept.whl", b"1"),
            ("lls-provider/becomes-file/x", b"1"),
            ("lls-provider/becomes-folder", b"1"),
        ],
        [
            ("lls-provider/old/new", b"2"),
            ("lls-provider/old/.wh..wh..opq", b""),
            ("lls-provider/.wh.a", b""),
            ("lls-provider/packages/.wh.gone.whl", b""),
            ("lls-provider/becomes-file", b"2"),
            ("lls-provider/becomes-folder/x", b"2"),
            ("lls-provider/never/.wh.was", b""),
        ],
    )
    assert files(unpack(read_layout(layout), tmp_path / "out")) == {
        "becomes-file": b"2",
        "becomes-folder/x": b"2",
        "old/new": b"2",
        "packages/kept.whl": b"1",
    }


@pytest.mark.parametrize("whiteout", [".wh.lls-provider", ".wh..wh..opq"])
def test_the_whole_tree_can_be_whited_out(
    make_layout: MakeLayout, tmp_path: Path, whiteout: str
) -> None:
    layout = make_layout([("lls-provider/a", b"1")], [(whiteout, b"")])
    with pytest.raises(SdkError, match="Missing"):
        unpack(read_layout(layout), tmp_path / "out")
    layout = make_layout(
        [("lls-provider/a", b"1")],
        [("lls-provider/b", b"2"), (whiteout, b"")],
        name="again",
    )
    assert files(unpack(read_layout(layout), tmp_path / "out")) == {"b": b"2"}


def test_a_second_name_for_a_file_of_the_tree_is_a_copy(
    make_layout: MakeLayout, tmp_path: Path
) -> None:
    layout = make_layout(
        [
            ("lls-provider/a", b"1"),
            entry("lls-provider/b", tarfile.LNKTYPE, "lls-provider/a"),
            entry("lls-provider/a", tarfile.LNKTYPE, "lls-provider/a"),
        ]
    )
    root = unpack(read_layout(layout), tmp_path / "out")
    assert files(root) == {"a": b"1", "b": b"1"}
    assert (root / "a").stat().st_nlink == 1


@pytest.mark.parametrize(
    "hostile",
    [
        ("lls-provider/../../evil", b"x"),
        ("lls-provider/x/../../evil", b"x"),
        ("../lls-provider/evil", b"x"),
        ("lls-provider/.wh...", b"x"),
        ("lls-provider/.wh.", b"x"),
        (f"lls-provider/{'n' * 256}", b"x"),
        (f"lls-provider/{'d/' * 100}x", b"x"),
        ("lls-provider", b"a file"),
        entry("lls-provider", tarfile.SYMTYPE, "/etc"),
        entry("lls-provider/link", tarfile.SYMTYPE, "/etc/passwd"),
        entry("lls-provider/link", tarfile.SYMTYPE, "packages"),
        entry("lls-provider/hard", tarfile.LNKTYPE, "etc/passwd"),
        entry("lls-provider/hard", tarfile.LNKTYPE, "lls-provider/../etc/passwd"),
        entry("lls-provider/hard", tarfile.LNKTYPE, "lls-provider/missing"),
        entry("lls-provider/device", tarfile.CHRTYPE, devmajor=1, devminor=3),
        entry("lls-provider/disk", tarfile.BLKTYPE, devmajor=8, devminor=0),
        entry("lls-provider/pipe", tarfile.FIFOTYPE),
    ],
)
def test_what_could_reach_outside_is_refused(
    make_layout: MakeLayout, tmp_path: Path, hostile: tuple[tarfile.TarInfo | str, bytes]
) -> None:
    layout = make_layout([("lls-provider/packages/x.whl", b"1"), hostile])
    refused(layout, tmp_path / "out", "Layer 1")
    assert not (tmp_path / "evil").exists()


def test_a_link_made_by_one_layer_does_not_carry_the_next(
    make_layout: MakeLayout, tmp_path: Path
) -> None:
    layout = make_layout(
        [entry("lls-provider/packages", tarfile.SYMTYPE, "/tmp")],
        [("lls-provider/packages/evil", b"x")],
    )
    refused(layout, tmp_path / "out", "symbolic link")


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (UnpackLimits(entries=2), "more than 2 entries"),
        (UnpackLimits(paths=2), "more than 2 paths"),
        (UnpackLimits(content=10), "more than 10 bytes"),
        (UnpackLimits(stream=1000), "more than 1,000 bytes"),
    ],
)
def test_too_much_is_refused_with_the_limit(
    make_layout: MakeLayout, tmp_path: Path, limits: UnpackLimits, words: str
) -> None:
    layout = make_layout([(f"lls-provider/{number}", b"12345") for number in range(4)])
    refused(layout, tmp_path / "out", words, limits=limits)


def test_a_gzip_bomb_is_refused_before_it_goes_off(make_layout: MakeLayout, tmp_path: Path) -> None:
    bomb = make_layout([("lls-provider/zeros", bytes(64 << 20))], compress="gzip")
    refused(bomb, tmp_path / "out", "bytes", limits=UnpackLimits(stream=8 << 20))


def test_a_header_as_large_as_a_disk_is_refused_unread(
    make_layout: MakeLayout, tmp_path: Path
) -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type = tarfile.XHDTYPE
    info.size = 8 << 20
    layer = info.tobuf(tarfile.USTAR_FORMAT) + bytes(8 << 20) + bytes(1024)
    refused(make_layout(layer), tmp_path / "out", "header is longer")


@pytest.mark.parametrize("damage", ["cut", "header", "garbage"])
def test_a_damaged_tar_is_refused(make_layout: MakeLayout, tmp_path: Path, damage: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("lls-provider/a", "lls-provider/b"):
            info = tarfile.TarInfo(name)
            info.size = 2000
            archive.addfile(info, io.BytesIO(b"x" * 2000))
    data = bytearray(buffer.getvalue())
    if damage == "cut":
        del data[3800:]
    elif damage == "header":
        data[2560] ^= 0xFF
    else:
        data = bytearray(b"no tar at all" * 1000)
    refused(make_layout(bytes(data)), tmp_path / "out", "tar" if damage != "header" else "header")


def test_empty_layers_are_fine(make_layout: MakeLayout, tmp_path: Path) -> None:
    layout = make_layout(bytes(1024), b"", [("lls-provider/a", b"1")], bytes(10240))
    assert files(unpack(read_layout(layout), tmp_path / "out")) == {"a": b"1"}


def replace_layer(layout: Path, stored: bytes) -> None:
    """Put other stored bytes under the one layer, with digests that are right for them."""
    index = json.loads((layout / "index.json").read_bytes())
    blobs = layout / "blobs" / "sha256"
    described = index["manifests"][0]
    manifest = json.loads((blobs / described["digest"][7:]).read_bytes())
    digest = hashlib.sha256(stored).hexdigest()
    (blobs / digest).write_bytes(stored)
    manifest["layers"][0].update(digest=f"sha256:{digest}", size=len(stored))
    data = json.dumps(manifest).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    described.update(digest=f"sha256:{digest}", size=len(data))
    (layout / "index.json").write_text(json.dumps(index))


def stored_layer(layout: Path) -> bytes:
    return b"".join(read_layout(layout).layers[0].chunks())


def test_a_gzip_layer_in_several_members_and_padding_is_read(
    make_layout: MakeLayout, tmp_path: Path
) -> None:
    layout = make_layout([("lls-provider/a", b"1" * 5000)], compress="gzip")
    plain = gzip.decompress(stored_layer(layout))
    replace_layer(layout, gzip.compress(plain[:700]) + gzip.compress(plain[700:]) + bytes(512))
    assert files(unpack(read_layout(layout), tmp_path / "out")) == {"a": b"1" * 5000}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:-10], "ends early"),
        (lambda data: b"no gzip", "not a readable gzip"),
        (lambda data: data[:-8] + struct.pack("<II", 0, 0), "not a readable gzip"),
        (lambda data: gzip.compress(bytes(10240)), "does not have the digest"),
    ],
)
def test_a_gzip_layer_that_is_not_what_it_says_is_refused(
    make_layout: MakeLayout,
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
    words: str,
) -> None:
    layout = make_layout([("lls-provider/a", b"1" * 5000)], compress="gzip")
    replace_layer(layout, damage(stored_layer(layout)))
    refused(layout, tmp_path / "out", words)


def test_a_layer_that_changed_since_it_was_read_is_refused(
    make_layout: MakeLayout, tmp_path: Path
) -> None:
    layout = make_layout([("lls-provider/a", b"1" * 5000)])
    image = read_layout(layout, verify=False)
    for blob in (layout / "blobs" / "sha256").iterdir():
        if blob.stat().st_size > 5000:
            data = blob.read_bytes()
            blob.write_bytes(data.replace(b"1111", b"2222"))
    with pytest.raises(SdkError, match="is damaged"):
        unpack(image, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seed", range(60))
def test_random_damage_never_ends_in_another_error(
    make_layout: MakeLayout, tmp_path: Path, seed: int
) -> None:
    """Whatever bytes a layer has, with digests that are right for them."""
    import random

    chance = random.Random(seed)
    layout = make_layout(
        [
            ("lls-provider/a", b"1" * 600),
            (f"lls-provider/{'long/' * 20}{'n' * 120}", b"2" * 600),
            entry("lls-provider/b", tarfile.LNKTYPE, "lls-provider/a"),
            ("lls-provider/.wh.a", b""),
        ],
        compress="gzip" if seed % 2 else "",
    )
    data = bytearray(stored_layer(layout))
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(min(len(data), 6000))] = chance.choice(
            [0, 0xFF, chance.randrange(256)]
        )
    replace_layer(layout, bytes(data))
    try:
        root = unpack(read_layout(layout), tmp_path / "out")
    except SdkError as error:
        assert error.code in {Code.IMAGE_INVALID, Code.METADATA_MISSING}, error.render()
    else:
        assert not [path for path in root.rglob("*") if path.is_symlink()]
