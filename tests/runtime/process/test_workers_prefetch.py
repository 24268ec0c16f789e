"""What a second process reads ahead is what reading here gives, and losing it loses nothing."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.contract.limits import WheelLimits
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.install.install import install
from lls_provider.runtime.process import workers
from lls_provider.runtime.process.workers import prefetching
from lls_provider.runtime.wheelfile.contents import Contents, Headers, read_contents

if TYPE_CHECKING:
    MakeBundle = Callable[..., Path]
    MakeWheel = Callable[..., Path]
    MakePod = Callable[[str], Any]
    Pod = Any


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "worker_count", lambda: 2)
    # the process of several tests has threads of its own, which are at rest
    monkeypatch.setattr(workers, "may_fork", lambda: True)


@pytest.fixture
def bundle(make_bundle: MakeBundle, make_wheel: MakeWheel) -> Path:
    """Wheels with all that a wheel's contents can be made of."""
    scripts = make_wheel(
        "scripts",
        files={
            "scripts.py": "x = 1",
            "scripts-1.0.data/scripts/run": "#!python\nprint(1)\n",
            "scripts-1.0.data/data/share/scripts/a b.txt": "data",
            "scripts-1.0.dist-info/entry_points.txt": "[console_scripts]\nrun2 = scripts:x\n",
        },
        modes={"scripts.py": 0o755},
        requires=["d1>=1; extra == 'more'", "d2"],
    )
    spelled = make_wheel(
        "spelled", files={"Spelled-1.0.data/purelib/spelled.py": "", "ß/é.txt": "é"}
    )
    return make_bundle(dependencies=[scripts, spelled, *(make_wheel(f"d{n}") for n in range(9))])


def test_what_is_read_ahead_is_what_reading_gives(bundle: Path) -> None:
    before = _children()
    with prefetching(bundle) as ahead:
        (other,) = _children() - before
        os.waitid(os.P_PID, int(other), os.WEXITED | os.WNOWAIT)  # it has read them all
        found = ahead()
        assert _children() == before
    assert _plain(found) == _plain(_read_here(bundle))


def test_both_processes_together_read_each_wheel_once(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process is held up at its first wheel until this one has read the rest."""
    begun, released = os.pipe(), os.pipe()
    packed, read = workers._packed, workers._read
    read_here: list[str] = []

    def held_up(path: str, contents: Contents) -> tuple[Any, ...]:
        os.write(begun[1], b"1")
        os.read(released[0], 1)
        return packed(path, contents)

    def noted(*told: Any) -> Iterator[tuple[str, Contents]]:
        for path, contents in read(*told):
            read_here.append(path)
            yield path, contents
        os.write(released[1], b"1")

    monkeypatch.setattr(workers, "_packed", held_up)
    with prefetching(bundle) as ahead:
        os.close(begun[1])
        assert os.read(begun[0], 1) == b"1"
        monkeypatch.setattr(workers, "_read", noted)
        found = ahead()
    for descriptor in (begun[0], *released):
        os.close(descriptor)
    assert _plain(found) == _plain(_read_here(bundle))
    assert len(set(read_here)) == len(read_here) == len(found) - 1


@pytest.mark.parametrize("how", ["killed", "no process", "no file", "no call", "one processor"])
def test_what_the_other_process_does_not_bring_is_read_here(
    how: str, bundle: Path, pod: Pod, make_pod: MakePod, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> tuple[Any, ...]:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    def refused(*_: object) -> int:
        raise OSError(errno.EAGAIN, "none left")

    if how == "killed":
        monkeypatch.setattr(workers, "_packed", killed)
    elif how == "no process":
        monkeypatch.setattr(os, "fork", refused)
    elif how == "no file":
        monkeypatch.setattr(os, "memfd_create", refused)
    elif how == "no call":
        monkeypatch.delattr(os, "memfd_create")
    else:
        monkeypatch.setattr(workers, "worker_count", lambda: 1)
    before = _children()
    with prefetching(bundle) as ahead:
        install(pod.request(bundle), workers=1, ahead=ahead)
    assert _children() == before
    other = make_pod("other")
    other.install(bundle)
    assert pod.snapshot() == other.snapshot()


def test_of_several_broken_wheels_the_first_is_told(
    bundle: Path, make_wheel: MakeWheel, pod: Pod
) -> None:
    for name in ("bad-b", "bad-a"):
        make_wheel(
            name,
            record=lambda text: text.replace("sha256=", "md5="),
            folder=bundle / "packages",
        )
    for _ in range(5):  # whichever process meets which first
        with prefetching(bundle) as ahead, pytest.raises(SdkError) as caught:
            install(pod.request(bundle), workers=1, ahead=ahead)
        assert caught.value.code is Code.WHEEL_HASH_WEAK
        assert "bad_a" in caught.value.what


def test_no_process_is_left_when_the_block_ends_early(bundle: Path) -> None:
    before = _children()
    with pytest.raises(ZeroDivisionError), prefetching(bundle):
        assert _children() != before
        raise ZeroDivisionError
    assert _children() == before


def test_a_signal_ends_the_wait_for_a_process_that_hangs(bundle: Path) -> None:
    script = f"""
        import os, signal, sys
        from pathlib import Path
        from lls_provider.runtime.process import workers
        from lls_provider.runtime.process.signals import StoppedBySignal, stop_signals
        workers.worker_count = lambda: 2
        workers._packed = lambda *_: signal.pause()
        try:
            with stop_signals(), workers.prefetching(Path({str(bundle)!r})) as ahead:
                there = Path(f"/proc/self/task/{{os.getpid()}}/children").read_text().split()
                print(*there, flush=True)
                ahead()
        except StoppedBySignal as stop:
            sys.exit(int(stop.status))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", dedent(script)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    other = process.stdout.readline().strip()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    process.stdout.close()
    assert other
    assert not Path(f"/proc/{other}").exists()


def _read_here(bundle: Path) -> dict[str, Contents]:
    return {
        str(path): read_contents(path, WheelLimits())
        for path in (bundle / "packages").glob("*.whl")
    }


def _plain(found: Mapping[str, Contents]) -> dict[str, list[object]]:
    """Contents that can be compared."""
    return {
        path: [it.fields if isinstance(it, Headers) else it for it in contents]
        for path, contents in found.items()
    }


def _children() -> set[str]:
    lists = Path("/proc/self/task").glob("*/children")
    return {child for told in lists for child in told.read_text().split()}


def test_a_bundle_without_wheels_is_read_ahead_as_nothing(tmp_path: Path) -> None:
    assert workers._largest_first(tmp_path / "none") == []
