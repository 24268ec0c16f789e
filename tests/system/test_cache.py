from __future__ import annotations

import errno
import fcntl
import os
import pwd
import threading
from pathlib import Path

import pytest

from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.system.cache import (
    cache_root,
    locked,
    storage_error,
    uv_cache_root,
    uv_cache_variables,
    writing,
)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLS_PROVIDER_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)


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


@pytest.mark.parametrize(
    ("variables", "uvs", "told"),
    [
        ({"HOME": "/home/acme"}, "/home/acme/.cache/uv", False),
        ({"HOME": "/home/acme", "XDG_CACHE_HOME": "/var/acme"}, "/var/acme/uv", False),
        ({"HOME": "/home/acme", "LLS_PROVIDER_CACHE": "/ours"}, "/ours/uv", True),
        (
            {"HOME": "/home/acme", "XDG_CACHE_HOME": "/var/acme", "LLS_PROVIDER_CACHE": "/ours"},
            "/ours/uv",
            True,
        ),
        ({"HOME": "/home/acme", "LLS_PROVIDER_CACHE": "/ours", "UV_CACHE_DIR": "/uv"}, "/uv", True),
        ({"HOME": "/home/acme", "UV_CACHE_DIR": "/uv"}, "/uv", False),
        ({"HOME": ""}, "/.cache/uv", True),
        ({"HOME": "", "LLS_PROVIDER_CACHE": "/ours"}, "/ours/uv", True),
    ],
)
def test_the_cache_of_uv_lies_below_ours_where_that_is_named(
    variables: dict[str, str], uvs: str, *, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a home uv takes the working directory: it is always given of another place then."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert uv_cache_root() == Path(uvs)
    assert uv_cache_variables() == ({"UV_CACHE_DIR": uvs} if told else {})


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


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR])
@pytest.mark.parametrize(
    ("variables", "place", "cache", "resolution"),
    [
        ({}, "home/.cache/lls-provider/files/x", "home/.cache/lls-provider", "Set LLS_PROVIDER_"),
        (
            {},
            "home/.cache/uv/wheels",
            "home/.cache/uv",
            "Set LLS_PROVIDER_CACHE to a directory that",
        ),
        ({"LLS_PROVIDER_CACHE": "ours"}, "ours/files/x", "ours", "Set LLS_PROVIDER_CACHE to a"),
        ({"LLS_PROVIDER_CACHE": "ours"}, "ours/uv/x", "ours/uv", "Set LLS_PROVIDER_CACHE to a"),
        (
            {"UV_CACHE_DIR": "uvs"},
            "uvs/x",
            "uvs",
            "Set UV_CACHE_DIR, which names it, to a directory",
        ),
    ],
)
def test_every_cache_that_cannot_be_written_is_one_error(
    number: int,
    variables: dict[str, str],
    place: str,
    cache: str,
    resolution: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    error = storage_error(OSError(number, os.strerror(number)), tmp_path / place)
    assert error.code is Code.CACHE_UNWRITABLE
    assert error.status is ExitStatus.ENVIRONMENT
    assert error.what == f"Cannot write the cache {tmp_path / cache}"
    assert error.why == os.strerror(number)
    assert error.resolution.startswith(resolution)
    assert "LLS_PROVIDER_CACHE" in error.resolution
    assert "UV_CACHE_DIR" in error.resolution


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


def test_who_waits_for_another_says_so_before(tmp_path: Path) -> None:
    order: list[str] = []
    waits = threading.Event()

    def second() -> None:
        with locked(tmp_path / "x.lock", waiting=waits.set):
            order.append("second")

    with locked(tmp_path / "x.lock", waiting=lambda: order.append("nobody is waited for")):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(timeout=30)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
