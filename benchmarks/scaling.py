"""How the cost of an installation grows with files, and with what is installed already.

Run it as ``python -m benchmarks.scaling`` from the checkout. Times are processor seconds: those
of other programs on the machine do not count. The cost of one more is printed for the lower and for
the upper half of the sizes: equal costs are linear, three times as much would be quadratic.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import measure

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter

_FILES = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
_SHOWN = (0, 9, 24, 49)


def main() -> None:
    """Measure, print, write the JSON."""
    parser = measure.options(__doc__, repetitions=3)
    parser.add_argument("--providers", type=int, default=50)
    parser.add_argument("--distributions", type=int, default=40, help="of each provider")
    arguments = parser.parse_args()
    interpreter = measure.target(arguments)
    with measure.scratch(arguments) as scratch:
        files = _by_files(arguments, interpreter, scratch)
        providers = _by_providers(arguments, interpreter, scratch)
    costs = {"files": files, "installed providers": providers}
    slopes = {name: _slopes(costs[name]) for name in costs}
    for name, cost in costs.items():
        shown = [size for number, size in enumerate(cost) if name == "files" or number in _SHOWN]
        print(f"\nprocessor seconds by {name}")
        for size in shown:
            print(f"{size:8,} {cost[size]:8.3f}")
        print("one more adds {} ms, then {} ms".format(*slopes[name]))
    document = {
        "machine": measure.machine(interpreter),
        "distributions of each provider": arguments.distributions,
        "cpu seconds": costs,
        "milliseconds of one more (lower half, upper half)": slopes,
    }
    measure.report("scaling", arguments, document)


def _by_files(
    arguments: argparse.Namespace, interpreter: Interpreter, scratch: Path
) -> dict[int, float]:
    """The cost of one provider by the number of its files."""
    found = {}
    for count in _FILES:
        directory = measure.empty(scratch / "files")
        wheel = _wheel(directory, "many", {f"many/m{n}.py": _text(n) for n in range(count)})
        source = measure.bundle([wheel], wheel, directory / "lls-provider", interpreter)
        runs = []
        for _ in range(arguments.repetitions):
            root = measure.empty(scratch / "root")
            runs.append(measure.run(measure.install_command(interpreter.path, source, root)))
        found[count] = measure.Figures.of(runs).cpu
    return found


def _by_providers(
    arguments: argparse.Namespace, interpreter: Interpreter, scratch: Path
) -> dict[int, float]:
    """The cost of each provider by the number of those installed before it, on one volume."""
    sources = [
        _provider(measure.empty(scratch / f"provider-{number}"), number, arguments, interpreter)
        for number in range(arguments.providers)
    ]
    runs: dict[int, list[measure.Run]] = {number: [] for number in range(arguments.providers)}
    for _ in range(arguments.repetitions):
        root = measure.empty(scratch / "volume")
        for number, source in enumerate(sources):
            command = measure.install_command(interpreter.path, source, root, number)
            runs[number].append(measure.run(command))
    return {number: measure.Figures.of(found).cpu for number, found in runs.items()}


def _provider(
    directory: Path, number: int, arguments: argparse.Namespace, interpreter: Interpreter
) -> Path:
    """A provider that needs its own distributions, one of all, and a namespace of all."""
    names = [f"p{number}-d{n}" for n in range(arguments.distributions - 2)]
    wheels = [
        _wheel(directory, name, {f"space/{name.replace('-', '_')}.py": name}, ["shared>=1"])
        for name in names
    ]
    wheels.append(_wheel(directory, "shared", {"shared/__init__.py": ""}))
    own = _wheel(directory, f"p{number}", {f"p{number}/provider.py": ""}, [*names, "shared"])
    return measure.bundle([*wheels, own], own, directory / "lls-provider", interpreter)


def _wheel(
    directory: Path, name: str, files: Mapping[str, str], requires: Sequence[str] = ()
) -> Path:
    module = name.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    metadata += "".join(f"Requires-Dist: {text}\n" for text in requires)
    wheel = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\n"
    contents = {**files, f"{info}/METADATA": metadata, f"{info}/WHEEL": wheel}
    record = "".join(f"{path},{_hash(text)},{len(text)}\n" for path, text in contents.items())
    path = directory / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, text in (*contents.items(), (f"{info}/RECORD", f"{record}{info}/RECORD,,\n")):
            archive.writestr(inside, text)
    return path


def _text(number: int) -> str:
    """Enough that does not compress: wheels of many nearly empty files meet a limit."""
    parts = (hashlib.sha512(f"{number} {part}".encode()).hexdigest() for part in range(3))
    return f"x = '{''.join(parts)}'\n"


def _hash(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
    return "sha256=" + digest.rstrip(b"=").decode()


def _slopes(cost: Mapping[int, float]) -> tuple[float, float]:
    """Milliseconds that one more adds, in the lower and in the upper half (least squares)."""
    sizes = sorted(cost)
    middle = len(sizes) // 2
    lower = _slope({size: cost[size] for size in sizes[: middle + 1]})
    return lower, _slope({size: cost[size] for size in sizes[middle:]})


def _slope(cost: Mapping[int, float]) -> float:
    x, y = sum(cost) / len(cost), sum(cost.values()) / len(cost)
    above = sum((size - x) * (seconds - y) for size, seconds in cost.items())
    return round(1000 * above / sum((size - x) ** 2 for size in cost), 4)


if __name__ == "__main__":
    main()
