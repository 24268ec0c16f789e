"""Several real processes on one volume."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.processes import runs

if TYPE_CHECKING:
    MakeBundle = Callable[..., Path]
    MakeWheel = Callable[..., Path]
    Pod = Any
    MakePod = Callable[[str], Any]

pytestmark = pytest.mark.slow


def _argv(source: Path, root: Path, provider_id: str, order: int, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "lls_provider.runtime", "install"),
        *("--provider-id", provider_id, "--api", "inference", "--order", str(order)),
        *("--image", f"acme/{provider_id}:1", "--source", str(source), "--root", str(root), *more),
    ]


def _start(argv: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        argv,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "LLS_PROVIDER_LIMITS": "ratio=2000"},  # zeros pack well
    )


def _kill(process: subprocess.Popen[str]) -> None:
    """End it, and close its stderr, which its workers may hold open for a moment."""
    process.kill()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


def _run(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def _wait_for(seen: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not seen():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_eight_at_once_end_as_if_one_came_after_the_other(
    make_pod: MakePod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    """Four providers that share a package, one of them twice, and updates of the first slots."""
    deps = [make_wheel("dep", version, {"dep.py": version}) for version in ("1.0", "2.0")]
    echo = make_bundle("echo", requires=["dep"], dependencies=deps[:1])
    echo_new = make_bundle("echo", version="2.0", requires=["dep"], dependencies=deps[:1])
    guard = make_bundle("guard", requires=["dep>=2"], dependencies=deps[1:])
    guard_new = make_bundle("guard", version="2.0")
    third, fourth = make_bundle("third"), make_bundle("fourth", dependencies=deps[:1])
    runs = [
        *((echo, "echo", 0), (echo, "echo", 0), (echo_new, "echo", 0)),
        *((guard, "guard", 1), (guard_new, "guard", 1)),
        *((third, "third", 2), (third, "third", 2), (fourth, "fourth", 3)),
    ]
    pod = make_pod("volume")
    processes = [_start(_argv(source, pod.root, name, order)) for source, name, order in runs]
    for process in processes:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
    # which of the serial orders it was is reported by who is there; the first slots may have gone
    # last
    shown = {path.name for path in (pod.external / "metadata").iterdir()}
    echoes = [echo, echo_new] if "echo" in shown else [None]
    guards = [guard, guard_new] if "guard" in shown else [None]
    for number, (one, two) in enumerate(itertools.product(echoes, guards)):
        clean = make_pod(f"clean-{number}")
        listed = ((one, "echo", 0), (two, "guard", 1), (third, "third", 2), (fourth, "fourth", 3))
        for source, provider_id, order in listed:
            if source is not None and provider_id in shown:
                _run(_argv(source, clean.root, provider_id, order))
        if pod.snapshot() == clean.snapshot():
            return
    pytest.fail(f"no serial order gives what is there: {sorted(shown)}")


@pytest.fixture
def large(make_bundle: MakeBundle, make_wheel: MakeWheel) -> Path:
    """A provider with two members that take a while each, so that both workers are busy."""
    wheels = [make_wheel(f"large{n}", files={f"large{n}.bin": bytes(100_000_000)}) for n in "ab"]
    return make_bundle("large", dependencies=wheels, manifest=False)


def test_one_that_waits_says_so_and_for_what(
    pod: Pod, large: Path, make_bundle: MakeBundle
) -> None:
    owner = _start(_argv(large, pod.root, "large", 0))
    _wait_for((pod.external / ".staging" / "packages").exists, owner)
    os.kill(owner.pid, signal.SIGSTOP)
    try:
        waiting = _start(_argv(make_bundle(), pod.root, "acme-echo", 1))
        assert waiting.stderr is not None
        lines = iter(waiting.stderr.readline, "")
        told = f"lls-provider: waiting for another installation into {pod.external} to end\n"
        assert told in itertools.islice(lines, 2)
        waiting.send_signal(signal.SIGTERM)
        waiting.communicate(timeout=30)
        assert waiting.returncode == 143
    finally:
        os.kill(owner.pid, signal.SIGCONT)
        owner.send_signal(signal.SIGTERM)
        owner.communicate(timeout=30)
    assert owner.returncode == 143


def test_the_lock_of_an_owner_that_was_killed_is_free_in_a_moment(
    pod: Pod, large: Path, make_pod: MakePod, make_bundle: MakeBundle
) -> None:
    owner = _start(_argv(large, pod.root, "large", 0))
    staged = pod.external / ".staging" / "packages"
    _wait_for(lambda: any(path.stat().st_size for path in staged.glob("*.bin")), owner)
    workers = _children(owner.pid)
    _kill(owner)
    killed = time.monotonic()
    while any(runs(worker) for worker in workers):
        assert time.monotonic() < killed + 5
        time.sleep(0.002)
    source = make_bundle()
    _run(_argv(source, pod.root, "acme-echo", 0))
    clean = make_pod("clean")
    _run(_argv(source, clean.root, "acme-echo", 0))
    assert pod.snapshot() == clean.snapshot()


def test_those_that_wait_go_on_when_the_owner_is_killed(
    pod: Pod, large: Path, make_pod: MakePod, make_bundle: MakeBundle
) -> None:
    owner = _start(_argv(large, pod.root, "large", 0))
    _wait_for((pod.external / ".staging" / "packages").exists, owner)
    os.kill(owner.pid, signal.SIGSTOP)  # so that it still holds the lock when all wait for it
    workers = _children(owner.pid)
    sources = {name: make_bundle(name) for name in ("one", "two", "three")}
    waiting = []
    for order, (name, source) in enumerate(sources.items(), 1):
        process = _start(_argv(source, pod.root, name, order))
        waiting.append(process)
        assert process.stderr is not None
        assert any("waiting for another" in line for line in iter(process.stderr.readline, ""))
    _kill(owner)
    for process in waiting:
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
    assert not any(runs(worker) for worker in workers)
    clean = make_pod("clean")
    for order, (name, source) in enumerate(sources.items(), 1):
        _run(_argv(source, clean.root, name, order))
    assert pod.snapshot() == clean.snapshot()


def _children(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
