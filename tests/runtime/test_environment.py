"""Places that lack something: each gives its error or works, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.bundle.zipapp import zipapp_path

if TYPE_CHECKING:
    MakeBundle = Callable[..., Path]
    MakeWheel = Callable[..., Path]
    Pod = Any
    MakePod = Callable[[str], Any]

pytestmark = pytest.mark.slow

_SYSTEM_PYTHON = Path("/usr/bin/python3")
PYTHON = str(_SYSTEM_PYTHON if _SYSTEM_PYTHON.exists() else sys.executable)
OTHER_USER = ("setpriv", "--reuid", "12345", "--regid", "0", "--clear-groups", "--no-new-privs")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user may enter, with the zipapp in it; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copy(zipapp_path(), folder / "lls-provider.pyz")
        yield folder


def _permitted(prefix: Sequence[str]) -> None:
    done = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    if done.returncode != 0:
        assert os.environ.get("CI") != "true", f"{prefix[0]} must work in CI"
        pytest.skip(f"{' '.join(prefix)[:60]} is not permitted here")


def _install(
    place: Path, source: Path, root: Path, *prefix: str, order: int = 0, log: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(*prefix, PYTHON, "-I", "-S", str(place / "lls-provider.pyz"), "install"),
            *("--provider-id", f"echo-{order}", "--api", "inference", "--image", "acme/echo:1"),
            *("--order", str(order), "--source", str(source), "--root", str(root)),
            *("--termination-log", str(log or place / "log")),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={},
    )


def _mounted(script: str, root: Path) -> tuple[str, ...]:
    """Run a command where ``script`` has changed mounts; ``$1`` is the volume."""
    whole = f'set -e; mount --make-rprivate /; {script}; shift; exec "$@"'
    return ("unshare", "--mount", "sh", "-c", whole, "sh", str(root))


def _refused(result: subprocess.CompletedProcess[str], what: str) -> None:
    assert result.returncode == 3, result.stderr
    assert f"ERROR: {what}" in result.stderr
    assert "\n\nResolution: " in result.stderr
    assert "Traceback" not in result.stderr


def test_a_volume_of_any_size_holds_the_provider_or_says_what_is_missing(
    place: Path, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    """A real file system of growing size: it is full at another step each time."""
    files = {f"dep/m{n}.py": os.urandom(3000) for n in range(10)}
    source = make_bundle(requires=["dep"], dependencies=[make_wheel("dep", files=files)])
    root = place / "volume"
    root.mkdir()
    script = (
        'mount -t tmpfs -o size="$2" none "$1"; '
        '"$4" -I -S "$5" install --provider-id echo --api inference --image a/b:1 '
        '--source "$3" --root "$1" || status=$?; '
        'test "${status:-0}" = 0 || test ! -e "$1/external-providers/metadata" || exit 70; '
        'test ! -e "$1/external-providers/.staging" || exit 71; '
        'mount -o remount,size=100m "$1"; '
        '"$4" -I -S "$5" install --provider-id echo --api inference --image a/b:1 '
        '--source "$3" --root "$1" 2>/dev/null || exit 72; exit "${status:-0}"'
    )
    prefix = ("unshare", "--mount", "sh", "-c", f"mount --make-rprivate /; {script}", "sh")
    _permitted(("unshare", "--mount"))
    before, full = 0, 0
    for size in range(8 * 4096, 4_000_000, 20 * 4096):
        argv = (str(root), str(size), str(source), PYTHON, str(place / "lls-provider.pyz"))
        done = subprocess.run([*prefix, *argv], capture_output=True, text=True, check=False, env={})
        if done.returncode == 0:
            break
        _refused(done, "No")
        if "Not enough space on the volume" in done.stderr:
            assert "bytes are free" in done.stderr
            before += 1
        else:
            assert "No space left while" in done.stderr
            full += 1
    assert done.returncode == 0, done.stderr
    assert before
    assert full


def test_a_read_only_volume_is_told_and_stays_as_it_is(
    place: Path, make_pod: MakePod, make_bundle: MakeBundle
) -> None:
    pod = make_pod(str(place / "volume"))
    pod.root.mkdir()
    prefix = _mounted('mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"', pod.root)
    _permitted(prefix)
    _refused(_install(place, make_bundle(), pod.root, *prefix), "The volume failed while")
    assert _install(place, make_bundle(), pod.root).returncode == 0
    before = pod.snapshot()
    refused = _install(place, make_bundle("guard"), pod.root, *prefix, order=1)
    _refused(refused, "The volume failed while")
    assert "Read-only file system" in refused.stderr
    assert pod.snapshot() == before


def test_a_volume_of_another_user_is_told(
    place: Path, make_pod: MakePod, make_bundle: MakeBundle
) -> None:
    _permitted(OTHER_USER)
    pod = make_pod(str(place / "volume"))
    source = shutil.copytree(make_bundle(), place / "bundle")
    pod.root.mkdir(mode=0o755)
    refused = _install(place, source, pod.root, *OTHER_USER)
    _refused(refused, "The volume failed while preparing the volume")
    assert "Permission denied" in refused.stderr
    assert "uid 12345, gid 0" in refused.stderr
    assert _install(place, source, pod.root).returncode == 0
    shutil.copytree(make_bundle("guard"), place / "guard")
    for path in (pod.external, *pod.external.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o022)
    before = pod.snapshot()
    refused = _install(place, place / "guard", pod.root, *OTHER_USER, order=1)
    _refused(refused, "The volume failed while")
    assert pod.snapshot() == before


def test_a_termination_log_of_another_user_changes_nothing(
    place: Path, make_pod: MakePod, make_bundle: MakeBundle
) -> None:
    _permitted(OTHER_USER)
    pod = make_pod(str(place / "volume"))
    source = shutil.copytree(make_bundle(), place / "bundle")
    pod.root.mkdir(mode=0o755)
    told = []
    for name, mode in (("open", 0o666), ("closed", 0o600)):
        log = place / name
        log.touch()
        log.chmod(mode)
        done = _install(place, source, pod.root, *OTHER_USER, log=log)
        told.append((done.returncode, done.stdout, done.stderr))
    assert told[0] == told[1]
    assert told[0][0] == 3
    assert (place / "open").read_text() in told[0][2]
    assert (place / "closed").read_text() == ""


def test_a_record_that_may_not_be_read_is_told(
    place: Path, make_pod: MakePod, make_bundle: MakeBundle
) -> None:
    _permitted(OTHER_USER)
    pod = make_pod(str(place / "volume"))
    source = shutil.copytree(make_bundle(), place / "bundle")
    assert _install(place, source, pod.root).returncode == 0
    (pod.external / "metadata" / "echo-0" / "installed.json").chmod(0o600)
    _refused(_install(place, source, pod.root, *OTHER_USER), "The volume failed while")


def test_users_of_one_group_share_a_volume(
    place: Path, make_pod: MakePod, make_bundle: MakeBundle
) -> None:
    _permitted(OTHER_USER)
    pod = make_pod(str(place / "volume"))
    pod.root.mkdir()
    pod.root.chmod(0o777)
    first = shutil.copytree(make_bundle(), place / "first")
    second = shutil.copytree(make_bundle("guard"), place / "second")
    assert _install(place, first, pod.root, *OTHER_USER).returncode == 0
    another = [part.replace("12345", "54321") for part in OTHER_USER]
    result = _install(place, second, pod.root, *another, order=1)
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in (pod.external / "metadata").iterdir()) == [
        "echo-0",
        "echo-1",
    ]


@pytest.mark.parametrize(
    "script",
    [
        "mount -o remount,ro,bind /dev/shm",
        "mount -t tmpfs -o ro none /dev/shm",
    ],
)
def test_a_dev_shm_that_is_read_only_changes_nothing(
    place: Path, make_pod: MakePod, make_bundle: MakeBundle, make_wheel: MakeWheel, script: str
) -> None:
    wheels = [make_wheel(f"dep{number}") for number in range(4)]
    source = make_bundle(dependencies=wheels)
    clean, pod = make_pod(str(place / "clean")), make_pod(str(place / "volume"))
    pod.root.mkdir()
    prefix = _mounted(script, pod.root)
    _permitted(prefix)
    assert _install(place, source, clean.root).returncode == 0
    assert _install(place, source, pod.root, *prefix).returncode == 0
    assert pod.snapshot() == clean.snapshot()


@pytest.mark.parametrize("seconds", [0, 1, 4_102_444_800], ids=["1970", "a second later", "2100"])
def test_the_clock_and_the_times_of_the_sources_change_nothing(
    make_pod: MakePod, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """A file system's clock cannot be set in a test: that of Python and the files' times are."""
    source = make_bundle()
    clean, pod = make_pod("clean"), make_pod("volume")
    clean.install(source)
    for path in source.rglob("*"):
        os.utime(path, (seconds, seconds))
    pod.root.mkdir()
    os.utime(pod.root, (seconds, seconds))
    for name, value in (("time", float(seconds)), ("time_ns", seconds * 10**9)):
        monkeypatch.setattr(f"time.{name}", lambda value=value: value)
    pod.install(source)
    pod.install(source, config={"a": 1})
    pod.install(source)
    assert pod.snapshot() == clean.snapshot()
