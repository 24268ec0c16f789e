"""A directory or a file appears whole under its name or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.system import files as publish
from lls_provider.system.files import output_directory, output_file


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(target: Path, text: str) -> None:
    with output_directory(target, "the test") as staging:
        (staging / "file").write_text(text)


@pytest.mark.parametrize("publish", [output_directory, output_file])
def test_a_link_to_itself_is_told(publish: Callable[..., Any], tmp_path: Path) -> None:
    place = tmp_path / "me"
    place.symlink_to("me")
    with pytest.raises(SdkError) as caught, publish(place, "the image"):
        pass
    assert caught.value.code is Code.OUTPUT_UNWRITABLE
    assert caught.value.what == f"Cannot write the image to {place}"
    assert caught.value.why == "Too many levels of symbolic links"
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("swaps", [True, False])
def test_an_earlier_directory_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swaps: bool
) -> None:
    if not swaps:  # a file system without RENAME_EXCHANGE
        monkeypatch.setattr(publish, "_renameat2", lambda _new, _old: False)
    target = tmp_path / "parent" / "target"
    write(target, "one")
    write(target, "two")
    assert (target / "file").read_text() == "two"
    assert listing(target.parent) == ["target"]


def test_a_replacement_that_fails_halfway_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "_renameat2", lambda _new, _old: False)
    target = tmp_path / "target"
    write(target, "one")
    rename = Path.rename

    def second_fails(self: Path, to: Path) -> Path:
        if to == target and self.suffix == ".tmp":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(to))
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(SdkError) as caught:
        write(target, "two")
    assert caught.value.code is Code.OUTPUT_UNWRITABLE
    assert (target / "file").read_text() == "one"
    assert listing(tmp_path) == ["target"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("x")])
def test_whatever_ends_the_block_nothing_stays(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), output_directory(tmp_path / "target", "the test") as staging:
        (staging / "file").write_text("half")
        raise error
    assert listing(tmp_path) == []


def test_permissions_are_those_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "target", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o750


def test_a_parent_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SdkError) as caught:
        write(tmp_path / "file" / "target", "x")
    assert caught.value.code is Code.OUTPUT_UNWRITABLE


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "parent" / "target"
    for text in (b"one", b"two"):
        with output_file(target, "the test") as stream:
            stream.write(text)
            assert not target.exists() or target.read_bytes() == b"one"
    with pytest.raises(KeyboardInterrupt), output_file(target, "the test") as stream:
        stream.write(b"three")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"two"
    assert listing(target.parent) == ["target"]
    target.unlink()
    target.mkdir()
    with pytest.raises(SdkError) as caught, output_file(target, "the test"):
        pass
    assert caught.value.code is Code.OUTPUT_UNWRITABLE
    assert listing(target.parent) == ["target"]
