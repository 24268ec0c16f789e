#!/usr/bin/env python3
"""Kill installations at random moments, run them again, and compare with one clean run.

    python benchmarks/crash.py --runs 300 --seed 1 [--zipapp lls-provider.pyz] [--json FILE]

Every run starts real processes. It ends with status 1 at the first difference, naming the run,
which ``--only RUN`` repeats with the same seed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.factories.wheels import WheelFactory
from tests.runtime.conftest import BundleFactory
from tests.runtime.faults.conftest import Tree, check_visible, install, tree_of

_FILES = 120  # of each dependency, so that writing packages takes long enough to be interrupted


@dataclass
class Case:
    """What is installed before, the run that is killed, what runs again, and the result.

    A run that nobody kills takes ``seconds``, and ``staging_seconds`` of them while it stages.
    """

    name: str
    start: Path
    struck: Sequence[str]
    after: Sequence[Sequence[str]]
    wanted: Tree
    staging_seconds: float
    seconds: float


class Bench:
    """The cases, made once, and the runtime that installs them."""

    def __init__(self, directory: Path, runtime: Sequence[str]) -> None:
        self._folder = directory
        self._runtime = list(runtime)
        (directory / "wheels").mkdir()
        (directory / "bundles").mkdir()
        make_wheel = WheelFactory(directory / "wheels")
        make_bundle = BundleFactory(directory / "bundles", make_wheel)

        def many(name: str, version: str, start: int) -> Path:
            numbers = range(start, start + _FILES)
            files = {f"{name}/m{n}.py": f"{version}-{n}" * 20 for n in numbers}
            return make_wheel(name, version, files)

        deps = [many("dep", "1.0", 0), many("dep", "2.0", _FILES // 2)]
        more = many("more", "1.0", 0)
        sources = {
            "echo": make_bundle("echo", requires=["dep"], dependencies=deps[:1]),
            "echo2": make_bundle("echo", version="2.0", dependencies=[more]),
            "guard": make_bundle("guard", requires=["dep>=2"], dependencies=[deps[1], more]),
            "guard2": make_bundle("guard", version="2.0"),
        }
        echo, guard = install("echo", sources["echo"], 0), install("guard", sources["guard"], 1)
        echo2, guard2 = install("echo", sources["echo2"], 0), install("guard", sources["guard2"], 1)
        reconfigured = [*echo, "--config", '{"url": "http://other"}']
        self.cases = [
            self._case("first", [], echo, [echo], [echo]),
            self._case("replace", [echo], guard, [guard], [echo, guard]),
            self._case("update", [echo, guard], echo2, [echo2, guard], [echo2, guard]),
            self._case("restore", [echo, guard], guard2, [guard2], [echo, guard2]),
            self._case(
                "arguments", [echo, guard], reconfigured, [reconfigured], [reconfigured, guard]
            ),
        ]

    def command(self, argv: Sequence[str], root: Path) -> list[str]:
        return [*self._runtime, *argv, "--root", str(root)]

    def must(self, argv: Sequence[str], root: Path) -> None:
        done = subprocess.run(
            self.command(argv, root), capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr

    def kill(self, case: Case, choice: random.Random, root: Path) -> str:
        """Run the case's command and kill it; return how it ended."""
        shutil.copytree(case.start, root, symlinks=True)
        from_staging = choice.random() < 0.75
        everything = choice.random() < 0.5
        share = choice.random()
        process = self._begin(case.struck, root)
        if from_staging:
            _wait_for_staging(process, root)
            time.sleep(share * case.staging_seconds)
        else:
            time.sleep(share * case.seconds)
        # as a container ends: all processes at once; or as the kernel picks one
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if everything else os.kill)(process.pid, signal.SIGKILL)
        status = process.wait()
        if status == 0:
            return "had ended"
        return "killed while staging" if _staging(root).exists() else "killed before or after"

    def _begin(self, argv: Sequence[str], root: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(argv, root),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _time(self, argv: Sequence[str], start: Path) -> tuple[float, float]:
        """The seconds that a run on a copy of ``start`` stages, and those until it ends."""
        root = self._folder / "timed"
        shutil.copytree(start, root, symlinks=True)
        began = time.perf_counter()
        process = self._begin(argv, root)
        _wait_for_staging(process, root)
        staging_began = time.perf_counter()
        while process.poll() is None and _staging(root).exists():
            pass
        staging_ended = time.perf_counter()
        assert process.wait() == 0
        seconds = time.perf_counter() - began
        shutil.rmtree(root)
        return staging_ended - staging_began, seconds

    def _case(
        self,
        name: str,
        before: Sequence[Sequence[str]],
        struck: Sequence[str],
        after: Sequence[Sequence[str]],
        clean: Sequence[Sequence[str]],
    ) -> Case:
        start, wanted = self._folder / f"{name}-start", self._folder / f"{name}-clean"
        start.mkdir()
        for argv in before:
            self.must(argv, start)
        for argv in clean:
            self.must(argv, wanted)
        return Case(name, start, struck, after, tree_of(wanted), *self._time(struck, start))


def _staging(root: Path) -> Path:
    return root / "external-providers" / ".staging"


def _wait_for_staging(process: subprocess.Popen[bytes], root: Path) -> None:
    while process.poll() is None and not _staging(root).exists():
        pass


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of one run")
    parser.add_argument("--zipapp", type=Path, help="run it under python3 -I -S")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runtime = [sys.executable, "-m", "lls_provider.runtime"]
    if options.zipapp is not None:
        runtime = [sys.executable, "-I", "-S", str(options.zipapp.resolve())]
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), runtime)
        root = Path(name) / "volume"
        for number in range(options.runs) if options.only is None else [options.only]:
            choice = random.Random(f"{options.seed}/{number}")  # noqa: S311 - no secret
            case = bench.cases[number % len(bench.cases)]
            end = bench.kill(case, choice, root)
            ends[f"{case.name}: {end}"] += 1
            check_visible(root)
            for argv in case.after:
                bench.must(argv, root)
            found = tree_of(root)
            if found != case.wanted:
                paths = {*found, *case.wanted}
                differing = sorted(p for p in paths if found.get(p) != case.wanted.get(p))
                print(f"run {number} ({case.name}, {end}) differs in {differing[:10]}")
                return 1
            shutil.rmtree(root)
    for end, count in sorted(ends.items()):
        print(f"{count:4} {end}")
    print(f"{sum(ends.values())} runs of seed {options.seed}: each volume equals a clean run's")
    if options.json is not None:
        document = {"runs": sum(ends.values()), "seed": options.seed, "ends": dict(ends)}
        options.json.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
