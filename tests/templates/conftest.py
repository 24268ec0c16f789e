"""The SDK as its users install it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from uv import find_uv_bin

from lls_provider.resources import checkout


@pytest.fixture(scope="session")
def sdk_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout. Its zipapp has the pinned libraries, that of a checkout may not."""
    folder, root = tmp_path_factory.mktemp("wheel"), checkout()
    assert root is not None
    uv = str(find_uv_bin())
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", folder, root], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel
