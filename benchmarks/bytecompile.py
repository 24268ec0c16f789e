"""Byte-compiling: what it costs in the Pod's start, and what it saves there.

Run it as ``python -m benchmarks.bytecompile`` from the checkout. The figure to choose by is the
sum: install, compile, preflight, and the time until the real server answers its health check.
The main container mounts the packages read-only, so nothing is compiled for good there: the
processes run with PYTHONDONTWRITEBYTECODE, except where a writable prefix is what is measured.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import Figures, Run

from lls_provider.bundle.assemble import on_this_machine
from lls_provider.bundle.bundle import BundleOptions
from lls_provider.bundle.published import bundle_published
from lls_provider.contract.names import VolumeTree
from lls_provider.local.call import free_port, is_healthy
from lls_provider.local.server import server_environment, start_command
from lls_provider.project.bundle import bundle_project
from lls_provider.project.scaffold import scaffold
from lls_provider.project.settings import read_settings
from lls_provider.system.cache import cache_root
from lls_provider.wheels.environment import Environment, ensure_environment
from lls_provider.wheels.loading import load_distribution

BASE = (
    "version: 2\ndistro_name: benchmark\nproviders: {}\nregistered_resources: {}\n"
    "server: {host: 127.0.0.1}\n"
)
_TIMEOUT = 180.0  # seconds until the server must be ready

_COMPILE = """\
import compileall, py_compile, sys
jobs, *names = sys.argv[1:]
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
for name in names:
    done = compileall.compile_dir(
        name, quiet=2, workers=int(jobs), invalidation_mode=mode, maxlevels=50
    )
"""
_COMPILE_SOME = """\
import py_compile, sys
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
for name in sys.stdin.read().splitlines():
    py_compile.compile(name, invalidation_mode=mode, quiet=2)
"""
_LIST_IMPORTED = """\
import importlib, sys
directory, name = sys.argv[1:]
sys.path.insert(0, directory)
found = importlib.import_module(name + ".provider").get_provider_spec()
for spec in found if isinstance(found, list) else [found]:
    importlib.import_module(spec.module)
files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
print(*(it for it in files if it.startswith(directory) and it.endswith(".py")), sep="\\n")
"""


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider to start a Pod with; ``package`` is published, or what a project depends on."""

    package: str
    module: str
    api: str
    config: str = "{}"
    needs: tuple[str, ...] = ()  # of the project, besides the package
    overrides: tuple[str, ...] = ()

    def bundle(self) -> Path:
        """Its bundle for this machine, made once."""
        directory = cache_root() / "benchmarks" / f"{self.module}-{self.package}"
        options = BundleOptions([measure.SERVER], overrides=self.overrides)
        if directory.is_dir():
            return directory
        if not self.needs:
            bundle_published(self.package, on_this_machine(directory), options)
            return directory
        with tempfile.TemporaryDirectory() as name:
            answers = {"name": self.module.replace("_", "-")}
            project = scaffold(Path(name, self.module), answers).path
            settings = project / "pyproject.toml"
            needs = "".join(f', "{requirement}"' for requirement in (self.package, *self.needs))
            settings.write_text(
                settings.read_text().replace('"pydantic>=2"', f'"pydantic>=2"{needs}')
            )
            source = project / "src" / self.module / "inference.py"
            imported = f"import {self.package.partition('=')[0]}  # noqa: F401\n"
            source.write_text(
                source.read_text().replace("from ._server", f"{imported}from ._server", 1)
            )
            bundle_project(read_settings(project), on_this_machine(directory), options)
        return directory


PROVIDERS = {
    "fms": Provider(
        "llama-stack-provider-trustyai-fms==0.4.0", "llama_stack_provider_trustyai_fms", "safety"
    ),
    "lmeval": Provider(
        "llama-stack-provider-lmeval==0.5.0",
        "llama_stack_provider_lmeval",
        "eval",
        '{"use_k8s": false}',
    ),
    # its server part imports ragas, which imports some thousand modules
    "ragas": Provider(
        "ragas==0.4.3",
        "imports_ragas",
        "inference",
        needs=("langchain-community<0.4.2",),
        overrides=("openai==3.57.0",),
    ),
}


def main() -> None:
    """Measure, print, write the JSON."""
    parser = measure.options(__doc__, repetitions=5)
    parser.add_argument("--provider", choices=PROVIDERS, default="fms", help="default: %(default)s")
    arguments = parser.parse_args()
    provider = PROVIDERS[arguments.provider]
    environment = ensure_environment(load_distribution(measure.SERVER, python=arguments.python))
    bundle = provider.bundle()
    with measure.scratch(arguments) as scratch:
        source = Path(shutil.copytree(bundle, scratch / "lls-provider"))
        pod = _Pod(scratch, environment, source, provider)
        ways: dict[str, Callable[[], dict[str, Run]]] = {
            "none": lambda: pod.start(lambda: None),
            "provider only": lambda: pod.start(pod.compile_provider),
            "all, one process": lambda: pod.start(lambda: pod.compile_all(1)),
            "all, two processes": lambda: pod.start(lambda: pod.compile_all(2)),
            "what the provider imports": lambda: pod.start(pod.compile_imported),
            "prefix in the main container": lambda: pod.start(lambda: None, prefix=True),
            "what preflight imports": lambda: pod.start(lambda: None, keep=True),
        }
        runs: dict[str, list[dict[str, Run]]] = {name: [] for name in ways}
        pod.start(lambda: None)
        pod.list_imported()
        before = measure.machine(environment.distribution.interpreter)
        for _ in range(arguments.repetitions):
            for name, way in ways.items():
                runs[name].append(way())
    print(f"{len(pod.imported.splitlines()):,} modules of {provider.package} are imported")
    _show(runs, arguments, before)


