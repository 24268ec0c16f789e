from __future__ import annotations

import errno
import fcntl
import os
import pwd
import threading
from pathlib import Path

import pytest

from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.wheels.cache import cache_root, locked, storage_error, writing


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLS_PROVIDER_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


def test_the_cache_is_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/acme")
    assert cache_root() == Path("/home/acme/.cache/lls-provider")


def test_the_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/acme")
    assert cache_root() == Path("/var/acme/lls-provider")


def test_a_relative_xdg_folder_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the XDG base directory specification demands."""
    monkeypatch.setenv("HOME", "/home/acme")
    monkeypatch.setenv("XDG_CACHE_HOME", "caches")
    assert cache_root() == Path("/home/acme/.cache/lls-provider")


def test_our_own_variable_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/acme")
    monkeypatch.setenv("LLS_PROVIDER_CACHE", "/var/ours")
    assert cache_root() == Path("/var/ours")


def test_our_own_variable_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLS_PROVIDER_CACHE", "ours")
    assert cache_root() == tmp_path / "ours"


def test_a_user_without_a_home_has_a_cache_under_the_root(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As container runtimes set HOME for a user id that no account has."""

    def nobody(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert cache_root() == Path("/.cache/lls-provider")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_tells_what_is_free(tmp_path: Path, number: int) -> None:
    place = tmp_path / "not" / "yet" / "there"
    error = storage_error(OSError(number, os.strerror(number)), place)
    assert error.code is Code.NO_SPACE
    assert error.status is ExitStatus.ENVIRONMENT
    assert error.why.startswith(os.strerror(number))
    assert error.why.endswith("bytes are free")
    assert error.where.file == str(place)
    assert "LLS_PROVIDER_CACHE" in error.resolution


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    error = storage_error(PermissionError(errno.EACCES, "Permission denied", "/a/b"), tmp_path)
    assert error.code is Code.OUTPUT_UNWRITABLE
    assert str(tmp_path) in error.what
    assert error.where.file == "/a/b"
    assert error.why == "Permission denied"


def test_an_error_without_a_number_has_a_reason_too(tmp_path: Path) -> None:
    assert storage_error(OSError("the device went away"), tmp_path).why == "the device went away"


def test_other_errors_of_the_block_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), writing(tmp_path):
        raise ZeroDivisionError


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SdkError) as caught, locked(tmp_path / "file" / "cache" / "x.lock"):
        pass
    assert caught.value.code is Code.OUTPUT_UNWRITABLE


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(SdkError) as caught, locked(tmp_path / "x.lock"):
        pass
    assert caught.value.why == "No locks available"


def test_an_error_inside_the_lock_is_not_taken_for_the_cache(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), locked(tmp_path / "x.lock"):
        (tmp_path / "gone").read_bytes()


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with locked(tmp_path / "deep" / "x.lock"):
            order.append("second")

    with locked(tmp_path / "deep" / "x.lock"):
        thread = threading.Thread(target=second)
        thread.start()
        waiting.wait()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
