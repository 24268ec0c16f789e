"""Finding one file in a tar stream without holding the others."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator

import pytest
from tests.factories.images import tar_bytes

from lls_provider.image.tar import find_member

LIMIT = 1 << 20


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[place : place + size] for place in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 511, 512, 1 << 20])
def test_a_file_is_found_wherever_the_stream_is_divided(size: int) -> None:
    data = tar_bytes([("a/", b""), ("a/b", b"x" * 700), ("a/c", b"found"), ("a/d", b"")])
    assert find_member(pieces(data, size), "a/c", limit=LIMIT) == b"found"
    assert find_member(pieces(data, size), "a/d", limit=LIMIT) == b""
    assert find_member(pieces(data, size), "a/e", limit=LIMIT) is None


def test_what_follows_it_is_not_read() -> None:
    def stream() -> Iterator[bytes]:
        yield tar_bytes([("a", b"found")])[:1024]
        raise AssertionError("read on")

    assert find_member(stream(), "a", limit=LIMIT) == b"found"


def test_a_folder_or_a_link_of_the_name_is_no_file() -> None:
    link = tarfile.TarInfo("a")
    link.type = tarfile.SYMTYPE
    link.linkname = "b"
    assert find_member([tar_bytes([("a/", b""), (link, b"")])], "a", limit=LIMIT) is None


def test_a_file_over_the_limit_is_not_taken() -> None:
    assert find_member([tar_bytes([("a", b"four")])], "a", limit=3) is None
    assert find_member([tar_bytes([("a", b"four")])], "a", limit=4) == b"four"


@pytest.mark.parametrize("data", [b"", b"x" * 600, b"x" * 2048, bytes(512)])
def test_what_is_no_tar_holds_nothing(data: bytes) -> None:
    assert find_member([data], "a", limit=LIMIT) is None


def test_a_stream_that_ends_early_gives_what_there_is() -> None:
    """The digest of what is looked for says that it is not whole."""
    assert find_member([tar_bytes([("a", b"found")])[:514]], "a", limit=LIMIT) == b"fo"


def test_a_header_that_promises_more_than_there_is_costs_no_memory() -> None:
    info = tarfile.TarInfo("big")
    info.size = 1 << 40
    data = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict") + bytes(1024)
    assert find_member([data], "a", limit=LIMIT) is None
