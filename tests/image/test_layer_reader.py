"""Layers that are compressed: read where they are looked into, and copied as they are."""

from __future__ import annotations

import gzip
import importlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.factories.images import PACKERS, zstd

from lls_provider.bundle.bundle import Bundle
from lls_provider.errors import Code, SdkError
from lls_provider.image import layer_reader
from lls_provider.image.bundle_image import compose, unpack
from lls_provider.image.image import GZIP_LAYER_TYPES, ZSTD_LAYER_TYPES
from lls_provider.image.inspect.file_system import read_filesystem
from lls_provider.image.layer_reader import Damaged, decompressed
from lls_provider.image.transports.layout import read_layout, write_layout
from lls_provider.image.transports.registry.reference import parse
from lls_provider.image.transports.registry.transfer import push
from lls_provider.image.transports.transport import read_image

MakeBundle = Callable[..., Bundle]
MakeLayout = Callable[..., Path]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Engine = Callable[[str], str]

GZIP, ZSTD = GZIP_LAYER_TYPES[0], ZSTD_LAYER_TYPES[0]
FILE = "usr/lib/python3.12/site-packages/x-1.0.dist-info/METADATA"  # it is one that is looked for
# zstd:chunked ends with such a frame, which holds no data
SKIPPED = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
DATA = os.urandom(300_000) + b"a" * 3_000_000


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 22])
@pytest.mark.parametrize(
    ("media_type", "packed"),
    [
        pytest.param(GZIP, gzip.compress(DATA), id="gzip"),
        pytest.param(
            GZIP,
            gzip.compress(DATA[:99]) + gzip.compress(DATA[99:]) + b"\0" * 512,
            id="gzip-members",
        ),
        pytest.param(ZSTD, zstd(DATA), id="zstd"),
        pytest.param(ZSTD_LAYER_TYPES[1], zstd(DATA[:99]) + zstd(DATA[99:]), id="zstd-frames"),
        pytest.param(ZSTD, SKIPPED + zstd(DATA) + SKIPPED, id="zstd-skipped"),
    ],
)
def test_what_was_packed_comes_out(media_type: str, packed: bytes, size: int) -> None:
    if size == 1:
        packed = PACKERS["gzip" if media_type == GZIP else "zstd"](DATA[:5000])
    found = b"".join(decompressed(pieces(packed, size), media_type))
    assert found == (DATA[:5000] if size == 1 else DATA)


@pytest.mark.parametrize("media_type", [GZIP, ZSTD])
def test_pieces_are_small_whatever_it_expands_to(media_type: str) -> None:
    bomb = PACKERS["gzip" if media_type == GZIP else "zstd"](b"\0" * (64 << 20))
    lengths = [len(piece) for piece in decompressed([bomb], media_type)]
    assert sum(lengths) == 64 << 20
    assert max(lengths) <= 1 << 20


@pytest.mark.parametrize("media_type", [GZIP, ZSTD])
@pytest.mark.parametrize("damage", ["cut", "changed", "other", "behind"])
def test_what_is_damaged_is_told(media_type: str, damage: str) -> None:
    packed = PACKERS["gzip" if media_type == GZIP else "zstd"](DATA)
    middle = len(packed) // 2
    broken = {
        "cut": packed[:middle],
        "changed": packed[:2000] + bytes([packed[2000] ^ 0xFF]) + packed[2001:-1],
        "other": b"neither",
        "behind": packed + b"neither",
    }[damage]
    with pytest.raises(Damaged, match="gzip" if media_type == GZIP else "zstd"):
        list(decompressed([broken], media_type))


