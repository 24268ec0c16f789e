"""Homes and caches as containers and CI have them: none, someone else's, read-only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from tests.engines.pythonbase import copied_python
from tests.factories.projects import backend

from lls_provider.bundle.zipapp import zipapp_path

pytestmark = pytest.mark.slow

Built = Callable[..., "subprocess.CompletedProcess[str]"]

# a user whose id has no account; it reads what the SDK's own environment is in, and no more
STRANGER = (
    *("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)
BACKEND = backend(files=repr({"demo/__init__.py": "", "demo/provider.py": ""}), requires=["helper"])
PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "demo"
version = "1.0"
dependencies = ["helper"]

[tool.lls-provider]
api = "inference"
provider-type = "remote::demo"
module = "demo"
vendor = "Acme"
"""


@pytest.fixture(scope="module")
def python() -> Iterator[Path]:
    """A Python where every user may run it."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield copied_python(Path(name), (3, 12))


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user may enter, with a project; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        package = folder / "project" / "demo"
        package.mkdir(parents=True)
        for file, text in {
            package / "__init__.py": "",
            package / "provider.py": "",
            package.parent / "backend.py": BACKEND,
            package.parent / "pyproject.toml": PYPROJECT,
            folder / "file": "",
        }.items():
            file.write_text(text)
        for writable in ("out", "caches", "working"):
            (folder / writable).mkdir()
            (folder / writable).chmod(0o777)
        (folder / "home").mkdir()  # which only its owner can write
        yield folder


@pytest.fixture
def built(
    place: Path, python: Path, make_wheel: Callable[..., Path], engine: Callable[[str], str]
) -> Built:
    """Build the project as a user without account, with these variables alone."""
    engine("setpriv")
    if subprocess.run([*STRANGER, "true"], capture_output=True, check=False).returncode != 0:
        assert os.environ.get("CI") != "true", "setpriv must work in CI"
        pytest.skip("another user's id is not permitted here")
    zipapp_path()  # a checkout makes it where it is
    wheelhouse = shutil.copytree(make_wheel("helper").parent, place / "wheelhouse")

    def run(variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        shutil.rmtree(place / "out" / "image", ignore_errors=True)
        return subprocess.run(
            [
                *(*STRANGER, sys.executable, "-m", "lls_provider.cli", "build"),
                *(place / "project", "--base", "scratch", "--python", python),
                *("--output", f"oci:{place / 'out' / 'image'}"),
                *("--find-links", wheelhouse, "--offline"),
            ],
            env={"PATH": os.environ["PATH"], **variables},
            cwd=place / "working",
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("variables", "cache"),
    [
        ({}, "/.cache/uv"),
        ({"HOME": ""}, "/.cache/uv"),
        ({"HOME": "/nonexistent"}, "/nonexistent/.cache/uv"),
        ({"HOME": "{place}/home"}, "{place}/home/.cache/uv"),
        ({"HOME": "{place}/file"}, "{place}/file/.cache/uv"),
        ({"HOME": "{place}/caches", "XDG_CACHE_HOME": "{place}/home"}, "{place}/home/uv"),
        ({"HOME": "{place}/caches", "LLS_PROVIDER_CACHE": "{place}/home"}, "{place}/home/uv"),
        ({"HOME": "/nonexistent", "LLS_PROVIDER_CACHE": "{place}/file"}, "{place}/file/uv"),
        ({"HOME": "{place}/caches", "UV_CACHE_DIR": "{place}/home"}, "{place}/home"),
        (
            {"LLS_PROVIDER_CACHE": "{place}/caches", "UV_CACHE_DIR": "{place}/home/uv"},
            "{place}/home/uv",
        ),
        (
            {"HOME": "/nonexistent", "UV_CACHE_DIR": "{place}/caches/uv"},
            "/nonexistent/.cache/lls-provider",
        ),
    ],
    ids=str,
)
def test_a_cache_that_cannot_be_written_is_one_error_whose_advice_helps(
    built: Built, place: Path, variables: dict[str, str], cache: str
) -> None:
    told = {name: value.format(place=place) for name, value in variables.items()}
    done = built(told)
    assert done.returncode == 3, done.stderr
    assert f"ERROR: Cannot write the cache {cache.format(place=place)}\n" in done.stderr
    assert not list((place / "working").iterdir())
    # as the resolution says
    found = re.search(r"Resolution: Set (\w+)(?:, which names it,)? to a directory", done.stderr)
    assert found is not None
    mended = built({**told, found[1]: str(place / "caches" / "own")})
    assert mended.returncode == 0, mended.stderr
    assert (place / "out" / "image" / "index.json").is_file()
    assert not list((place / "working").iterdir())


def test_both_caches_lie_below_the_variable(built: Built, place: Path) -> None:
    done = built({"HOME": "/nonexistent", "LLS_PROVIDER_CACHE": str(place / "caches")})
    assert done.returncode == 0, done.stderr
    assert (place / "caches" / "uv" / "CACHEDIR.TAG").is_file()


def test_a_cache_that_somebody_else_filled_is_told(built: Built, place: Path) -> None:
    """As `sudo` leaves it: the directory itself can be written, what is in it cannot."""
    (place / "caches" / "uv" / "sdists-v11").mkdir(parents=True)
    for folder in ("uv", "native"):
        (place / "caches" / folder).mkdir(exist_ok=True)
    done = built({"HOME": "/nonexistent", "LLS_PROVIDER_CACHE": str(place / "caches")})
    assert done.returncode == 3, done.stderr
    assert f"ERROR: Cannot write the cache {place / 'caches' / 'uv'}\n" in done.stderr
