"""The watch sees what leaves nothing behind: without it a refusal would prove less."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.factories.wheels import record_hash
from tests.hostile.conftest import outside_of_staging
from tests.hostile.crafted import WHEEL, wheel
from tests.hostile.watch import watching

from lls_provider.errors import SdkError
from lls_provider.runtime.install.install import install

if TYPE_CHECKING:
    from tests.hostile.conftest import World


def test_what_is_written_and_taken_away_again_is_seen(world: World) -> None:
    folder = world.top / "victim"
    with watching() as changes:
        (folder / "new").write_text("evil")
        (folder / "new").rename(folder / "newer")
        descriptor = os.open(folder, os.O_RDONLY)
        os.remove("newer", dir_fd=descriptor)
        os.close(descriptor)
    seen = [
        *(("open", folder / "new"), ("os.rename", folder / "new"), ("os.rename", folder / "newer")),
        ("os.remove", folder / "newer"),
    ]
    assert changes == seen
    assert outside_of_staging(world, changes) == seen


def test_a_name_behind_a_link_is_seen_where_it_is(world: World) -> None:
    external = world.root / "external-providers"
    (external / ".staging").symlink_to(world.top / "victim")
    with watching() as changes:
        (external / ".staging" / "new").mkdir()
    assert outside_of_staging(world, changes) == [("os.mkdir", world.top / "victim" / "new")]


def test_a_process_is_seen(world: World) -> None:
    with watching() as changes:
        subprocess.run([sys.executable, "-c", ""], check=True)
    assert ("subprocess.Popen", None) in outside_of_staging(world, changes)


def test_nothing_is_seen_when_nobody_watches(tmp_path: Path) -> None:
    with watching() as changes:
        pass
    (tmp_path / "new").touch()
    assert changes == []


def test_what_a_refused_installation_writes_is_seen(world: World) -> None:
    """So an empty list of what is outside of the staging directory means something."""
    data = wheel(record=lambda text: text.replace(record_hash(b""), record_hash(b"other")))
    (world.packages / WHEEL).write_bytes(data)
    with pytest.raises(SdkError), watching() as changes:
        install(world.request(), workers=1)
    names = {path.name for _, path in changes if path is not None}
    assert {".staging", "lls-provider-spec.yaml", "__init__.py"} <= names
    assert outside_of_staging(world, changes) == []