def _show(
    runs: Mapping[str, list[dict[str, Run]]], arguments: argparse.Namespace, machine: object
) -> None:
    totals: dict[str, Figures] = {}
    phases: dict[str, dict[str, Figures]] = {}
    for name, found in runs.items():
        phases[name] = {key: Figures.of([run[key] for run in found]) for key in found[0]}
        totals[name] = Figures.of([_sum(list(run.values())) for run in found])
    measure.table(totals, "none")
    for name, figures in phases.items():
        shown = ", ".join(f"{key} {value.median:.2f}" for key, value in figures.items())
        print(f"{name}: {shown}")
    document = {
        "machine": machine,
        "load after": os.getloadavg(),
        "server": measure.SERVER,
        "package": PROVIDERS[arguments.provider].package,
        "totals": totals,
        "phases": phases,
    }
    measure.report(f"bytecompile-{arguments.provider}", arguments, document)


def _sum(runs: list[Run]) -> Run:
    return Run(
        sum(run.wall for run in runs),
        sum(run.user for run in runs),
        sum(run.system for run in runs),
    )


class _Pod:
    """One start of a Pod after another, each on a new volume."""

    def __init__(
        self, scratch: Path, environment: Environment, source: Path, provider: Provider
    ) -> None:
        self.provider = provider
        self.scratch = scratch
        self.environment = environment
        self.source = source
        self.root = scratch / "volume"
        self.tree = VolumeTree(self.root)
        self.imported = ""

    def start(
        self, compiling: Callable[[], None], *, prefix: bool = False, keep: bool = False
    ) -> dict[str, Run]:
        """Install, compile, merge, preflight, and run the server until it is ready.

        With ``keep`` preflight leaves bytecode on the volume, as the last init container does.
        """
        measure.empty(self.root)
        python = self.environment.python
        own = measure.install_command(python, self.source, self.root, api=self.provider.api)
        own += ["--config", self.provider.config]
        found = {"install": measure.run(own), "compile": _timed(compiling)}
        self.tree.base_config.parent.mkdir()
        self.tree.base_config.write_text(BASE)
        merge: list[str | Path] = [
            python,
            "-I",
            "-S",
            self.tree.zipapp,
            "merge",
            "--root",
            self.root,
        ]
        measure.run(merge)
        variables = self._variables(prefix=prefix)
        config = self.tree.config / "run.yaml"
        preflight: list[str | Path] = [
            python,
            "-I",
            "-S",
            self.tree.zipapp,
            "preflight",
            "--root",
            self.root,
        ]
        if keep:
            preflight.append("--keep-bytecode")
        found["preflight"] = measure.run([*preflight, "--run-yaml", config], **variables)
        found["ready"] = self._serve(config, variables)
        return found

    def compile_provider(self) -> None:
        """The provider's own package only."""
        self._compile(1, self.tree.python_packages / self.provider.module)

    def compile_all(self, jobs: int) -> None:
        """Everything that was installed."""
        self._compile(jobs, self.tree.python_packages)

    def compile_imported(self) -> None:
        """What importing the provider imports, as a list that the build could have made."""
        python = self.environment.python
        command = [python, "-I", "-S", "-c", _COMPILE_SOME]
        subprocess.run([str(word) for word in command], input=self.imported, text=True, check=True)

    def list_imported(self) -> None:
        """Make that list, from an uncompiled tree."""
        packages = self.tree.python_packages
        command = [
            self.environment.python,
            "-B",
            "-c",
            _LIST_IMPORTED,
            packages,
            self.provider.module,
        ]
        self.imported = subprocess.run(
            [str(word) for word in command], check=True, capture_output=True, text=True
        ).stdout

    def _compile(self, jobs: int, directory: Path) -> None:
        command = [self.environment.python, "-I", "-S", "-c", _COMPILE, str(jobs), directory]
        subprocess.run([str(word) for word in command], check=True)

    def _variables(self, *, prefix: bool) -> dict[str, str]:
        home = measure.empty(self.scratch / "home")
        variables = server_environment(
            {"PATH": os.environ["PATH"]},
            home=home,
            temporary=measure.empty(self.scratch / "tmp"),
            packages=[self.tree.python_packages],
            given={},
        )
        if not self.imported:  # the first start compiles the environment's own modules
            return variables
        if prefix:
            return variables | {"PYTHONPYCACHEPREFIX": str(measure.empty(self.scratch / "pycs"))}
        return variables | {"PYTHONDONTWRITEBYTECODE": "1"}

    def _serve(self, config: Path, variables: Mapping[str, str]) -> Run:
        port = free_port()
        before = time.perf_counter()
        log = self.scratch / "server.log"
        with log.open("wb") as stream:
            server = subprocess.Popen(
                start_command(self.environment, config, port),
                env=dict(variables),
                stdout=stream,
                stderr=stream,
                cwd=self.scratch,
            )
            while not is_healthy(port):
                if server.poll() is not None or time.perf_counter() - before > _TIMEOUT:
                    server.kill()
                    raise SystemExit(log.read_text("utf-8", "replace")[-4000:])
                time.sleep(0.02)
        wall = time.perf_counter() - before
        server.terminate()
        _, _, usage = os.wait4(server.pid, 0)
        server.returncode = 0
        return Run(wall, usage.ru_utime, usage.ru_stime)


def _timed(work: Callable[[], None]) -> Run:
    wall, cpu = time.perf_counter(), os.times()
    work()
    after = os.times()
    return Run(
        time.perf_counter() - wall,
        after.children_user - cpu.children_user,
        after.children_system - cpu.children_system,
    )


if __name__ == "__main__":
    main()
