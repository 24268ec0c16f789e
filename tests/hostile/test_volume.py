"""A volume on which a neighbour put links and pipes where directories and files belong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.factories.wheels import write_wheel

from lls_provider.errors import Code

if TYPE_CHECKING:
    from tests.hostile.conftest import World

pytestmark = pytest.mark.slow

Refuse = Callable[..., Any]

DEPENDENCY = "dep-1.0-py3-none-any.whl"


def external(world: World) -> Path:
    return world.root / "external-providers"


def bring(world: World, files: dict[str, bytes]) -> None:
    """Add a dependency with these files to the bundle."""
    write_wheel(world.packages, "dep", files=files)


def run(world: World, *more: str) -> subprocess.CompletedProcess[str]:
    """Install in a process of its own, which is given up when it waits for a pipe."""
    return subprocess.run(
        [sys.executable, "-m", "lls_provider.runtime", *world.arguments(*more)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize(
    "name", ["python-packages", "metadata", "bin", ".staging", ".replaced", ".suspended"]
)
def test_a_link_in_place_of_a_folder_of_ours_is_refused(world: World, name: str) -> None:
    place = external(world) / name
    if place.is_dir():
        place.rename(place.with_name("moved"))
    place.symlink_to(world.top / "victim")
    bring(world, {"dep.py": b""})
    before = world.snapshot()
    done = run(world)
    assert world.snapshot() == before
    assert done.returncode == Code.VOLUME_UNSAFE.status
    assert "it is a link" in done.stderr
    assert str(place) in done.stderr
    assert "\n\nResolution: " in done.stderr


def test_a_linked_folder_of_a_package_is_never_written_through(
    world: World, refuse: Refuse
) -> None:
    (external(world) / "python-packages" / "shared").symlink_to(world.top / "victim")
    bring(world, {"shared/inner/dep.py": b""})
    refuse(Code.VOLUME_UNSAFE, "shared is a link that no installation", names="dep 1.0")


@pytest.mark.parametrize("name", ["dep.py", "dep_data/__init__.py"])
@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda it: it.symlink_to("/dev/zero")], ids=["pipe", "device"]
)
def test_what_stands_at_a_path_of_ours_is_never_waited_for(
    world: World, name: str, make: Callable[[Path], None]
) -> None:
    there = external(world) / "python-packages" / name
    there.parent.mkdir(exist_ok=True)
    make(there)
    bring(world, {name: b""})
    done = run(world)
    assert done.returncode == 0, done.stderr
    assert f"{name} of dep 1.0 is not installed: someone else" in done.stderr


@pytest.mark.parametrize("file", ["METADATA", "INSTALLER", "RECORD"])
@pytest.mark.parametrize(
    "make",
    [os.mkfifo, lambda it: it.symlink_to("/dev/zero"), Path.mkdir],
    ids=["pipe", "device", "folder"],
)
def test_a_strangers_broken_distribution_is_passed_over(
    world: World, file: str, make: Callable[[Path], None]
) -> None:
    info = external(world) / "python-packages" / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / file).unlink(missing_ok=True)
    make(info / file)
    bring(world, {"dep.py": b""})
    done = run(world)
    assert done.returncode == 0, done.stderr
    assert os.path.lexists(info / file)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"bundle": ', b"[]", b"\xff", b"1", b""])
@pytest.mark.parametrize("provider", ["acme-echo", "neighbour"])
def test_a_record_that_is_none_is_told(world: World, content: bytes, provider: str) -> None:
    assert run(world).returncode == 0
    record = external(world) / "metadata" / provider / "installed.json"
    record.write_bytes(content)
    before = world.snapshot()
    done = run(world, "--config={}")
    assert world.snapshot() == before
    assert done.returncode == 1
    assert f"File: {record}" in done.stderr
    assert f"Resolution: Remove the directory {record.parent}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_record_of_any_size_is_refused_without_being_read(
    world: World, refuse_in_zipapp: Callable[..., str]
) -> None:
    record = external(world) / "metadata" / "neighbour" / "installed.json"
    record.unlink()
    with record.open("wb") as stream:
        stream.truncate(8 * 1024**3)  # a hole, which takes no space
    refuse_in_zipapp("installed.json", megabytes=512)


def test_an_update_removes_nothing_behind_a_link(world: World) -> None:
    bring(world, {"dep_folder/secret.txt": b"ours"})
    assert run(world).returncode == 0
    folder = external(world) / "python-packages" / "dep_folder"
    folder.rename(folder.with_name("moved"))
    folder.symlink_to(world.top / "victim")
    (world.packages / DEPENDENCY).unlink()
    done = run(world)
    assert done.returncode == 0, done.stderr
    assert (world.top / "victim" / "secret.txt").read_text() == "untouched"
    assert not (folder.parent / "dep-1.0.dist-info").exists()
