"""The sections of the cache: what they take, and that nobody loses one while using it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.system import cache_sections as module
from lls_provider.system.cache_sections import (
    SECTIONS,
    cache_section,
    prune,
    size_below,
)
from lls_provider.system.cache_sections import cache_sections as sections

USER = """
import sys
from lls_provider.system.cache_sections import cache_section
place = cache_section("files")
place.mkdir(exist_ok=True)
(place / "mine").write_text("kept")
print("holds", flush=True)
sys.stdin.read()
print((place / "mine").exists())
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, which this process does not hold."""
    root = tmp_path / "cache"
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(root))
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    monkeypatch.setattr(module, "_held", {})
    return root


def fill(root: Path) -> None:
    for name, size in (("files", 1000), ("uv", 50)):
        (root / name).mkdir(parents=True)
        (root / name / "one").write_bytes(b"x" * size)
    (root / "files" / "one.lock").touch()
    os.link(root / "files" / "one", root / "files" / "two")


def test_each_section_has_its_entries_and_its_size(cache: Path) -> None:
    fill(cache)
    (cache / "of somebody else").mkdir()
    assert [(it.name, it.entries, it.size) for it in sections()] == [
        ("files", 2, 1000),  # a file with two names takes its place once
        ("uv", 1, 50),
    ]


def test_uvs_own_cache_is_none_of_ours(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(cache)
    monkeypatch.setenv("UV_CACHE_DIR", str(cache.parent / "elsewhere"))
    assert [it.name for it in prune()] == ["files"]
    assert (cache / "uv" / "one").is_file()


def test_pruning_removes_what_was_named(cache: Path) -> None:
    fill(cache)
    assert [it.name for it in prune(["files"])] == ["files"]
    assert sorted(it.name for it in cache.iterdir()) == [".lock", "uv"]
    assert [it.name for it in prune()] == ["uv"]
    assert prune() == []


def test_a_dry_run_removes_nothing(cache: Path) -> None:
    assert prune(dry_run=True) == []
    fill(cache)
    assert [it.name for it in prune(dry_run=True)] == ["files", "uv"]
    assert size_below(cache) == 1050


def test_an_unknown_section_is_suggested_one(cache: Path) -> None:
    with pytest.raises(SdkError) as caught:
        prune(["file"])
    assert caught.value.code is Code.USAGE
    assert "Did you mean 'files'?" in caught.value.what
    with pytest.raises(ValueError, match="nothing"):
        cache_section("nothing")


def test_who_uses_the_cache_keeps_it_and_is_named(cache: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", USER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as user:
        assert user.stdout is not None
        assert user.stdout.readline() == "holds\n"
        with pytest.raises(SdkError) as caught:
            prune()
        assert caught.value.code is Code.CACHE_IN_USE
        assert caught.value.why == f"Process {user.pid} uses it."
        out, _ = user.communicate("")
    assert out == "True\n"
    assert [it.name for it in prune()] == ["files"]  # the resolution: when it has ended


def test_where_the_kernel_lists_no_locks_the_error_is_the_same(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_holders", lambda _handle: [])
    cache_section("files")
    with pytest.raises(SdkError) as caught:
        prune()
    assert caught.value.why == "Another run uses it."


def test_what_a_run_that_was_killed_left_goes_too(cache: Path) -> None:
    left = cache / ".pruned-0123456789abcdef" / "files"
    left.mkdir(parents=True)
    (left / "one").touch()
    prune()
    assert sorted(it.name for it in cache.iterdir()) == [".lock"]


def test_a_cache_that_cannot_be_written_is_used_without_the_lock(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write_text("a file in its place")
    assert cache_section("files") == cache / "files"


def test_a_lock_that_cannot_be_written_is_held_all_the_same(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir()
    (cache / ".lock").touch()
    real = os.open

    def read_only(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", read_only)
    cache_section("files")
    assert list(module._held) == [cache]


def test_every_section_says_what_it_holds() -> None:
    assert all(SECTIONS.values())
