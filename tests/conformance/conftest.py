"""Command lines of implementations: the zipapp, and the specification's shell and pip."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lls_provider.bundle.zipapp import zipapp_path

PIP_INSTALLER = Path(__file__).parent / "pip-installer.sh"


@pytest.fixture(scope="session")
def zipapp() -> str:
    """How the zipapp starts in a Pod."""
    return shlex.join([sys.executable, "-I", "-S", str(zipapp_path())])


@pytest.fixture
def pip_installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The shell script, with a ``python3`` on its PATH that has pip."""
    directory = Path(sys.executable).parent
    if importlib.util.find_spec("pip") is None:  # an environment that uv made
        subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "pip")], check=True)
        directory = tmp_path / "pip" / "bin"
    assert (directory / "python3").exists()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    return f"sh {shlex.quote(str(PIP_INSTALLER))} {{source}} {{root}}"
