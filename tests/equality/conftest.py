"""The same pinned wheels, installed by pip and by the zipapp."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.factories.providers import provider_document, write_bundle

from lls_provider.bundle.zipapp import zipapp_path
from lls_provider.system.cache import cache_root, locked
from lls_provider.wheels.interpreter import find_interpreter

HERE = Path(__file__).parent
OWN = "llama_stack_provider_lmeval"


@dataclass(frozen=True)
class Trees:
    """Two installed trees of the same wheels."""

    pip: Path
    ours: Path
    wheels: tuple[Path, ...]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Trees:
    if os.uname().machine != "x86_64":
        pytest.skip("the pinned wheels are for x86_64")
    python = find_interpreter(exactly=(3, 12)).path
    folder = tmp_path_factory.mktemp("equality")
    wheels = _download(python, "wheels.txt")
    return Trees(
        pip=_by_pip(python, wheels, folder / "pip"),
        ours=_by_us(python, wheels, folder),
        wheels=tuple(sorted(wheels.glob("*.whl"))),
    )


def _download(python: Path, name: str) -> Path:
    """The files of a list, kept in the cache under the list's hash."""
    requirements = HERE / name
    key = hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    folder = cache_root() / "equality" / key
    with locked(folder.with_name(f"{key}.lock")):
        if not (folder / ".complete").is_file():
            command = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            command += ["--require-hashes", "--dest", str(folder), "-r", str(requirements)]
            _run([str(python), *command])
            (folder / ".complete").touch()
    return folder


def _by_pip(python: Path, wheels: Path, target: Path) -> Path:
    pip = next(_download(python, "pip.txt").glob("pip-*.whl"))
    # by name, not by path: a path would be noted in direct_url.json
    arguments = ["install", "--target", str(target), "--no-deps", "--no-compile", "--no-index"]
    arguments += ["--find-links", str(wheels), "--require-hashes", "-r", str(HERE / "wheels.txt")]
    _run([str(python), f"{pip}/pip", "--isolated", "--disable-pip-version-check", *arguments])
    return target


def _by_us(python: Path, wheels: Path, folder: Path) -> Path:
    source, root = folder / "lls-provider", folder / "volume"
    own = next(wheels.glob(f"{OWN}-*.whl")).name
    document = provider_document(
        "lmeval", wheel=own, packageName=OWN, providerType="remote::trustyai_lmeval", api="eval"
    )
    write_bundle(source, wheels.glob("*.whl"), document)
    arguments = ["--provider-id", "lmeval", "--api", "eval", "--image", "example.com/lmeval:1"]
    arguments += ["--source", str(source), "--root", str(root), "--python-tag", "cp312"]
    _run([str(python), "-I", "-S", str(zipapp_path()), "install", *arguments])
    return root / "external-providers" / "python-packages"


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, umask=0o022, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
