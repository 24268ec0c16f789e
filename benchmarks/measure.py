"""What the benchmarks share: closures, bundles, timed processes, and the JSON reports.

The figures of one file come from one run on one machine. Compare ratios, never seconds of
different runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lls_provider.bundle.assemble import assemble
from lls_provider.bundle.bundle import build_target
from lls_provider.contract.models import ProviderPackage
from lls_provider.system.cache import cache_root, locked
from lls_provider.wheels.interpreter import Interpreter, find_interpreter

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "build" / "benchmarks"
PYTHON = (3, 12)
SERVER = "llama-stack==0.7.3"
SAMPLE = HERE.parent / "samples" / "echo-inference"
_TMPFS = Path("/dev/shm")  # noqa: S108 - a file system in memory on every Linux


@dataclass(frozen=True, slots=True)
class Run:
    """The seconds of one finished process and its children."""

    wall: float
    user: float
    system: float

    @property
    def cpu(self) -> float:
        """Seconds of all processors."""
        return self.user + self.system


@dataclass(frozen=True, slots=True)
class Figures:
    """Several runs of one way, in seconds."""

    median: float
    minimum: float
    cpu: float  # median of user + system
    runs: int

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Figures:
        """The figures of several runs."""
        return cls(
            median=round(statistics.median(run.wall for run in runs), 4),
            minimum=round(min(run.wall for run in runs), 4),
            cpu=round(statistics.median(run.cpu for run in runs), 4),
            runs=len(runs),
        )


def run(command: Sequence[str | Path], **environment: str) -> Run:
    """Run a command and discard its output. Raises SystemExit if it fails."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C", **environment},
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            text = output.read().decode("utf-8", "replace")[-4000:]
            raise SystemExit(f"{command[0]} ended with {process.returncode}:\n{text}")
    return Run(wall, usage.ru_utime, usage.ru_stime)


def interleaved(
    ways: Mapping[str, Callable[[], Run]], repetitions: int, rare: Mapping[str, int] | None = None
) -> dict[str, Figures]:
    """Run every way in turn, after one round that is not counted, so that noise affects all alike.

    ``rare`` has the number of rounds for ways that are run in the first rounds only, without a
    warm-up.
    """
    rare = rare or {}
    for name, way in ways.items():
        if name not in rare:
            way()
    found: dict[str, list[Run]] = {name: [] for name in ways}
    for number in range(repetitions):
        for name, way in ways.items():
            if number < rare.get(name, repetitions):
                found[name].append(way())
    return {name: Figures.of(runs) for name, runs in found.items() if runs}


def closure(name: str, python: Path) -> Path:
    """The wheels of ``benchmarks/NAME.txt`` (versions and hashes), downloaded once."""
    requirements = HERE / f"{name}.txt"
    directory = cache_root() / "benchmarks" / name
    with locked(directory.with_name(f"{name}.lock")):
        if not (directory / ".complete").is_file():
            command = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
            command += ["--only-binary", ":all:", "--dest", directory, "-r", requirements]
            subprocess.run([str(word) for word in command], check=True)
            (directory / ".complete").touch()
    return directory


def bundle(wheels: Sequence[Path], own: Path, out: Path, interpreter: Interpreter) -> Path:
    """The ``/lls-provider`` tree of a provider made of ``wheels``, with the zipapp in it."""
    name, version = own.name.split("-")[:2]
    metadata = ProviderPackage(
        name=name,
        version=version,
        vendor="benchmark",
        description=None,
        maintainer=None,
        package_name=name,
        provider_type=f"inline::{name.replace('_', '-')}",
        api="eval",
        wheel_path="",
    )
    assemble(
        out,
        metadata=metadata,
        own_wheel=own,
        dependencies=[wheel for wheel in wheels if wheel != own],
        target=build_target(interpreter),
        provided={},
    )
    return out


def install_command(
    python: Path, source: Path, root: Path, order: int = 0, *, api: str = "eval"
) -> list[str | Path]:
    """The init container's command line."""
    name = f"provider-{order}"
    return [
        *(python, "-I", "-S", source / "lls-provider.pyz", "install", "--order", str(order)),
        *("--provider-id", name, "--api", api, "--image", f"example.com/{name}:1"),
        *("--source", source, "--root", root, "--python-tag", "cp312"),
        *("--termination-log", root / "termination-log"),
    ]


def packages(root: Path) -> Path:
    """Where the installer puts packages below its root."""
    return root / "external-providers" / "python-packages"


def options(description: str | None, repetitions: int) -> argparse.ArgumentParser:
    """The arguments that all benchmarks have."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("-n", "--repetitions", type=int, default=repetitions, metavar="N")
    parser.add_argument("--scratch", type=Path, default=_TMPFS, help="default: %(default)s")
    parser.add_argument("--python", help="the Python to install with (default: the lowest >= 3.12)")
    parser.add_argument("--output", type=Path, help="the JSON file (default: build/benchmarks)")
    return parser


def target(arguments: argparse.Namespace) -> Interpreter:
    """The Python with which everything is measured."""
    return find_interpreter(exactly=PYTHON, explicit=arguments.python)


@contextmanager
def scratch(arguments: argparse.Namespace) -> Iterator[Path]:
    """A directory for this run, on tmpfs by default."""
    with tempfile.TemporaryDirectory(prefix="lls-benchmark-", dir=arguments.scratch) as name:
        yield Path(name)


def empty(directory: Path) -> Path:
    """The directory, emptied or created."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def machine(interpreter: Interpreter) -> dict[str, Any]:
    """What the figures depend on. A load above the number of processors makes times useless."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo", "model name")), "?"
    )
    return {
        "cpu": cpu,
        "processors": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": ".".join(map(str, interpreter.version)),
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def _lines(path: str, start: str) -> list[str]:
    return [line for line in Path(path).read_text().splitlines() if line.startswith(start)]


def report(name: str, arguments: argparse.Namespace, document: Mapping[str, Any]) -> None:
    """Write the JSON and print its path."""
    path = arguments.output or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, default=_plain) + "\n", "utf-8")
    print(f"\nwritten: {path}")


def _plain(value: object) -> object:
    return asdict(value) if isinstance(value, Figures) else str(value)


def table(rows: Mapping[str, Figures], base: str) -> None:
    """Print figures, each with its ratio to ``base`` (medians)."""
    width = max(map(len, rows))
    print(f"{'':{width}}  {'median':>8} {'min':>8} {'cpu':>8}   median / {base}")
    for name, found in rows.items():
        ratio = found.median / rows[base].median
        print(
            f"{name:{width}}  {found.median:8.3f} {found.minimum:8.3f} {found.cpu:8.3f}   "
            f"{ratio:6.2f}"
        )
