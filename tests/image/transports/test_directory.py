"""``--output bundle:DIR``: the /lls-provider tree as a directory, for one platform or several."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lls_provider.bundle.bundle import Bundle, read_bundle
from lls_provider.errors import Code, SdkError
from lls_provider.image.bundle_image import compose
from lls_provider.image.manifest import Index
from lls_provider.image.transports.transport import parse_output

MakeBundle = Callable[..., Bundle]


def files(root: Path) -> dict[str, bytes]:
    return {
        it.relative_to(root).as_posix(): it.read_bytes() for it in root.rglob("*") if it.is_file()
    }


def test_it_is_the_bundle_of_the_image(make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundle = make_bundle()
    image = compose(bundle)
    output = parse_output(f"bundle:{tmp_path}/tree")

    assert output.write(image) == image.digest

    assert str(output) == f"bundle:{tmp_path}/tree"
    assert read_bundle(tmp_path / "tree").manifest == bundle.manifest
    assert files(tmp_path / "tree") == files(bundle.root)
    assert (tmp_path / "tree" / "lls-provider.pyz").stat().st_mode & 0o111  # as in the image


def test_each_platform_has_its_own(make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundles = [make_bundle(it, machine=it) for it in ("x86_64", "aarch64")]
    index = Index.of([compose(bundle) for bundle in bundles])

    assert parse_output(f"bundle:{tmp_path}/trees").write(index) == index.digest

    assert {it.name for it in (tmp_path / "trees").iterdir()} == {"linux-amd64", "linux-arm64"}
    assert files(tmp_path / "trees" / "linux-arm64") == files(bundles[1].root)


def test_what_is_there_is_refused_before_any_work_and_stays(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    output = parse_output(f"bundle:{tmp_path}/mine")
    (tmp_path / "mine" / "work").write_text("precious")
    images = [compose(make_bundle(it, machine=it)) for it in ("x86_64", "aarch64")]

    for attempt in (
        lambda: parse_output(f"bundle:{tmp_path}/mine"),
        lambda: output.write(images[0]),
        lambda: output.write(Index.of(images)),
    ):
        with pytest.raises(SdkError) as caught:
            attempt()
        assert caught.value.code is Code.TARGET_EXISTS
    assert [it.name for it in (tmp_path / "mine").iterdir()] == ["work"]

    # the resolution: remove it
    shutil.rmtree(tmp_path / "mine")
    parse_output(f"bundle:{tmp_path}/mine").write(images[0])


def test_a_place_that_is_not_known_names_it() -> None:
    with pytest.raises(SdkError) as caught:
        parse_output("bundles:x")

    assert caught.value.code is Code.USAGE
    assert "or bundle:DIR" in caught.value.why
