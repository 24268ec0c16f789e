"""Installing a large closure: the zipapp versus uv, pip and the floor of the machine.

Run it as ``python -m benchmarks.install`` from the checkout. The floor is ``cp -r`` of the
finished tree plus (inflating and hashing the same bytes) / processors.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import Run
from uv import find_uv_bin

CLOSURE = "ragas-0.4.3"


def main() -> None:
    """Measure, print, write the JSON."""
    parser = measure.options(__doc__, repetitions=7)
    parser.add_argument("--pip", type=int, default=2, help="runs of pip (default: %(default)s)")
    arguments = parser.parse_args()
    interpreter = measure.target(arguments)
    with measure.scratch(arguments) as scratch:
        wheels = _copied(measure.closure(CLOSURE, interpreter.path), scratch / "wheels")
        own = next(wheel for wheel in wheels if wheel.name.startswith("ragas-"))
        source = measure.bundle(wheels, own, scratch / "lls-provider", interpreter)
        before = measure.machine(interpreter)
        figures = measure.interleaved(
            _ways(interpreter.path, source, wheels, scratch),
            arguments.repetitions,
            {"pip": arguments.pip},
        )
        files, size = _extent(measure.packages(scratch / "zipapp"))
    processors = before["processors"]
    floor = figures["cp -r"].median + figures["inflate + sha256"].median / processors
    measure.table(figures, "zipapp")
    ours = figures["zipapp"].median
    ratios = {
        "zipapp / uv": round(ours / figures["uv"].median, 3),
        "pip / zipapp": round(figures["pip"].median / ours, 2) if "pip" in figures else None,
        "zipapp / floor": round(ours / floor, 3),
    }
    print(f"\n{len(wheels)} wheels, {files:,} files, {size:,} bytes; floor {floor:.3f} s")
    for name, ratio in ratios.items():
        print(f"{name}: {ratio}")
    measure.report(
        "install",
        arguments,
        {
            "machine": before,
            "load after": os.getloadavg(),
            "wheels": len(wheels),
            "files": files,
            "bytes": size,
            "floor": round(floor, 4),
            "seconds": figures,
            "ratios": ratios,
        },
    )


def _copied(directory: Path, target: Path) -> list[Path]:
    """The wheels on the file system that is measured."""
    target.mkdir()
    return [Path(shutil.copy(path, target)) for path in sorted(directory.glob("*.whl"))]


def _ways(
    python: Path, source: Path, wheels: list[Path], scratch: Path
) -> dict[str, Callable[[], Run]]:
    def zipapp() -> Run:
        root = measure.empty(scratch / "zipapp")
        return measure.run(measure.install_command(python, source, root))

    def uv() -> Run:
        target, cache = measure.empty(scratch / "uv"), measure.empty(scratch / "uv-cache")
        command: list[str | Path] = [
            find_uv_bin(),
            "pip",
            "install",
            "--target",
            target,
            "--python",
            python,
        ]
        command += ["--offline", "--no-index", "--no-deps", "--no-config", *wheels]
        return measure.run(command, UV_CACHE_DIR=str(cache))

    def pip() -> Run:
        target = measure.empty(scratch / "pip")
        command: list[str | Path] = [
            python,
            "-m",
            "pip",
            "--isolated",
            "--disable-pip-version-check",
            "install",
        ]
        command += ["--no-cache-dir", "--no-index", "--find-links", source / "packages"]
        return measure.run([*command, "--target", target, *wheels], TMPDIR=str(scratch))

    def copy() -> Run:
        shutil.rmtree(scratch / "copy", ignore_errors=True)
        return measure.run(["cp", "-r", scratch / "zipapp", scratch / "copy"])

    return {
        "zipapp": zipapp,
        "uv": uv,
        "cp -r": copy,
        "inflate + sha256": lambda: _inflate_and_hash(wheels),
        "pip": pip,
    }


def _inflate_and_hash(wheels: list[Path]) -> Run:
    """Inflate and hash every member, in one process: what any verifying installer must do."""
    wall, cpu = time.perf_counter(), os.times()
    for path in wheels:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
        with path.open("rb") as stream:
            for info in infos:
                header = os.pread(stream.fileno(), 30, info.header_offset)
                start = info.header_offset + 30 + sum(struct.unpack_from("<HH", header, 26))
                data = os.pread(stream.fileno(), info.compress_size, start)
                if info.compress_type == zipfile.ZIP_DEFLATED:
                    data = zlib.decompress(data, -zlib.MAX_WBITS, info.file_size or 1)
                hashlib.sha256(data).digest()
    after = os.times()
    return Run(time.perf_counter() - wall, after.user - cpu.user, after.system - cpu.system)


def _extent(directory: Path) -> tuple[int, int]:
    sizes = [path.stat().st_size for path in directory.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


if __name__ == "__main__":
    main()
