"""``lls-provider cache``: dir, list and prune."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    for name, size in (("environments", 2_500_000), ("files", 1_000)):
        (tmp_path / "cache" / name).mkdir(parents=True)
        (tmp_path / "cache" / name / "one").write_bytes(b"x" * size)
    return tmp_path / "cache"


def test_what_is_there_is_listed_and_freed(cli: Cli, filled: Path) -> None:
    env = {"LLS_PROVIDER_CACHE": str(filled), "UV_CACHE_DIR": None}
    assert cli("cache", "dir", env=env).stdout == f"{filled}\n"
    assert cli("cache", "list", env=env).stdout == (
        f"{filled}: 2.5 MB\n"
        "  environments     2.5 MB  packages of servers, installed\n"
        "  files            1.0 KB  packages that were downloaded\n"
    )
    would = cli("cache", "prune", "--dry-run", env=env).stdout
    assert would == f"Would free 2.5 MB in {filled}: 2 sections (environments, files)\n"
    done = cli("cache", "prune", "environments", env=env)
    assert done.stdout == f"Freed 2.5 MB in {filled}: 1 section (environments)\n"
    assert done.stderr == "removing 2.5 MB\n"
    assert not (filled / "environments").exists()
    assert (filled / "files").exists()


def test_json_has_bytes(cli: Cli, filled: Path) -> None:
    env = {"LLS_PROVIDER_CACHE": str(filled), "UV_CACHE_DIR": None}
    for words in (["list"], ["prune", "--dry-run"], ["prune"], ["list"]):
        assert cli("cache", *words, "--format", "json", env=env).returncode == 0


def test_an_empty_cache_is_no_failure(cli: Cli, tmp_path: Path) -> None:
    env = {"LLS_PROVIDER_CACHE": str(tmp_path / "none"), "UV_CACHE_DIR": None}
    assert cli("cache", "prune", env=env).stdout.startswith("Freed 0 bytes in ")
    assert not (tmp_path / "none").exists()