@pytest.mark.parametrize("media_type", [GZIP, ZSTD])
def test_many_empty_frames_are_given_in_small_inputs(
    media_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows a frame is copied: the cost of each must not grow with the whole input."""
    frame = gzip.compress(b"") if media_type == GZIP else SKIPPED
    given: list[int] = []
    feed = layer_reader._fed

    def counted(engine: layer_reader._Engine, data: bytes, name: str) -> bytes:
        given.append(len(data))
        return feed(engine, data, name)

    monkeypatch.setattr(layer_reader, "_fed", counted)
    assert b"".join(decompressed([frame * 20_000], media_type)) == b""
    assert max(given) <= 1 << 12


def test_a_window_beyond_all_measure_is_refused() -> None:
    """A frame may require gigabytes of memory."""
    header = b"\x28\xb5\x2f\xfd" + bytes([0x00, 0xA8])  # a window of 2 GiB
    with pytest.raises(Damaged, match="zstd"):
        list(decompressed([header + b"\0" * 100], ZSTD))


def test_nothing_is_an_empty_stream() -> None:
    assert list(decompressed([], GZIP)) == []
    assert list(decompressed([], ZSTD)) == []


@pytest.mark.parametrize("compress", ["gzip", "zstd"])
def test_a_layer_is_looked_into_and_copied_byte_for_byte(
    make_layout: MakeLayout, tmp_path: Path, compress: str
) -> None:
    layout = make_layout([(FILE, b"Name: x\n")], compress=compress)
    image = read_layout(layout)
    assert read_filesystem(image).content(tuple(FILE.split("/"))) == b"Name: x\n"
    write_layout(image, tmp_path / "copy")
    for layer in image.layers:
        name = layer.digest.removeprefix("sha256:")
        assert (tmp_path / "copy/blobs/sha256" / name).read_bytes() == (
            layout / "blobs/sha256" / name
        ).read_bytes()


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_reader, "_LIBRARIES", ("no_such_library",))


@pytest.mark.usefixtures("without_library")
def test_without_a_library_the_extra_is_named(make_layout: MakeLayout) -> None:
    image = read_layout(make_layout([("x", b"")], compress="zstd"))
    with pytest.raises(SdkError) as caught:
        read_filesystem(image)
    assert caught.value.code is Code.TOOL_MISSING
    assert caught.value.status == 3
    assert "pip install 'lls-provider-sdk[zstd]'" in caught.value.resolution


def test_the_extra_that_is_named_brings_a_library_that_is_looked_for() -> None:
    import tomllib

    root = Path(__file__).parents[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    (needed,) = extras["optional-dependencies"]["zstd"]
    assert needed.startswith("backports.zstd")
    assert any(_found(name) for name in layer_reader._LIBRARIES)


def _found(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


@pytest.mark.slow
def test_inspect_and_push_need_no_library(
    make_layout: MakeLayout, cli: Cli, registry: str, tmp_path: Path
) -> None:
    layout = make_layout([("x", b"data")], compress="zstd")
    hidden = tmp_path / "hidden"
    for module in ("backports", "compression"):
        (hidden / module).mkdir(parents=True)
        (hidden / module / "__init__.py").write_text("raise ImportError('hidden')\n")
    env = {"PYTHONPATH": str(hidden)}
    done = cli("inspect", f"oci:{layout}", "--format", "json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["layers"][0]["media_type"] == ZSTD
    done = cli("push", f"oci:{layout}", f"{registry}/acme/zstd:1", env=env)
    assert done.returncode == 0, done.stderr
    done = cli("check", f"oci:{layout}", env=env)
    assert "lls-provider-sdk[zstd]" in done.stdout + done.stderr


@pytest.mark.engine
def test_what_a_real_tool_packs_is_read_and_pushed_on(
    make_layout: MakeLayout, engine: Engine, registry: str, tmp_path: Path
) -> None:
    """An image of a registry, converted by skopeo, whose copy skopeo reads."""
    layout = make_layout([("x", b"")], [(FILE, b"Name: x\n")])
    source = f"{registry}/acme/packed:1"
    skopeo = (engine("skopeo"), "copy", "-q", "--insecure-policy")
    subprocess.run(
        [
            *(*skopeo, "--dest-tls-verify=false", "--dest-compress-format", "zstd"),
            *(f"oci:{layout}", f"docker://{source}"),
        ],
        check=True,
    )
    image = read_image(f"docker://{source}")
    assert {layer.media_type for layer in image.layers} == {ZSTD}
    assert read_filesystem(image).content(tuple(FILE.split("/"))) == b"Name: x\n"

    copy = f"{registry}/acme/packed-copy:1"
    assert push(image, parse(copy)) == image.digest
    subprocess.run(
        [*skopeo, "--src-tls-verify=false", f"docker://{copy}", f"dir:{tmp_path / 'read'}"],
        check=True,
    )


def test_a_runnable_image_on_a_packed_base_is_checked(
    make_bundle: MakeBundle, make_layout: MakeLayout, tmp_path: Path
) -> None:
    base = read_layout(make_layout([("etc/os-release", b"ID=x\n")], compress="zstd"))
    image = compose(make_bundle(), base=base)
    write_layout(image, tmp_path / "image")
    tree = unpack(read_layout(tmp_path / "image"), tmp_path / "tree")
    assert (tree / "lls-provider-spec.yaml").is_file()
    assert image.layers[0].media_type == ZSTD
