"""The zipapp as the Pod runs it: a process of its own that needs nothing but a Python."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider import __version__
from lls_provider.bundle.zipapp import zipapp_path

if TYPE_CHECKING:
    MakeBundle = Callable[..., Path]
    MakeWheel = Callable[..., Path]
    Pod = Any

pytestmark = pytest.mark.slow

_SYSTEM_PYTHON = Path("/usr/bin/python3")
PYTHON = str(_SYSTEM_PYTHON if _SYSTEM_PYTHON.exists() else sys.executable)


@pytest.fixture
def zipapp(tmp_path: Path) -> Path:
    return Path(shutil.copy(zipapp_path(), tmp_path / "lls-provider.pyz"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory that every user may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _arguments(pod: Pod, source: Path, *more: str) -> list[str]:
    return [
        "install",
        *("--provider-id", "acme-echo", "--api", "inference", "--image", "acme/echo:1"),
        *("--source", str(source), "--root", str(pod.root)),
        *more,
    ]


def _run(
    zipapp: Path, arguments: Sequence[str], *prefix: str, **more: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, PYTHON, "-I", "-S", str(zipapp), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=more.pop("env", {}),
        **more,
    )


def _permitted(*command: str) -> bool:
    return subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0


_COUNTING = """
import collections, sys
compiled = collections.Counter()
sys.addaudithook(lambda event, args: compiled.update([args[1]]) if event == "compile" else None)
sys.path.insert(0, sys.argv[1])
from lls_provider.runtime import __main__ as entry
compiled.clear()
entry._compile_once()
import lls_provider.runtime.install.install
print(*(count for file, count in compiled.items() if str(file).startswith(sys.argv[1])))
print(lls_provider.runtime.install.install.__file__)
"""


def test_each_module_is_compiled_once(zipapp: Path) -> None:
    done = subprocess.run(
        [PYTHON, "-I", "-S", "-c", _COUNTING, zipapp], capture_output=True, text=True, check=True
    )
    counts, file = done.stdout.splitlines()
    assert len(counts.split()) > 40
    assert set(counts.split()) == {"1"}
    assert file == f"{zipapp}/lls_provider/runtime/install/install.py"


def test_it_tells_its_version(zipapp: Path) -> None:
    result = _run(zipapp, ["--version"])
    assert (result.returncode, result.stdout) == (0, f"lls-provider {__version__}\n")


def test_all_three_phases_run_without_any_package(
    zipapp: Path, pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    source = make_bundle(requires=["dep"], dependencies=[make_wheel("dep")])
    assert _run(zipapp, _arguments(pod, source)).returncode == 0
    copy = pod.external / "bin" / "lls-provider.pyz"
    assert copy.read_bytes() == zipapp.read_bytes()
    base = pod.root / "base-config" / "run.yaml"
    base.parent.mkdir()
    base.write_text("version: 2\n")
    merged = _run(copy, ["merge", "--root", str(pod.root)])
    assert (merged.returncode, merged.stderr) == (0, "")
    run_yaml = pod.root / "config" / "run.yaml"
    checked = _run(copy, ["preflight", "--run-yaml", str(run_yaml), "--root", str(pod.root)])
    assert checked.returncode == 0
    assert checked.stdout == "All providers validated successfully\n"


def test_a_rerun_says_so_and_imports_nothing_heavy(
    zipapp: Path, pod: Pod, make_bundle: MakeBundle
) -> None:
    source = make_bundle()
    _run(zipapp, _arguments(pod, source))
    before = pod.snapshot()
    result = subprocess.run(
        [PYTHON, "-X", "importtime", "-I", "-S", str(zipapp), *_arguments(pod, source)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "'acme-echo' is installed already" in result.stderr
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    heavy = {"yaml", "packaging", "dataclasses", "typing", "pathlib", "lls_provider.errors"}
    assert not heavy & imported
    assert pod.snapshot() == before


def test_arguments_may_come_from_the_environment(
    zipapp: Path, pod: Pod, make_bundle: MakeBundle
) -> None:
    env = {
        "LLS_PROVIDER_ID": "acme-echo",
        "LLS_PROVIDER_API": "inference",
        "LLS_PROVIDER_IMAGE": "acme/echo:1",
        "LLS_INIT_CONTAINER": "the-container",
        "LLS_PROVIDER_ORDER": "7",
        "LLS_PROVIDER_CONFIG": '{"a": 1e3}',
        "LLS_TARGET_PYTHON": "",
    }
    where = ["--source", str(make_bundle()), "--root", str(pod.root)]
    assert _run(zipapp, ["install", *where], env=env).returncode == 0
    crd = (pod.external / "metadata" / "acme-echo" / "crd-config.yaml").read_text()
    assert "a: 1000.0" in crd
    assert "initContainerName: the-container" in crd
    assert "order: 7" in crd


def test_confined_as_in_a_cluster_it_installs_all_the_same(
    zipapp: Path, make_pod: Any, make_bundle: MakeBundle, make_wheel: MakeWheel, open_folder: Path
) -> None:
    """No network, any uid, umask 077, everything read-only but the volume."""
    pod = make_pod(str(open_folder / "volume"))
    pod.root.mkdir()
    pod.root.chmod(0o777)
    script = 'mount --make-rprivate / && mount --bind "$1" "$1" && mount -o remount,ro,bind / '
    script += "&& { [ ! -d /dev/shm ] || mount -o remount,ro,bind /dev/shm || true; } "
    script += '&& umask 077 && shift && exec "$@"'
    prefix = ("unshare", "--net", "--mount", "sh", "-c", script, "sh", str(pod.root))
    dropped = ("setpriv", "--reuid", "12345", "--regid", "0", "--clear-groups", "--no-new-privs")
    if not _permitted(*prefix, *dropped):
        assert os.environ.get("CI") != "true", "unshare, mount and setpriv must work in CI"
        pytest.skip("unshare, mount or setpriv is not permitted here")
    bundle = make_bundle(requires=["dep"], dependencies=[make_wheel("dep")])
    source = shutil.copytree(bundle, open_folder / "lls-provider")
    zipapp = Path(shutil.copy(zipapp, open_folder))  # it may be on another file system
    log = pod.root / "termination-log"
    log.write_text("")
    log.chmod(0o666)
    arguments = _arguments(pod, source, "--termination-log", str(log))
    result = _run(zipapp, arguments, *prefix, *dropped)
    assert result.returncode == 0, result.stderr
    assert {path.stat().st_uid for path in pod.external.rglob("*")} == {12345}
    assert not {oct(p.stat().st_mode) for p in pod.external.rglob("*.py")} - {"0o100644"}
    again = _run(zipapp, arguments, *prefix, *dropped)
    assert "installed already" in again.stderr
    refused = _run(zipapp, [*arguments, "--api", "safety"], *prefix, *dropped)
    assert refused.returncode == 1
    assert log.read_text() == refused.stderr[refused.stderr.index("ERROR:") :]


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        (["--api", "safety"], 1, "Move the provider to externalProviders.inference section"),
        (["--api", "nope"], 2, "'nope' is not a server API"),
        (["--provider-id", "../x"], 2, "providerId"),
        (["--order", "first"], 2, "invalid int value"),
        (["--unknown"], 2, "unrecognized arguments"),
        (["--config", "{"], 1, "--config:1:"),
        (["--config", '{"a": 1, "a": 2}'], 1, "--config:1:10"),
        (["--config", "[1]"], 1, "is not a mapping"),
        (["--config", "x", "--config-file", "y"], 2, "not allowed with"),
        (["--config-file", "/nowhere.json"], 1, "/nowhere.json"),
        (["--source", "/nowhere"], 1, "Missing /lls-provider/lls-provider-spec.yaml"),
        (["--root", "/proc/nowhere"], 3, "The volume failed"),
    ],
)
def test_what_cannot_be_has_its_status_and_message(
    zipapp: Path,
    pod: Pod,
    make_bundle: MakeBundle,
    change: list[str],
    status: int,
    text: str,
) -> None:
    result = _run(zipapp, [*_arguments(pod, make_bundle()), *change])
    assert result.returncode == status
    assert text in result.stderr
    assert "Traceback" not in result.stderr
    assert "\n\nResolution: " in result.stderr
    assert not pod.root.exists()


@pytest.mark.parametrize(
    "arguments",
    [["install"], ["install", "--order", "first"], ["nope"], []],
    ids=["nothing given", "a bad number", "no command of ours", "no command"],
)
@pytest.mark.parametrize("form", ["--termination-log={}", "--termination-log {}"])
def test_bad_usage_is_told_in_the_status_of_the_pod(
    zipapp: Path, tmp_path: Path, arguments: list[str], form: str
) -> None:
    log = tmp_path / "log"
    log.touch()
    result = _run(zipapp, [*arguments, *form.format(log).split()])
    assert result.returncode == 2
    assert result.stderr.startswith("usage: lls-provider.pyz")
    assert log.read_text().startswith("ERROR: ")
    assert result.stderr.endswith("\n\n" + log.read_text())
    assert "\n\nResolution: " in log.read_text()


def test_a_configuration_that_is_a_pipe_is_not_waited_for(
    zipapp: Path, pod: Pod, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    more = ["--config-file", str(tmp_path / "pipe")]
    result = _run(zipapp, [*_arguments(pod, make_bundle()), *more])
    assert result.returncode == 1
    assert "it is not a regular file" in result.stderr


def test_a_missing_command_or_argument_is_bad_usage(zipapp: Path) -> None:
    assert _run(zipapp, []).returncode == 2
    assert "--provider-id" in _run(zipapp, ["install"]).stderr
    assert _run(zipapp, ["preflight"]).returncode == 2
    assert _run(zipapp, ["preflight", "--run-yaml", "/nowhere"]).returncode == 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_with_its_status_and_leaves_no_staging(
    zipapp: Path,
    pod: Pod,
    make_bundle: MakeBundle,
    make_wheel: MakeWheel,
    number: signal.Signals,
    status: int,
) -> None:
    files = {f"many/m{index}.py": str(index) for index in range(9_000)}
    source = make_bundle(dependencies=[make_wheel("many", files=files)])
    process = subprocess.Popen(
        [PYTHON, "-I", "-S", str(zipapp), *_arguments(pod, source)],
        stderr=subprocess.PIPE,
        text=True,
        env={},
    )
    deadline = time.monotonic() + 30
    while not (pod.external / ".staging" / "packages").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == status, stderr
    assert "Traceback" not in stderr
    assert not (pod.external / ".staging").exists()
    assert not (pod.external / "metadata").exists()


_STOP = "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n"
_STOP_UNHEARD = f"""
class _Dropped:
    def __del__(self):
        exec({_STOP!r})
