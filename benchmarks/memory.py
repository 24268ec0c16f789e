"""How much memory the installer takes: all its processes together, above an empty Python.

Run it as ``python -m benchmarks.memory`` from the checkout. The figure is the highest sum of
PSS (proportional set size: a page shared by two processes counts half in each) over the
process and its children, polled while it runs. A cgroup's peak would also count the wheels and
the files written, which lie in the page cache or on tmpfs. Between two looks a peak can be
missed, so the sum of each process's own highest RSS, which the kernel keeps and which counts
shared pages in each, is given as the upper bound.
"""

from __future__ import annotations

import base64
import hashlib
import os
import statistics
import subprocess
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import measure

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter

CLOSURE = "ragas-0.4.3"
TARGET = 96.0
"""MiB above an empty Python."""

_SIZES = (64, 1024)  # MiB of the one file of a wheel
_PAUSE = 0.004  # seconds
_MIB = 1024 * 1024


def main() -> None:
    """Measure, print, write the JSON."""
    arguments = measure.options(__doc__, repetitions=3).parse_args()
    interpreter = measure.target(arguments)
    python = interpreter.path
    found: dict[str, dict[str, float]] = {}
    with measure.scratch(arguments) as scratch:
        empty = peak([python, "-I", "-S", "-c", "import time; time.sleep(0.3)"])[0]
        print(f"an empty Python: {empty:.1f} MiB")
        wheels = sorted(measure.closure(CLOSURE, python).glob("*.whl"))
        own = next(wheel for wheel in wheels if wheel.name.startswith("ragas-"))
        source = measure.bundle(wheels, own, scratch / "closure", interpreter)
        found[CLOSURE] = _measured(source, empty, scratch, python, arguments.repetitions)
        measure.empty(scratch / "closure")
        for method, name in ((zipfile.ZIP_STORED, "stored"), (zipfile.ZIP_DEFLATED, "deflated")):
            for size in _SIZES:
                source = _large(scratch / "large", size, method, interpreter)
                label = f"one {name} file of {size} MiB"
                found[label] = _measured(source, empty, scratch, python, arguments.repetitions)
                measure.empty(scratch / "large")
    for label, figures in found.items():
        print(f"{label}: {figures}")
    document = {
        "machine": measure.machine(interpreter),
        "empty python MiB": round(empty, 1),
        "target MiB above it": TARGET,
        "MiB above it": found,
    }
    measure.report("memory", arguments, document)


def _measured(
    source: Path, empty: float, scratch: Path, python: Path, repetitions: int
) -> dict[str, float]:
    peaks = []
    for _ in range(repetitions):
        root = measure.empty(scratch / "root")
        peaks.append(peak(measure.install_command(python, source, root)))
    measure.empty(scratch / "root")
    sums = [pss for pss, _ in peaks]
    return {
        "PSS, median": round(statistics.median(sums) - empty, 1),
        "PSS, highest": round(max(sums) - empty, 1),
        "upper bound (RSS)": round(max(rss for _, rss in peaks) - empty, 1),
    }


def peak(command: Sequence[str | Path]) -> tuple[float, float]:
    """The highest sum of PSS, and the sum of the highest RSS of each process, in MiB."""
    highest: dict[int, int] = {}
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while process.poll() is None:
            total = 0
            for pid in (process.pid, *_children(process.pid)):
                total += _kib(f"/proc/{pid}/smaps_rollup", "Pss:")
                highest[pid] = max(highest.get(pid, 0), _kib(f"/proc/{pid}/status", "VmHWM:"))
            peak = max(peak, total)
            time.sleep(_PAUSE)
        message = process.stderr.read().decode() if process.stderr else ""
    if process.returncode:
        raise SystemExit(message)
    return peak / 1024, sum(highest.values()) / 1024


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def _kib(path: str, field: str) -> int:
    """A figure of a process, 0 when it has ended meanwhile."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)


def _large(directory: Path, size: int, method: int, interpreter: Interpreter) -> Path:
    """A bundle of one wheel with one file of ``size`` MiB, a third of it noise."""
    directory = measure.empty(directory)
    wheel = directory / "large-1.0-py3-none-any.whl"
    block = os.urandom(_MIB // 3) + bytes(_MIB - _MIB // 3)
    with zipfile.ZipFile(wheel, "w", method, compresslevel=1) as archive:
        write_wheel(archive, "large", [block] * size)
    return measure.bundle([wheel], wheel, directory / "lls-provider", interpreter)


def write_wheel(archive: zipfile.ZipFile, name: str, blocks: Sequence[bytes]) -> None:
    """Write version 1.0 of a package with one large file."""
    info = f"{name}-1.0.dist-info"
    lines = [_written(archive, f"{name}/data.bin", blocks)]
    for file, text in (
        ("METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"),
        ("WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\n"),
    ):
        lines.append(_written(archive, f"{info}/{file}", [text.encode()]))
    archive.writestr(f"{info}/RECORD", "\n".join([*lines, f"{info}/RECORD,,\n"]))


def _written(archive: zipfile.ZipFile, name: str, blocks: Sequence[bytes]) -> str:
    """Write a member; gives its line of RECORD."""
    digest = hashlib.sha256()
    with archive.open(name, "w", force_zip64=True) as stream:
        for block in blocks:
            stream.write(block)
            digest.update(block)
    encoded = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
    return f"{name},sha256={encoded},{sum(map(len, blocks))}"


if __name__ == "__main__":
    main()
