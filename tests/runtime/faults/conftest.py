"""The seam for faults: every step that changes the volume, counted and struck from outside.

No shipped module knows of it. In a forked process an audit hook sees all that Python does to
names and directories, and wrappers see what audit hooks miss, the writing of bytes. Each step takes
one token from a pipe that worker processes inherit, so steps are numbered over all processes;
the token says whether the fault happens there.
"""

from __future__ import annotations

import fcntl
import gc
import os
import posix
import shutil
import signal
import stat
import struct
import sys
import termios
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.contract.names import VolumeTree
from lls_provider.runtime.cli import arguments
from lls_provider.runtime.merge import read_providers
from lls_provider.runtime.volume.reconcile import desired_state
from lls_provider.runtime.volume.volume import Volume, names, recorded_files

if TYPE_CHECKING:
    MakeBundle = Callable[..., Path]
    MakeWheel = Callable[..., Path]

Strike = Callable[[str], None]
"""Called at the chosen step with its name; it kills, or raises."""

Tree = dict[str, tuple[int, int, bytes]]
"""Path to mode, mtime in nanoseconds, content (of a link its target)."""

NAMED_STEPS = frozenset(
    f"os.{name}"
    for name in ("mkdir", "rename", "remove", "rmdir", "utime", "chmod", "chown", "link")
) | {"os.symlink", "os.truncate"}
BYTE_STEPS = ("write", "writev", "pwrite", "pwritev", "posix_fallocate")
COPY_STEPS = ("sendfile", "copy_file_range", "splice")  # the descriptor written to differs
EVERY = -1  # in place of a step's number
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_ENOUGH = 20_000  # tokens, fewer than the smallest pipe of Linux with 64 KiB holds


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its status (negative: the signal), its stderr, the steps it took."""

    status: int
    stderr: str
    steps: int


def run(
    argv: Sequence[str],
    *,
    step: int | None = None,
    strike: Strike | None = None,
    processors: int = 1,
    environment: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run the runtime's command line in a forked process, with ``strike`` at a step (from 0).

    ``environment`` is called in that process first.
    """
    tokens_out, tokens_in = os.pipe()
    stderr_out, stderr_in = os.pipe()
    tokens = bytearray(_ENOUGH)
    if step == EVERY:
        tokens = bytearray(b"\1" * _ENOUGH)
    elif step is not None:
        tokens[step] = 1
    os.write(tokens_in, tokens)
    gc.freeze()  # or each process copies what it collects
    child = os.fork()
    if child == 0:
        status = 70
        gc.disable()
        try:
            sys.stderr = sys.stdout = os.fdopen(stderr_in, "w")
            os.sched_getaffinity = lambda _pid: set(range(processors))
            environment()
            _leave_unmeasured()
            _install_seam(tokens_out, os.getpid(), strike or _nothing)
            status = arguments.main(argv)
        except BaseException:  # noqa: BLE001 - told to the parent as it is
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(stderr_in)
    stderr = b""
    while data := os.read(stderr_out, 65536):  # ends when workers have ended as well
        stderr += data
    _, raw = os.waitpid(child, 0)
    left = struct.unpack("i", fcntl.ioctl(tokens_out, termios.FIONREAD, b"\0" * 4))[0]
    for descriptor in (tokens_out, tokens_in, stderr_out):
        os.close(descriptor)
    return Outcome(os.waitstatus_to_exitcode(raw), stderr.decode(), _ENOUGH - left)