_Dropped()
"""


@pytest.mark.parametrize(
    ("command", "module", "text"),
    [
        ("install", "cli/arguments", _STOP),
        ("install", "cli/commands", _STOP),
        ("install", "install/install", _STOP),
        ("install", "wheelfile/unpack", _STOP),
        ("merge", "merge", _STOP),
        ("merge", "merge", _STOP_UNHEARD),
        ("preflight", "preflight/preflight", _STOP),
        ("preflight", "preflight/preflight", _STOP_UNHEARD),
    ],
)
@pytest.mark.parametrize("prefix", [(), ("unshare", "--pid", "--fork")], ids=["", "as PID 1"])
def test_a_signal_while_it_imports_ends_it_with_143(
    zipapp: Path,
    pod: Pod,
    make_bundle: MakeBundle,
    tmp_path: Path,
    command: str,
    module: str,
    text: str,
    prefix: tuple[str, ...],
) -> None:
    """The first process of a container is sent no signal that it has no handler for."""
    if prefix and not _permitted(*prefix):
        pytest.skip("no namespace for processes here")
    stopping = tmp_path / "stopping.pyz"
    name = f"lls_provider/runtime/{module}.py"
    begin = "from __future__ import annotations\n"
    with zipfile.ZipFile(zipapp) as old, zipfile.ZipFile(stopping, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename == name:
                data = data.replace(begin.encode(), (begin + text).encode(), 1)
                assert text.encode() in data
            new.writestr(info, data)
    pod.install(make_bundle())
    pod.root.joinpath("base-config").mkdir()
    base = pod.root / "base-config" / "run.yaml"
    base.write_text("version: 2\nproviders: {}\n")
    more = {
        "install": _arguments(pod, make_bundle("other"), "--provider-id", "other"),
        "merge": ["merge", "--root", str(pod.root)],
        "preflight": ["preflight", "--root", str(pod.root), "--run-yaml", str(base)],
    }
    before = pod.snapshot()
    result = _run(stopping, more[command], *prefix)
    assert result.returncode == 143, result.stderr
    assert pod.snapshot() == before


def test_a_process_that_was_killed_leaves_no_lock_and_the_rerun_is_clean(
    zipapp: Path, pod: Pod, make_pod: Any, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    files = {f"many/m{index}.py": str(index) for index in range(2_000)}
    source = make_bundle(dependencies=[make_wheel("many", files=files)])
    process = subprocess.Popen(
        [PYTHON, "-I", "-S", str(zipapp), *_arguments(pod, source)],
        stderr=subprocess.DEVNULL,
        env={},
    )
    while not (pod.external / ".staging" / "packages").exists():
        assert process.poll() is None
    process.kill()
    process.wait()
    assert _run(zipapp, _arguments(pod, source)).returncode == 0
    clean = make_pod("clean")
    assert _run(zipapp, _arguments(clean, source)).returncode == 0
    assert pod.snapshot() == clean.snapshot()


def test_two_at_once_serialise(zipapp: Path, pod: Pod, make_bundle: MakeBundle) -> None:
    sources = {name: make_bundle(name) for name in ("one", "two", "three", "four")}
    processes = [
        subprocess.Popen(
            [
                *(PYTHON, "-I", "-S", str(zipapp)),
                *_arguments(pod, source, "--provider-id", name, "--order", str(order)),
            ],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={},
        )
        for order, (name, source) in enumerate(sources.items())
    ]
    assert [process.wait(timeout=60) for process in processes] == [0] * 4
    lines = (pod.external / "installed-packages.txt").read_text().splitlines()
    assert lines == [f"{name}==1.0  # {name}" for name in sources]


def test_a_reader_that_is_gone_does_not_change_the_status(
    zipapp: Path, pod: Pod, make_bundle: MakeBundle
) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        result = subprocess.run(
            [PYTHON, "-I", "-S", str(zipapp), *_arguments(pod, make_bundle())],
            stdout=write_end,
            stderr=write_end,
            env={},
            check=False,
        )
    finally:
        os.close(write_end)
    assert result.returncode == 0


def _of_version(zipapp: Path, version: str, path: Path) -> Path:
    """The same zipapp that says that it is of another version."""
    with zipfile.ZipFile(zipapp) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename == "lls_provider/__init__.py":
                data = data.replace(f'"{__version__}"'.encode(), f'"{version}"'.encode())
            new.writestr(info, data)
    return path


def test_the_newest_zipapp_stays_on_the_volume(
    zipapp: Path, pod: Pod, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    newer = _of_version(zipapp, "99.0", tmp_path / "newer.pyz")
    copy = pod.external / "bin" / "lls-provider.pyz"
    for app, provider in ((zipapp, "a"), (newer, "b"), (zipapp, "c")):
        arguments = _arguments(pod, make_bundle(provider), "--provider-id", provider)
        assert _run(app, arguments).returncode == 0
        assert copy.read_bytes() == (zipapp if provider == "a" else newer).read_bytes()


OLDEST_FIRST = (
    "no version",
    "1.0.0.dev3",
    "1.0.0a1",
    "1.0.0rc1",
    "1.0.0",
    "1.0.0+acme.2",
    "1.0.0+acme.10",
    "1.0.0.post1",
    "1.2",
    "1.10",
    "1!0.1",
)


@pytest.mark.parametrize(("older", "newer"), list(itertools.pairwise(OLDEST_FIRST)))
@pytest.mark.parametrize("newer_first", [True, False])
def test_the_newest_is_found_by_pep_440(
    zipapp: Path,
    pod: Pod,
    make_bundle: MakeBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    older: str,
    newer: str,
    newer_first: bool,
) -> None:
    apps = [_of_version(zipapp, it, tmp_path / f"{it}.pyz") for it in (older, newer)]
    for provider, app in zip("ab", apps[:: -1 if newer_first else 1], strict=True):
        monkeypatch.setattr(
            "lls_provider.runtime.install.install.running_zipapp", lambda app=app: app
        )
        pod.install(make_bundle(provider), provider, order="ab".index(provider))
    copy = pod.external / "bin" / "lls-provider.pyz"
    assert copy.read_bytes() == apps[1].read_bytes()


@pytest.mark.parametrize(
    "text",
    [b"", b'__version__ = "\xff\xfe"\n', b'__version__ = "1.' + b"9" * 5000 + b'"\n'],
    ids=["none", "no UTF-8", "too many digits"],
)
def test_a_zipapp_without_a_version_gives_way(
    zipapp: Path,
    pod: Pod,
    make_bundle: MakeBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: bytes,
) -> None:
    other = tmp_path / "other.pyz"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("lls_provider/__init__.py", text)
    for provider, app in (("a", other), ("b", zipapp)):
        monkeypatch.setattr(
            "lls_provider.runtime.install.install.running_zipapp", lambda app=app: app
        )
        pod.install(make_bundle(provider), provider, order="ab".index(provider))
    assert (pod.external / "bin" / "lls-provider.pyz").read_bytes() == zipapp.read_bytes()


def test_the_sdk_runs_the_same_code(pod: Pod, make_bundle: MakeBundle) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "lls_provider.runtime", *_arguments(pod, make_bundle())],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Installed provider 'acme-echo' (order 0): 1 package" in result.stdout
    record = json.loads((pod.external / "metadata" / "acme-echo" / "installed.json").read_text())
    assert record["providerId"] == "acme-echo"
