#!/usr/bin/env python3
"""The cost of a rerun with nothing to do against a bare Python: `python benchmarks/rerun.py`.

A provider of ``--wheels`` wheels is installed once; then the same command and
``python3 -I -S -c pass`` run in turns. It prints the medians of one run, their difference and
ratio; ``--json FILE`` writes them as a document.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.factories.wheels import WheelFactory
from tests.runtime.conftest import BundleFactory
from tests.runtime.faults.conftest import install

from lls_provider.bundle.zipapp import zipapp_path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheels", type=int, default=90)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--python", default="python3", help="the Python of the init container")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for part in ("wheels", "bundles"):
            (directory / part).mkdir()
        make_wheel = WheelFactory(directory / "wheels")
        wheels = [make_wheel(f"dep{number}") for number in range(options.wheels - 1)]
        source = BundleFactory(directory / "bundles", make_wheel)("echo", dependencies=wheels)
        python = [options.python, "-I", "-S"]
        argv = [*install("echo", source, 0), "--root", str(directory / "volume")]
        rerun = [*python, str(zipapp_path()), *argv]
        subprocess.run(rerun, check=True, capture_output=True)
        output = subprocess.run(rerun, check=True, capture_output=True, text=True).stderr
        assert "is installed already" in output, output
        bare = [*python, "-c", "pass"]
        pairs = [(_cost(bare), _cost(rerun)) for _ in range(options.rounds)]
    result: dict[str, float] = {"wheels": options.wheels, "rounds": options.rounds}
    for index, kind in enumerate(("wall", "cpu")):
        base = statistics.median(bare[index] for bare, _ in pairs)
        again = statistics.median(rerun[index] for _, rerun in pairs)
        result |= {
            f"{kind}_bare_seconds": round(base, 4),
            f"{kind}_rerun_seconds": round(again, 4),
            f"{kind}_difference_seconds": round(again - base, 4),
            f"{kind}_ratio": round(again / base, 2),
        }
    for key, value in result.items():
        print(f"{key:24} {value}")
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


def _cost(command: Sequence[str]) -> tuple[float, float]:
    """Wall and processor seconds; the latter hardly depend on other processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
