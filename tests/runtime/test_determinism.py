"""Same inputs, same tree: names, bytes, modes and times, whoever installs, where and with what.

The real zipapp runs as a process of its own in every surrounding.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.factories.wheels import WheelFactory
from tests.runtime.conftest import BundleFactory, Pod

from lls_provider.bundle.zipapp import zipapp_path
from lls_provider.errors import SdkError
from lls_provider.wheels.interpreter import find_interpreter

if TYPE_CHECKING:
    Snapshot = dict[str, tuple[int, int, bytes]]

pytestmark = pytest.mark.slow

FIXED_TIME = 315_532_800 * 10**9  # 1980-01-01


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that every user may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def images(place: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three provider images: the second replaces a package of the first, the third keeps it."""
    make_wheel = WheelFactory(tmp_path_factory.mktemp("wheels"))
    make_bundle = BundleFactory(tmp_path_factory.mktemp("bundles"), make_wheel)
    commands = "[console_scripts]\ntool = tool:main\n"
    tool = make_wheel(
        "tool",
        files={
            "tool/__init__.py": "def main(): pass\n",
            "tool/größe.txt": "UTF-8 ✓",
            "tool/run.sh": "#!/bin/sh\n",
            "tool/big.bin": bytes(range(256)) * 40_000,
            "tool-1.0.data/scripts/old": "#!python\n",
            "tool-1.0.data/data/share/tool.json": "{}",
            "tool-1.0.dist-info/entry_points.txt": commands,
        },
        modes={"tool/run.sh": 0o700, "tool/__init__.py": 0o600},
    )
    spaces = [make_wheel(f"space-{name}", files={f"space/{name}.py": name}) for name in "abc"]
    old, new = make_wheel("dep", "1.0"), make_wheel("dep", "2.0")
    bundles = [
        make_bundle("one", requires=["dep", "tool"], dependencies=[old, tool, spaces[0]]),
        make_bundle("two", requires=["dep>=2"], dependencies=[new, *spaces[1:]]),
        make_bundle("three", requires=["dep", "tool"], dependencies=[new, tool, *spaces]),
    ]
    return [Path(shutil.copytree(it, place / it.name)) for it in bundles]


@pytest.fixture(scope="module")
def installed(place: Path) -> Callable[..., Snapshot]:
    zipapp = Path(shutil.copy(zipapp_path(), place / "lls-provider.pyz"))
    numbers = iter(range(100))

    def install(
        images: Sequence[Path],
        *prefix: str,
        python: str = sys.executable,
        umask: int = -1,
        env: dict[str, str] | None = None,
    ) -> Snapshot:
        pod = Pod(place / f"volume-{next(numbers)}")
        pod.root.mkdir()
        pod.root.chmod(0o777)
        for order, source in enumerate(images):
            done = subprocess.run(
                [
                    *(*prefix, python, "-I", "-S", str(zipapp), "install", "--api", "inference"),
                    *("--provider-id", f"p{order}", "--image", f"example.com/p{order}:1"),
                    *("--order", str(order), "--source", str(source), "--root", str(pod.root)),
                    *("--python-tag", "cp312"),
                ],
                capture_output=True,
                text=True,
                check=False,
                cwd="/",
                env=env or {},
                umask=umask,
            )
            assert done.returncode == 0, done.stderr
        found: Snapshot = pod.snapshot()
        return found

    return install


@pytest.fixture(scope="module")
def reference(images: list[Path], installed: Callable[..., Snapshot]) -> Snapshot:
    """The tree that all others must equal."""
    return installed(images)


def test_times_and_modes_are_fixed(reference: Snapshot) -> None:
    tree = reference
    assert {time for _, time, _ in tree.values()} == {FIXED_TIME}
    modes = {oct(mode) for mode, _, _ in tree.values()}
    assert modes == {"0o40775", "0o100644", "0o100755"}
    packages = "external-providers/python-packages"
    assert tree[f"{packages}/tool/run.sh"][0] == 0o100755
    assert tree[f"{packages}/tool/__init__.py"][0] == 0o100644
    assert f"{packages}/dep-2.0.dist-info/METADATA" in tree
    assert f"{packages}/dep-1.0.dist-info" not in tree


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_the_umask_does_not_matter(
    images: list[Path], installed: Callable[..., Snapshot], reference: Snapshot, umask: int
) -> None:
    assert installed(images, umask=umask) == reference


@pytest.mark.parametrize(
    "env",
    [
        {"TZ": "Pacific/Kiritimati"},
        {"TZ": "America/Los_Angeles", "SOURCE_DATE_EPOCH": "1"},
        {"LC_ALL": "C"},
        {"LC_ALL": "C.UTF-8", "LANG": "tr_TR.UTF-8"},
        {"LC_ALL": "nowhere.ISO-8859-1", "PYTHONIOENCODING": "ascii"},
        {"PYTHONHASHSEED": "1", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/nowhere"},
    ],
    ids=lambda env: next(iter(env.items()))[1].replace("/", "-"),
)
def test_time_zone_and_locale_do_not_matter(
    images: list[Path], installed: Callable[..., Snapshot], reference: Snapshot, env: dict[str, str]
) -> None:
    assert installed(images, env=env) == reference


def test_the_user_does_not_matter(
    images: list[Path], installed: Callable[..., Snapshot], reference: Snapshot
) -> None:
    prefix = ("setpriv", "--reuid", "54321", "--regid", "0", "--clear-groups", "--no-new-privs")
    _need(*prefix, "true")
    assert installed(images, *prefix, python=_debian_python()) == reference


def test_the_number_of_workers_does_not_matter(
    images: list[Path], installed: Callable[..., Snapshot], reference: Snapshot
) -> None:
    """One processor means one process; no allowance for processes means none besides ours."""
    first = str(min(os.sched_getaffinity(0)))
    assert installed(images, "taskset", "--cpu-list", first) == reference
    uid = ("setpriv", "--reuid", "54322", "--regid", "0", "--clear-groups")
    _need(*uid, "true")
    alone = installed(images, *uid, "prlimit", "--nproc=1", python=_debian_python())
    assert alone == reference


def test_the_order_of_files_in_the_image_does_not_matter(
    images: list[Path], installed: Callable[..., Snapshot], reference: Snapshot, place: Path
) -> None:
    turned = []
    for image in images:
        copy = place / f"turned-{image.name}"
        for path in sorted(image.rglob("*"), reverse=True):
            if path.is_file():
                target = copy / path.relative_to(image)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
        turned.append(copy)
    assert installed(turned) == reference


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_the_python_that_installs_does_not_matter(
    images: list[Path], installed: Callable[..., Snapshot], reference: Snapshot, minor: int
) -> None:
    try:
        python = find_interpreter(exactly=(3, minor)).path
    except SdkError:
        assert "CI" not in os.environ, f"CI must have Python 3.{minor}"
        pytest.skip(f"this machine has no Python 3.{minor}")
    assert installed(images, python=str(python)) == reference


def _debian_python() -> str:
    """A Python that other users may run."""
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    return python or sys.executable


def _need(*command: str) -> None:
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        assert "CI" not in os.environ, f"{command[0]} must work in CI"
        pytest.skip(f"{command[0]} is not permitted here")
