"""What faults strike: volumes, the runs on them, and what must hold afterwards."""

from __future__ import annotations

import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.runtime.faults import seam

from lls_provider.contract.names import VolumeTree
from lls_provider.runtime.merge import read_providers
from lls_provider.runtime.volume.reconcile import desired_state
from lls_provider.runtime.volume.volume import Volume, names, recorded_files

if TYPE_CHECKING:
    MakeBundle = Callable[..., Path]
    MakeWheel = Callable[..., Path]

Tree = dict[str, tuple[int, int, bytes]]
"""Path to mode, mtime in nanoseconds, content (of a link its target)."""


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

    runner: seam.Runner
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
        run = seam.Run([*argv, "--root", str(root)], processors=self.processors)
        outcome = self.runner(run)
        assert outcome.status == 0, outcome.stderr

    def strike(self, step: int | None, strike: seam.Strike) -> tuple[Path, seam.Outcome]:
        """Run on a copy of the volume, with a fault at a step."""
        root = self.folder / "volume"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.start, root, symlinks=True)
        argv = [*self.struck, "--root", str(root)]
        return root, self.runner(seam.Run(argv, step, strike, self.processors))

    def steps(self) -> int:
        """The number of steps of the run without a fault."""
        _, outcome = self.strike(None, seam.nothing)
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

    def __init__(
        self, runner: seam.Runner, folder: Path, make_bundle: MakeBundle, make_wheel: MakeWheel
    ) -> None:
        old = make_wheel("dep", "1.0", {"dep.py": "1", "ns/a.py": "1"})
        new = make_wheel("dep", "2.0", {"dep.py": "2", "ns/b.py": "2"})
        third = make_wheel("other", "1.0", {"ns/other.py": ""})
        self._runner, self._folder = runner, folder
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

        runner.warm([*self.guard, "--root", str(folder / "warm")])

    def __call__(self, name: str) -> Scenario:
        runner, echo, guard = self._runner, self.echo, self.guard
        folder = self._folder / name
        match name:
            case "first":
                return Scenario(runner, folder, [], echo, [echo], [echo])
            case "replace":
                return Scenario(runner, folder, [echo], guard, [guard], [echo, guard])
            case "workers":
                return Scenario(runner, folder, [], guard, [guard], [guard], processors=3)
            case "update":
                new = [self.echo_new, guard]
                return Scenario(runner, folder, [echo, guard], new[0], new, new)
            case "restore":
                new = [echo, self.guard_modest]
                return Scenario(runner, folder, [echo, guard], new[1], new[1:], new)
            case "arguments":
                new = [self.echo_again, guard]
                return Scenario(runner, folder, [echo, guard], new[0], new[:1], new)
            case "half-finished":
                return self._half_finished(folder)
        raise ValueError(name)

    def _half_finished(self, folder: Path) -> Scenario:
        """The update of two providers, killed where the old ones are half gone."""
        first = self("update")
        steps = first.steps()
        for step in range(steps - 1, 0, -1):
            root, _ = first.strike(step, seam.kill)
            if not check_visible(root) and names(root / "external-providers" / ".staging"):
                break
        half = Scenario(self._runner, folder, [], first.struck, first.after, first.clean)
        shutil.rmtree(half.start)
        shutil.copytree(root, half.start, symlinks=True)
        return half


@pytest.fixture
def scenarios(
    tmp_path: Path, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> Iterator[Scenarios]:
    with seam.runner() as runner:
        yield Scenarios(runner, tmp_path / "scenarios", make_bundle, make_wheel)


@pytest.fixture(params=Scenarios.NAMES)
def scenario(scenarios: Scenarios, request: pytest.FixtureRequest) -> Scenario:
    return scenarios(request.param)


@pytest.fixture
def faults() -> Any:
    """This module, for tests: pytest imports it under a name of its own."""
    return sys.modules[__name__]
