"""The gain of each trick for speed: one command with the trick and without it, in turns.

Run it as ``python -m benchmarks.tricks`` from the checkout. A trick is removed by an edit of a copy
of the source, so the product has no switch for it. For each trick, it prints the median of the
ratios without / with of all pairs. A trick stays in the code while it saves more than 5 %.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import measure
from benchmarks.images import command as command_line
from benchmarks.images import provider
from benchmarks.install import CLOSURE
from tests.engines.pythonbase import write_base

from lls_provider.bundle.zipapp import zipapp_bytes
from lls_provider.system.cache import cache_root
from lls_provider.wheels.environment import ensure_environment
from lls_provider.wheels.interpreter import Interpreter
from lls_provider.wheels.loading import load_distribution

if TYPE_CHECKING:
    from benchmarks.measure import Run

ROOT = measure.HERE.parent
PACKAGE = Path("sdk", "lls_provider")
_BASE = "with"


@dataclass(frozen=True, slots=True)
class Trick:
    """A trick, the command that shows it, and the edits (module, text, new text) that remove it."""

    name: str
    command: str
    edits: tuple[tuple[str, str, str], ...]


_EXIT = "    leave(guarded(main, termination_log_argument(sys.argv)))\n"
_TYPING = (
    "runtime/__main__.py",
    "runtime/cli/arguments.py",
    "runtime/install/up_to_date.py",
    "runtime/process/exit_guard.py",
)
TRICKS = (
    Trick(
        "prefetch",
        "install",
        (
            (
                "runtime/process/workers.py",
                "alone = worker_count() == 1 or not may_fork()\n",
                "alone = True\n",
            ),
        ),
    ),
    Trick(
        "workers",
        "install",
        (
            (
                "runtime/process/workers.py",
                "    workers = min(workers, count)\n",
                "    workers = 1\n",
            ),
        ),
    ),
    *(
        Trick(
            f"importer, {command}",
            command,
            (("runtime/__main__.py", "    _compile_once()  #", "    pass  #"),),
        )
        for command in ("install", "rerun")
    ),
    *(
        Trick(
            f"os._exit, {command}",
            command,
            (("runtime/__main__.py", _EXIT, _EXIT.replace("leave", "sys.exit")),),
        )
        for command in ("install", "rerun")
    ),
    Trick(
        "no typing",
        "rerun",
        tuple(
            (name, "TYPE_CHECKING = False  #", "from typing import TYPE_CHECKING  #")
            for name in _TYPING
        ),
    ),
    Trick(
        "wheels read and hashed while the backend works",
        "build",
        (
            (
                "project/bundle.py",
                "    return prefetch_wheels(locked, interpreter, outs) if locked",
                "    return PrefetchedWheels() if locked",
            ),
        ),
    ),
    Trick(
        "hashing threads",
        "assemble",
        (
            (
                "bundle/assemble.py",
                "            hashes = pool.map(_hash, placed, earlier)\n",
                "            hashes = map(_hash, placed, earlier)\n",
            ),
        ),
    ),
    Trick(
        "digests of layers",
        "build",
        (("image/image.py", '    return text if is_digest(text) else ""\n', '    return ""\n'),),
    ),
    Trick(
        "probe pool",
        "build beside a server",
        (
            (
                "bundle/trial.py",
                "    if trial is None or os.uname().machine not in machines:\n",
                "    if True:\n",
            ),
        ),
    ),
    *(
        Trick(
            f"no gc, {command}",
            command,
            (("runtime/preflight/probe.py", "    gc.disable()  #", "    pass  #"),),
        )
        for command in ("build beside a server", "preflight")
    ),
    Trick(
        "facts of images",
        "build on a base",
        (
            (
                "image/inspect/file_system.py",
                '        return load(found["seen"]) if found["made by"] == _MADE_BY else None\n',
                "        return None\n",
            ),
        ),
    ),
)


def main() -> None:
    """Measure, print, write the JSON."""
    parser = measure.options(__doc__, repetitions=15)
    parser.add_argument("--only", action="append", metavar="NAME", help="a trick or a command")
    arguments = parser.parse_args()
    chosen = [
        it for it in TRICKS if not arguments.only or {it.name, it.command} & {*arguments.only}
    ]
    before = measure.machine(measure.target(arguments))
    found = {}
    with measure.scratch(arguments) as scratch:
        commands = Commands(scratch, measure.target(arguments).path)
        for trick in chosen:
            ways = [commands.way(trick.command, sdk) for sdk in _sources(trick, scratch)]
            found[trick.name] = _compared(ways[0], ways[1], arguments.repetitions)
            figures = " ".join(f"{key} {value:.3f}" for key, value in found[trick.name].items())
            print(f"{trick.name} ({trick.command}): {figures}", flush=True)
    document = {"machine": before, "load after": os.getloadavg(), "without / with": found}
    measure.report("tricks", arguments, document)


def _compared(
    plain: Callable[[], Run], without: Callable[[], Run], repetitions: int
) -> dict[str, float]:
    plain(), without()  # not counted
    pairs = []
    for number in range(repetitions):
        if number % 2:
            second, first = without(), plain()
        else:
            first, second = plain(), without()
        pairs.append((second.wall / first.wall, second.cpu / first.cpu))
    walls, cpus = zip(*pairs, strict=True)
    low, _, high = statistics.quantiles(walls, n=4)
    return {
        "wall": statistics.median(walls),
        "lower quarter": low,
        "upper quarter": high,
        "cpu": statistics.median(cpus),
    }


def _sources(trick: Trick, scratch: Path) -> Iterator[Path]:
    """Two checkouts: as it is, and without the trick."""
    for name, edits in ((_BASE, ()), ("without", trick.edits)):
        checkout = measure.empty(scratch / name)
        for entry in ROOT.iterdir():
            if entry.name not in ("sdk", "build", ".git"):
                (checkout / entry.name).symlink_to(entry)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / PACKAGE, checkout / PACKAGE, ignore=ignored)
        for module, text, new in edits:
            edit(checkout / PACKAGE / module, text, new)
        yield checkout


def edit(path: Path, text: str, new: str) -> None:
    """Replace a text that a file has once. Raises ValueError otherwise."""
    source = path.read_text("utf-8")
    if source.count(text) != 1:
        raise ValueError(f"{path} holds {text!r} {source.count(text)} times, not once")
    path.write_text(source.replace(text, new), "utf-8")


def _zipapp(checkout: Path) -> Path:
    """The runtime of a checkout, as bundles have it."""
    path = checkout / "lls-provider.pyz"
    path.write_bytes(zipapp_bytes(checkout / PACKAGE, checkout / "contract" / "schemas"))
    return path


def _assemble(python: Path, out: Path) -> None:
    """Make the bundle of the large closure."""
    wheels = sorted(measure.closure(CLOSURE, python).glob("*.whl"))
    own = next(it for it in wheels if it.name.startswith("ragas-"))
    measure.bundle(wheels, own, out, Interpreter(python, (*measure.PYTHON, 0)))


class Commands:
    """The commands with which tricks are measured."""

    def __init__(self, scratch: Path, python: Path) -> None:
        self.scratch = scratch
        self.python = python
        self._projects: dict[str, Path] = {}
        self._served: Path | None = None

    def way(self, command: str, checkout: Path) -> Callable[[], Run]:
        """The command, run with the code of ``checkout``."""
        if command in ("install", "rerun"):
            return self._installing(checkout, again=command == "rerun")
        if command == "assemble":
            return self._assembling(checkout)
        if command == "preflight":
            return self._validating(checkout)
        return self._building(command, checkout)

    def _installing(self, checkout: Path, *, again: bool) -> Callable[[], Run]:
        zipapp = _zipapp(checkout)
        root = measure.empty(self.scratch / f"volume-{checkout.name}")
        command = measure.install_command(self.python, self._bundle(), root)
        command[command.index(self._bundle() / "lls-provider.pyz")] = zipapp

        def run() -> Run:
            if not again:
                measure.empty(root)
            return measure.run(command)

        return run

    def _validating(self, checkout: Path) -> Callable[[], Run]:
        """Preflight of a sample beside its server, on the volume that `up` leaves."""
        zipapp, server = _zipapp(checkout), ensure_environment(load_distribution(measure.SERVER))
        if self._served is None:
            command = [str(command_line()), "up", str(measure.SAMPLE), "--check", "--keep"]
            command += ["--server", measure.SERVER]
            environment = {**os.environ, "TMPDIR": str(measure.empty(self.scratch / "served"))}
            subprocess.run(command, check=True, env=environment)
            (self._served,) = (self.scratch / "served").glob("*/volume")
        root = self._served
        command = [str(server.python), "-I", "-S", str(zipapp), "preflight", "--root", str(root)]
        command += ["--run-yaml", str(root / "config" / "run.yaml")]
        return lambda: measure.run(command)

    def _bundle(self) -> Path:
        source = self.scratch / "lls-provider"
        if not source.is_dir():
            _assemble(self.python, source)
        return source

    def _assembling(self, checkout: Path) -> Callable[[], Run]:
        program = "import sys; from pathlib import Path; from benchmarks import tricks; "
        program += "tricks._assemble(*map(Path, sys.argv[1:]))"
        path = f"{checkout / 'sdk'}:{checkout}"
        cache = os.environ.get("LLS_PROVIDER_CACHE", str(cache_root()))

        def run() -> Run:
            out = self.scratch / "assembled"
            shutil.rmtree(out, ignore_errors=True)
            command = [sys.executable, "-c", program, str(self.python), str(out)]
            return measure.run(command, PYTHONPATH=path, LLS_PROVIDER_CACHE=cache)

        return run

    def _building(self, kind: str, checkout: Path) -> Callable[[], Run]:
        """A locked build to a layout, each time with another line of code."""
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPATH"] = str(checkout / "sdk")
        program = "from lls_provider.cli import main; main()"
        project = self._project(kind)
        base = f"oci:{self.scratch / 'base'}" if kind == "build on a base" else "scratch"
        command = [sys.executable, "-c", program, "build", str(project), "--base", base]
        command += ["--python", str(self.python), "--locked"]
        command += ["--output", f"oci:{self.scratch / f'layout-{checkout.name}'}"]

        def run() -> Run:
            code = project / "src" / "acme_echo" / "answer.py"
            code.write_text(f"ANSWER = {os.urandom(8).hex()!r}\n")
            return measure.run(command, **environment)

        return run

    def _project(self, kind: str) -> Path:
        if kind not in self._projects:
            needed = {"build": ["ragas==0.4.3"], "build on a base": ["idna"]}.get(kind)
            project = provider(self.scratch / kind.replace(" ", "-"), needed)
            if kind == "build on a base":
                write_base(self.scratch / "base", self.python)
            command = [str(command_line()), "build", str(project)]
            command += ["--base", "scratch", "--python", str(self.python), "--lock"]
            command += ["--output", f"oci:{self.scratch / 'locked'}"]
            subprocess.run(command, check=True)
            self._projects[kind] = project
        return self._projects[kind]


if __name__ == "__main__":
    main()
