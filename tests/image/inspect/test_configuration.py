"""The configuration of a distribution in the layers of its image, as a container would see it."""

from __future__ import annotations

import itertools
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.image.inspect.configuration import ImageFile, image_configuration
from lls_provider.image.inspect.file_system import WHOLE_LIMIT
from lls_provider.image.transports.layout import read_layout

Members = list[tuple[Any, bytes]]
Read = Callable[..., ImageFile]

KNOWN = "etc/llama-stack/run.yaml"


@pytest.fixture
def read(make_layout: Callable[..., Path]) -> Read:
    """The configuration of an image of these layers."""
    names = (f"layout-{number}" for number in itertools.count())

    def found(*layers: Members, env: Sequence[str] = (), given: str | None = None) -> ImageFile:
        layout = make_layout(*layers, config={"Env": list(env)}, name=next(names))
        return image_configuration(read_layout(layout), given)

    return found


def _link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Members:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return [(info, b"")]


def test_the_first_known_path_counts_and_the_upper_layer_wins(read: Read) -> None:
    lower = [(KNOWN, b"version: 1\n"), ("etc/ogx/config.yaml", b"other\n")]
    assert read(lower) == ImageFile(f"/{KNOWN}", b"version: 1\n")
    assert read(lower, [(KNOWN, b"version: 2\n")]).data == b"version: 2\n"
    removed = [("etc/llama-stack/.wh.run.yaml", b"")]
    assert read(lower, removed) == ImageFile("/etc/ogx/config.yaml", b"other\n")


def test_what_a_variable_of_the_image_names_comes_first(read: Read) -> None:
    layer = [(KNOWN, b"known\n"), ("srv/own.yaml", b"own\n")]
    assert read(layer, env=["RUN_CONFIG_PATH=/srv/own.yaml"]) == ImageFile(
        "/srv/own.yaml", b"own\n"
    )
    assert read(layer, env=["OGX_CONFIG=/srv/absent.yaml"]).data == b"known\n"


def test_a_path_that_is_given_is_the_only_one(read: Read) -> None:
    layer = [(KNOWN, b"known\n"), ("srv/own.yaml", b"own\n")]
    assert read(layer, given="/srv/own.yaml") == ImageFile("/srv/own.yaml", b"own\n")
    with pytest.raises(SdkError, match=r"has no configuration at /srv/absent\.yaml"):
        read(layer, given="/srv/absent.yaml")


def test_a_link_to_any_file_is_followed_inside_the_image(read: Read) -> None:
    target = [("srv/configs/real.yaml", b"real\n")]
    assert read([*target, *_link(KNOWN, "/srv/configs/real.yaml")]).data == b"real\n"
    # a link to a link, and a directory that is one
    links = [*_link(KNOWN, "../../srv/link.yaml"), *_link("srv/link.yaml", "configs/real.yaml")]
    assert read([*target, *links]).data == b"real\n"
    assert (
        read(
            [*target, *_link("etc/llama-stack", "/srv/configs")],
            env=["RUN_CONFIG_PATH=/etc/llama-stack/real.yaml"],
        ).data
        == b"real\n"
    )


def test_a_hard_link_between_known_paths_is_read(read: Read) -> None:
    layer: Members = [("etc/ogx/config.yaml", b"one\n")]
    layer += _link(KNOWN, "etc/ogx/config.yaml", tarfile.LNKTYPE)
    assert read(layer) == ImageFile(f"/{KNOWN}", b"one\n")
    foreign = [("srv/x.yaml", b"x\n"), *_link(KNOWN, "srv/x.yaml", tarfile.LNKTYPE)]
    assert read([*foreign, ("etc/ogx/config.yaml", b"one\n")]).data == b"one\n"


@pytest.mark.parametrize(
    "layer",
    [
        [],
        [(f"{KNOWN}/", b"")],
        _link(KNOWN, "/etc/absent.yaml"),
        _link(KNOWN, "run.yaml"),
        _link(KNOWN, "../../../../etc/passwd"),
    ],
    ids=["nothing", "directory", "dangling", "loop", "outside"],
)
def test_without_one_every_path_that_was_tried_is_told(read: Read, layer: Members) -> None:
    with pytest.raises(SdkError) as caught:
        read(layer, env=["RUN_CONFIG_PATH=/srv/own.yaml"])
    assert caught.value.code is Code.FILE_MISSING
    assert "  /srv/own.yaml\n  /opt/app-root/run.yaml\n" in caught.value.why
    assert "--base-config FILE" in caught.value.resolution


def test_a_large_file_is_cut_one_byte_beyond_what_a_reader_takes(read: Read) -> None:
    assert len(read([(KNOWN, b"#" * (WHOLE_LIMIT + 5))]).data) == WHOLE_LIMIT
