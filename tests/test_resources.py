"""What ships beside the code is found in a checkout and in a built wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lls_provider import resources
from lls_provider.wheels.servers import PROFILES_DIRECTORY

ROOT = Path(__file__).parents[1]


def test_a_checkout_finds_its_own() -> None:
    assert resources.checkout() == ROOT
    assert resources.data_path(PROFILES_DIRECTORY) == ROOT / PROFILES_DIRECTORY
    assert resources.read_data(f"{PROFILES_DIRECTORY}/ogx-1.5.0.json").startswith(b"{")


@pytest.fixture(scope="module")
def installed(sdk_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what the SDK's wheel installs."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(sdk_wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.network
def test_an_installed_wheel_finds_profiles_schemas_and_template(
    installed: Path, tmp_path: Path
) -> None:
    code = (
        "from lls_provider import resources\n"
        "from lls_provider.wheels.servers import read_profiles\n"
        "print(resources.checkout()); print(*(it.name for it in read_profiles())); "
        "print(resources.read_data('contract/schemas/manifest.json')[:1].decode()); "
        "print(resources.data_path('templates/provider').is_dir()); print(resources.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    checkout, names, schema, template, where = done.stdout.splitlines()
    assert checkout == "None"
    assert names == " ".join(sorted(it.stem for it in (ROOT / PROFILES_DIRECTORY).glob("*.json")))
    assert (schema, template) == ("{", "True")
    assert Path(where).is_relative_to(installed)