def kill(_step: str) -> None:
    """Strike as the kernel does that ends a container: all processes, the main one first."""
    os.kill(_struck(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def stop(number: signal.Signals) -> Strike:
    """Strike as a kubelet that ends a Pod: a signal to the main process."""
    return lambda _step: os.kill(_struck(), number)


def fail(number: int) -> Strike:
    """Strike as a file system that refuses one call."""

    def strike(step: str) -> None:
        raise OSError(number, os.strerror(number), step)

    return strike


_main_process: int | None = None


def _struck() -> int:
    """The process that runs the installation; never this process's group, which 0 would mean."""
    assert _main_process, "struck outside of a process with the seam"
    return _main_process


def _nothing(_step: str) -> None:
    return None


def _leave_unmeasured() -> None:
    """Stop coverage here and in what this process forks: the data it saves are no step of ours."""
    sys.settrace(None)
    os._exit = posix._exit


def _install_seam(tokens: int, main_process: int, strike: Strike) -> None:
    global _main_process
    _main_process = main_process

    def take(step: str) -> None:
        if os.read(tokens, 1) == b"\1":
            strike(step)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in NAMED_STEPS or (event == "open" and _opens_to_write(*args)):
            take(f"{event} {args[0]}")

    def wrapped(name: str, position: int) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*args: Any, **more: Any) -> Any:
            if stat.S_ISREG(os.fstat(args[position]).st_mode):
                take(f"os.{name}")
            return real(*args, **more)

        return call

    for position, steps in ((0, BYTE_STEPS), (1, COPY_STEPS)):
        for name in steps:
            if hasattr(os, name):
                setattr(os, name, wrapped(name, position))
    sys.addaudithook(hook)


def _opens_to_write(path: str | int, _mode: str | None, flags: int) -> bool:
    return not isinstance(path, int) and bool(flags & _WRITING)  # a descriptor is open already


def tree_of(root: Path) -> Tree:
    """The volume below ``root``, its top directory included."""
    external = root / "external-providers"
    found = {}
    for path in sorted([external, *external.rglob("*")]):
        state = path.lstat()
        content = b""
        if stat.S_ISREG(state.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(state.st_mode):
            content = bytes(path.readlink())
        found[path.relative_to(root).as_posix()] = (state.st_mode, state.st_mtime_ns, content)
    return found


def check_visible(root: Path) -> set[str]:
    """The providers that merge sees; each must be whole, with all it relies on."""
    tree = VolumeTree(root)
    shown = {provider.crd.provider_id for provider in read_providers(tree)}
    if not shown:
        return shown
    volume = Volume(root)
    records = [record for record in volume.records() if record.provider_id in shown]
    assert {record.provider_id for record in records} == shown
    replaced = {dist_info for record in records for dist_info in record.replaced}
    present = {str(item.candidate.name) for item in desired_state(volume, records).distributions()}
    for record in records:
        for package in record.packages:
            assert package.name in present, (record.provider_id, package)
            if package.dist_info not in replaced:
                info = tree.python_packages / package.dist_info
                files = recorded_files(info)
                assert f"{package.dist_info}/RECORD" in files
                missing = [path for path in files if not (tree.python_packages / path).exists()]
                assert not missing, (record.provider_id, missing)
    return shown


@dataclass
class Scenario:
    """A volume as it was, a run that a fault strikes, and the runs that put it right.

    ``before`` made the volume, ``struck`` is the run, ``after`` are all that have to run again
    (the first of them is ``struck``). The result must be that of ``clean`` on a new volume.
    """

    folder: Path
    before: Sequence[Sequence[str]]
    struck: Sequence[str]
    after: Sequence[Sequence[str]]
    clean: Sequence[Sequence[str]]
    processors: int = 1
    start: Path = field(init=False)
    wanted: Tree = field(init=False)

    def __post_init__(self) -> None:
        self.start = self.folder / "start"
        self.start.mkdir(parents=True)
        for argv in self.before:
            self.must(argv, self.start)
        clean = self.folder / "clean"
        for argv in self.clean:
            self.must(argv, clean)
        self.wanted = tree_of(clean)

    def must(self, argv: Sequence[str], root: Path) -> None:
        """Run without a fault; it has to succeed."""
        outcome = run([*argv, "--root", str(root)], processors=self.processors)
        assert outcome.status == 0, outcome.stderr

    def strike(self, step: int | None, strike: Strike) -> tuple[Path, Outcome]:
        """Run on a copy of the volume, with a fault at a step."""
        root = self.folder / "volume"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.start, root, symlinks=True)
        argv = [*self.struck, "--root", str(root)]
        return root, run(argv, step=step, strike=strike, processors=self.processors)

    def steps(self) -> int:
        """The number of steps of the run without a fault."""
        _, outcome = self.strike(None, _nothing)
        assert outcome.status == 0, outcome.stderr
        return outcome.steps

    def finish(self, root: Path) -> None:
        """Run again what has to; the volume must be as a clean run leaves it."""
        for argv in self.after:
            self.must(argv, root)
        assert tree_of(root) == self.wanted


def install(provider_id: str, source: Path, order: int, *more: str) -> list[str]:
    """The command line of an init container, without its volume."""
    return [
        "install",
        *("--provider-id", provider_id, "--api", "inference", "--order", str(order)),
        *("--image", f"registry.example.com/{provider_id}:1", "--source", str(source)),
        *more,
    ]


class Scenarios:
    """What the faults strike; every scenario is small, for it runs once a step."""

    NAMES = ("first", "replace", "update", "restore", "arguments", "half-finished", "workers")

    def __init__(self, folder: Path, make_bundle: MakeBundle, make_wheel: MakeWheel) -> None:
        old = make_wheel("dep", "1.0", {"dep.py": "1", "ns/a.py": "1"})
        new = make_wheel("dep", "2.0", {"dep.py": "2", "ns/b.py": "2"})
        third = make_wheel("other", "1.0", {"ns/other.py": ""})
        self._folder = folder
        self.echo = install(
            "echo",
            make_bundle("echo", requires=["dep"], dependencies=[old], files={"echo/p.py": "1"}),
            0,
        )
        (Path(self.echo[-1]) / "lls-provider.pyz").write_bytes(b"not run here")
        self.echo_again = [*self.echo, "--config", '{"url": "http://other"}']
        self.echo_new = install(
            "echo",
            make_bundle("echo", requires=["other"], dependencies=[third], version="2.0"),
            0,
        )
        files = {"guard/p.py": "1"}
        source = make_bundle("guard", requires=["dep>=2"], dependencies=[new], files=files)
        self.guard = install("guard", source, 1)
        source = make_bundle("guard", version="1.1", files={"guard/p.py": "new"})
        self.guard_modest = install("guard", source, 1)

        # what is imported and cached once here is not in each of a thousand processes
        assert arguments.main([*self.guard, "--root", str(folder / "warm")]) == 0

    def __call__(self, name: str) -> Scenario:
        echo, guard = self.echo, self.guard
        folder = self._folder / name
        match name:
            case "first":
                return Scenario(folder, [], echo, [echo], [echo])
            case "replace":
                return Scenario(folder, [echo], guard, [guard], [echo, guard])
            case "workers":
                return Scenario(folder, [], guard, [guard], [guard], processors=3)
            case "update":
                new = [self.echo_new, guard]
                return Scenario(folder, [echo, guard], new[0], new, new)
            case "restore":
                new = [echo, self.guard_modest]
                return Scenario(folder, [echo, guard], new[1], new[1:], new)
            case "arguments":
                new = [self.echo_again, guard]
                return Scenario(folder, [echo, guard], new[0], new[:1], new)
            case "half-finished":
                return self._half_finished(folder)
        raise ValueError(name)

    def _half_finished(self, folder: Path) -> Scenario:
        """The update of two providers, killed where the old ones are half gone."""
        first = self("update")
        steps = first.steps()
        for step in range(steps - 1, 0, -1):
            root, _ = first.strike(step, kill)
            if not check_visible(root) and names(root / "external-providers" / ".staging"):
                break
        half = Scenario(folder, [], first.struck, first.after, first.clean)
        shutil.rmtree(half.start)
        shutil.copytree(root, half.start, symlinks=True)
        return half


@pytest.fixture
def scenarios(tmp_path: Path, make_bundle: MakeBundle, make_wheel: MakeWheel) -> Scenarios:
    return Scenarios(tmp_path / "scenarios", make_bundle, make_wheel)


@pytest.fixture(params=Scenarios.NAMES)
def scenario(scenarios: Scenarios, request: pytest.FixtureRequest) -> Scenario:
    return scenarios(request.param)


@pytest.fixture
def faults() -> Any:
    """This module, for tests: pytest imports it under a name of its own."""
    return sys.modules[__name__]
