"""A layer whose files were just hashed is not read for its digest when that was found before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lls_provider.bundle.bundle import Bundle, read_bundle
from lls_provider.errors import Code, SdkError
from lls_provider.image.bundle_image import compose
from lls_provider.image.image import Layer, TreeLayer
from lls_provider.image.tar import LayerFile, LayerTree

MakeBundle = Callable[..., Bundle]

WHEELS = 1  # the layer of the dependencies


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(folder))
    return folder


def wheels(bundle: Bundle) -> Layer:
    return compose(bundle).layers[WHEELS]


def remembered(cache: Path) -> list[Path]:
    return sorted((cache / "layers").glob("*"))


@pytest.fixture
def bundle(make_bundle: MakeBundle) -> Bundle:
    return make_bundle(dependencies=3)


def test_the_second_build_of_a_closure_reads_none_of_it(
    bundle: Bundle, make_bundle: MakeBundle, cache: Path
) -> None:
    first = wheels(bundle).digest
    again = make_bundle("again", dependencies=3, source="ANSWER = 43\n")
    layer = wheels(again)
    assert len(remembered(cache)) == 1
    for wheel in again.dependencies:
        wheel.unlink()
    assert layer.digest == first == layer.diff_id
    with pytest.raises(SdkError, match="Cannot read"):
        list(layer.chunks())


def test_what_is_remembered_is_what_reading_tells(bundle: Bundle) -> None:
    digests = {wheels(it).digest for it in (bundle, bundle, read_bundle(bundle.root))}
    assert len(digests) == 1


def test_a_bundle_that_was_only_read_is_hashed(bundle: Bundle, cache: Path) -> None:
    """No one has compared its files with its manifest."""
    told = wheels(bundle).digest
    wheel = bundle.dependencies[0]
    data = bytearray(wheel.read_bytes())
    data[40] ^= 1
    wheel.write_bytes(data)
    assert wheels(read_bundle(bundle.root)).digest != told
    assert len(remembered(cache)) == 1


@pytest.mark.parametrize("read", [lambda it: it.digest, lambda it: list(it.chunks())])
def test_a_wheel_that_changed_since_it_was_hashed_is_told_and_not_remembered(
    bundle: Bundle, cache: Path, read: Callable[[Layer], object]
) -> None:
    layer = wheels(bundle)
    wheel = bundle.dependencies[1]
    data = bytearray(wheel.read_bytes())
    data[40] ^= 1
    wheel.write_bytes(data)
    with pytest.raises(SdkError, match=wheel.name) as caught:
        read(layer)
    assert caught.value.code is Code.HASH_MISMATCH
    assert remembered(cache) == []


def test_a_known_layer_is_compared_while_it_is_streamed(bundle: Bundle) -> None:
    _ = wheels(bundle).digest
    layer = wheels(bundle)
    wheel = bundle.dependencies[1]
    data = bytearray(wheel.read_bytes())
    data[40] ^= 1
    wheel.write_bytes(data)
    with pytest.raises(SdkError, match="dependency wheels changed") as caught:
        list(layer.chunks())
    assert caught.value.code is Code.HASH_MISMATCH


def test_a_digest_that_is_not_the_layers_is_found_and_forgotten(
    bundle: Bundle, cache: Path
) -> None:
    right = wheels(bundle).digest
    (place,) = remembered(cache)
    place.write_text("sha256:" + "0" * 64)
    layer = wheels(bundle)
    assert layer.digest != right
    with pytest.raises(SdkError) as caught:
        list(layer.chunks())
    assert caught.value.code is Code.HASH_MISMATCH
    assert wheels(bundle).digest == right


@pytest.mark.parametrize("content", [b"", b"sha256:", b"\xff\xfe", b"../../etc/passwd"])
def test_what_is_no_digest_is_passed_over(bundle: Bundle, cache: Path, content: bytes) -> None:
    right = wheels(bundle).digest
    (place,) = remembered(cache)
    place.write_bytes(content)
    assert wheels(bundle).digest == right
    assert place.read_text() == right


def test_a_cache_that_cannot_be_written_is_done_without(bundle: Bundle, cache: Path) -> None:
    right = wheels(read_bundle(bundle.root)).digest
    cache.write_bytes(b"a file")
    assert wheels(bundle).digest == right


def test_everything_that_the_bytes_follow_from_is_in_the_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    one = LayerFile("a/b", path, 5, sha256="1" * 64)
    two = replace(one, name="a/c")
    trees = [
        LayerTree.of([one]),
        LayerTree.of([two]),
        LayerTree.of([replace(one, name="b/b")]),
        LayerTree.of([replace(one, size=6)]),
        LayerTree.of([replace(one, mode=0o755)]),
        LayerTree.of([replace(one, sha256="2" * 64)]),
        LayerTree.of([one], 1),
        LayerTree.of([one, two]),
    ]
    assert len({it.fingerprint for it in trees}) == len(trees)
    assert LayerTree.of([two, one]).fingerprint == LayerTree.of([one, two]).fingerprint
    assert LayerTree.of([one, replace(two, sha256="")]).fingerprint == ""
    assert TreeLayer(LayerTree.of([replace(one, sha256="")]), "x").digest
