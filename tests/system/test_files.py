"""A file appears whole under its name or not at all, whoever else writes to its directory."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lls_provider.system import files
from lls_provider.system.files import atomic_file, staged_file, write_atomically


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode_of(path: Path) -> int:
    return path.lstat().st_mode & 0o777


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize(
    ("mode", "found"), [(None, 0o640), (0o600, 0o600), (0o644, 0o644), (0o755, 0o755)]
)
def test_the_mode_is_the_one_asked_for_or_what_the_umask_gives(
    mode: int | None, found: int, tmp_path: Path
) -> None:
    write_atomically(tmp_path / "target", b"data", mode=mode)
    assert (tmp_path / "target").read_bytes() == b"data"
    assert mode_of(tmp_path / "target") == found


def test_the_earlier_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "target"
    write_atomically(target, b"one")
    with atomic_file(target) as stream:
        stream.write(b"two")
        stream.flush()
        assert target.read_bytes() == b"one"
    assert target.read_bytes() == b"two"
    assert listing(tmp_path) == ["target"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("x"), OSError(errno.EIO, "x")])
def test_whatever_ends_the_block_nothing_stays(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), atomic_file(tmp_path / "target") as stream:
        stream.write(b"half")
        raise error
    assert listing(tmp_path) == []


def test_a_full_disk_leaves_the_earlier_file(tmp_path: Path) -> None:
    """The bytes of a small file reach the system when it is closed."""
    target = tmp_path / "target"
    write_atomically(target, b"one")
    with pytest.raises(OSError, match="No space left"), atomic_file(target) as stream:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, stream.fileno())
        os.close(full)
        stream.write(b"two")
    assert target.read_bytes() == b"one"
    assert listing(tmp_path) == ["target"]


def test_a_rename_that_fails_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path / "target", b"data")
    assert listing(tmp_path) == ["target"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"theirs")
    (tmp_path / "target").symlink_to("secret")
    write_atomically(tmp_path / "target", b"ours")
    assert not (tmp_path / "target").is_symlink()
    assert (tmp_path / "secret").read_bytes() == b"theirs"


@pytest.mark.parametrize("trap", ["link", "dangling", "file"])
def test_what_was_put_under_the_new_name_is_not_written_to(
    trap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / ".guessed.tmp"
    monkeypatch.setattr(files, "staging_path", lambda _target, _prefix: place)
    (tmp_path / "secret").write_bytes(b"theirs")
    if trap == "file":
        place.write_bytes(b"theirs")
    else:
        place.symlink_to("secret" if trap == "link" else "nowhere")
    before = listing(tmp_path)
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "target", b"ours")
    assert (tmp_path / "secret").read_bytes() == b"theirs"
    assert listing(tmp_path) == before


def test_several_files_appear_when_all_are_written(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with (
        staged_file(first, prefix=".group-") as (one, publish_first),
        staged_file(second, prefix=".group-") as (two, publish_second),
    ):
        one.write(b"1")
        two.write(b"2")
        assert all(name.startswith(".group-") for name in listing(tmp_path))
        publish_first()
        publish_second()
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")
    assert listing(tmp_path) == ["first", "second"]


def test_a_staged_file_that_is_not_published_goes(tmp_path: Path) -> None:
    with staged_file(tmp_path / "target") as (stream, _publish):
        stream.write(b"data")
    assert listing(tmp_path) == []
