"""Images: a layout, a push, a change of code and memory, compared with common tools.

Run it as ``python -m benchmarks.images`` from the checkout, as root (it starts a Docker daemon and
registries, which tests/engines/install installs). Every command is a process of its own, with its
start and imports; every push goes to a new, empty registry.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.measure import Run
from benchmarks.memory import peak, write_wheel
from tests.engines.containers import Engine, docker_daemon
from tests.engines.registry import started
from tests.image.transports.registry.fake import CuttingProxy
from uv import find_uv_bin

CLOSURE = "ragas-0.4.3"
TARGETS = {
    "layout / (sha256sum + cp)": 1.5,
    "(docker build + push) / (layout + push)": 5.0,
    "a change of code, seconds beyond the wheel": 0.5,
    "a change of code, bytes pushed": 100_000,
    "memory MiB": 200.0,
}
_MIB = 1 << 20
_LARGE = 3  # wheels of 1 GB

# what our process does with a bundle: argv is the bundle, the layout, the tags in registries
_PUBLISH = """
import sys
from pathlib import Path
from lls_provider.bundle.bundle import read_bundle
from lls_provider.image.bundle_image import compose
from lls_provider.image.transports.layout import write_layout
from lls_provider.image.transports.registry.reference import tagged
from lls_provider.image.transports.registry.transfer import push
bundle, layout, *tags = sys.argv[1:]
image = compose(read_bundle(Path(bundle)))
write_layout(image, Path(layout))
for tag in tags:
    push(image, tagged(tag))
"""
# the same, from wheels: argv is the wheels' directory, the name of the provider's, then as above
_FROM_WHEELS = """
import sys
from pathlib import Path
from benchmarks import measure
from lls_provider.wheels.interpreter import Interpreter
wheels = sorted(Path(sys.argv[1]).glob("*.whl"))
(own,) = [it for it in wheels if it.name.startswith(sys.argv[2] + "-")]
measure.bundle(wheels, own, Path(sys.argv[3]), Interpreter(Path(sys.executable), (3, 12, 0)))
sys.argv[1:] = sys.argv[3:]
""" + _PUBLISH.replace("import sys\nfrom pathlib import Path\n", "")


def main() -> None:
    """Measure, print, write the JSON."""
    parser = measure.options(__doc__, repetitions=5)
    parser.add_argument("--disk", type=Path, default=Path("/var/tmp"), help="default: %(default)s")  # noqa: S108
    parser.add_argument("--only", choices=["layout", "push", "change", "memory"])
    arguments = parser.parse_args()
    interpreter = measure.target(arguments)
    machine = measure.machine(interpreter)
    wheels = measure.closure(CLOSURE, interpreter.path)
    parts: dict[str, Callable[[Path], dict[str, Any]]] = {
        "layout": lambda directory: layout(wheels, directory, arguments.repetitions),
        "push": lambda directory: pushing(wheels, directory, arguments.repetitions),
        "change": lambda directory: change(directory, interpreter.path, arguments.repetitions),
        "memory": lambda directory: memory(directory),
    }
    found: dict[str, Any] = {}
    for name, part in parts.items():
        if arguments.only in (None, name):
            parent = arguments.disk if name == "memory" else arguments.scratch
            with tempfile.TemporaryDirectory(prefix="lls-benchmark-", dir=parent) as directory:
                print(f"\n== {name}")
                found[name] = part(Path(directory))
    document = {"machine": machine, "load after": os.getloadavg(), "targets": TARGETS, **found}
    measure.report("images", arguments, document)


def layout(wheels: Path, scratch: Path, repetitions: int) -> dict[str, Any]:
    """Wheels in a directory to an OCI layout, and an assembled bundle to one."""
    files = sorted(wheels.glob("*.whl"))
    bundle = scratch / "bundle"
    ours(_FROM_WHEELS, wheels, "ragas", bundle, scratch / "layout")

    def copy() -> Run:
        target = measure.empty(scratch / "copy")
        return measure.run(["cp", *files, target])

    ways = {
        "sha256sum": lambda: measure.run(["sha256sum", *files]),
        "cp": copy,
        "layout": lambda: ours(_PUBLISH, bundle, scratch / "layout"),
        "wheels to layout": lambda: ours(
            _FROM_WHEELS, wheels, "ragas", measure.empty(scratch / "other"), scratch / "layout"
        ),
    }
    figures = measure.interleaved(ways, repetitions)
    measure.table(figures, "layout")
    base = figures["sha256sum"].median + figures["cp"].median
    ratios = {
        name: round(figures[name].median / base, 3) for name in ("layout", "wheels to layout")
    }
    print("of sha256sum + cp:", ratios)
    size = sum(path.stat().st_size for path in files)
    return {"seconds": figures, "of sha256sum + cp": ratios, "bytes": size}


def pushing(wheels: Path, scratch: Path, repetitions: int) -> dict[str, Any]:
    """The same files with `docker build` and `docker push`, and with our code."""
    bundle = scratch / "context" / "lls-provider"
    ours(_FROM_WHEELS, wheels, "ragas", bundle, scratch / "layout")
    (scratch / "context" / "Dockerfile").write_text(
        "FROM scratch\nCOPY lls-provider /lls-provider\n"
    )
    with docker_daemon(engine("dockerd"), engine("docker")) as docker:
        numbers = itertools.count()

        def by_docker() -> Run:
            with registry(scratch) as host:
                name = f"{host}/by/docker:{next(numbers)}"
                build = [*docker.command, "build", "--quiet", "--no-cache", "--tag", name]
                built = measure.run([*build, scratch / "context"])
                pushed = measure.run([*docker.command, "push", "--quiet", name])
                forget(docker, name)
                return Run(built.wall + pushed.wall, built.user, built.system)

        def by_us() -> Run:
            with registry(scratch) as host:
                return ours(_PUBLISH, bundle, scratch / "layout", f"{host}/by/us:1")

        ways = {"docker build + push": by_docker, "layout + push": by_us}
        figures = measure.interleaved(ways, repetitions)
    measure.table(figures, "layout + push")
    ratio = figures["docker build + push"].median / figures["layout + push"].median
    return {"seconds": figures, "docker / ours": round(ratio, 2)}


def change(scratch: Path, python: Path, repetitions: int) -> dict[str, Any]:
    """A line of the provider's code changes: `build --locked` to a registry, less `uv build`.

    The provider needs one package, or the whole closure; or it is new from its template, and tried
    beside the real server that it is built for.
    """
    projects = [
        provider(scratch / "few", ["idna"]),
        provider(scratch / "closure", ["ragas==0.4.3"]),
        provider(scratch / "beside a server"),
    ]
    return {it.name: changing(it, scratch, python, repetitions) for it in projects}


def changing(project: Path, scratch: Path, python: Path, repetitions: int) -> dict[str, Any]:
    """The result of `change` for one project."""
    build: list[str | Path] = [command(), "build", project, "--base", "scratch"]
    build += ["--python", python]
    wheel: list[str | Path] = [find_uv_bin(), "build", "--quiet", "--wheel", "--python", python]
    wheel += ["--out-dir", scratch / "out", project]
    numbers = itertools.count()
    # an installed SDK is compiled
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    def changed(words: list[str | Path], host: str = "") -> Run:
        line = f"ANSWER = {next(numbers)}\n"
        (project / "src" / "acme_echo" / "answer.py").write_text(line)
        place = ["--output", f"docker://{host}/acme/echo:1"] if host else []
        return measure.run([*words, *place], **environment)

    with registry(scratch) as host, CuttingProxy(_address(host)) as proxy:
        changed([*build, "--lock"], host)
        ways = {
            "uv build": lambda: changed(wheel),
            "build": lambda: changed([*build, "--locked"], host),
        }
        figures = measure.interleaved(ways, repetitions)
        proxy.reset()
        changed([*build, "--locked"], proxy.host)
        sent = proxy.passed["up"]
    measure.table(figures, "build")
    beyond = round(figures["build"].median - figures["uv build"].median, 3)
    print(f"{project.name}: {beyond} s beyond the wheel, {sent:,} bytes sent")
    return {"seconds": figures, "beyond the wheel": beyond, "bytes sent": sent}


def memory(scratch: Path) -> dict[str, Any]:
    """Wheels of 3 GB, from the wheels to a layout and a registry: all processes together."""
    wheels = scratch / "wheels"
    wheels.mkdir()
    for number in range(_LARGE):
        large_wheel(wheels, f"large{number}", 1000)
    with registry(scratch) as host:
        tag = f"{host}/large/closure:1"
        arguments = [str(wheels), "large0", str(scratch / "bundle"), str(scratch / "layout"), tag]
        os.environ["PYTHONPATH"] = str(measure.HERE.parent)
        pss, rss = peak([sys.executable, "-c", _FROM_WHEELS, *arguments])
    size = sum(path.stat().st_size for path in wheels.iterdir())
    print(f"{size:,} bytes of wheels: {pss:.1f} MiB (upper bound {rss:.1f})")
    return {"bytes": size, "PSS MiB": round(pss, 1), "upper bound (RSS) MiB": round(rss, 1)}


def ours(program: str, *arguments: object) -> Run:
    """One of the programs above, in a process of its own."""
    words = [sys.executable, "-c", program, *map(str, arguments)]
    return measure.run(words, PYTHONPATH=str(measure.HERE.parent))


def command() -> Path:
    """The command line of this environment."""
    return Path(sys.executable).with_name("lls-provider")


def engine(name: str) -> str:
    """The path of an engine's command."""
    path = shutil.which(name)
    if path is None:
        raise SystemExit(f"{name} is not installed: run tests/engines/install")
    return path


@contextlib.contextmanager
def registry(scratch: Path) -> Iterator[str]:
    """An empty registry."""
    directory = Path(tempfile.mkdtemp(prefix="registry-", dir=scratch))
    try:
        with started(engine("docker-registry"), directory) as host:
            yield host
    finally:
        shutil.rmtree(directory)


def forget(docker: Engine, name: str) -> None:
    """Remove an image, so that the next build starts from nothing."""
    docker.run("image", "rm", "--force", name)
    docker.run("image", "prune", "--force")


def provider(project: Path, dependencies: list[str] | None = None) -> Path:
    """A new project; with ``dependencies``, one with these only and without a server."""
    measure.run([command(), "new", project, "--no-input", "name=acme-echo", "api=inference"])
    if dependencies is not None:
        settings = project / "pyproject.toml"
        lines = settings.read_text().splitlines()
        kept = [it for it in lines if not it.startswith(("distribution =", "base ="))]
        amended = [
            f"dependencies = {dependencies!r}" if it.startswith("dependencies") else it
            for it in kept
        ]
        settings.write_text("\n".join(amended) + "\n")
    return project


def large_wheel(directory: Path, name: str, size: int) -> None:
    """A wheel of ``size`` MiB that cannot be compressed."""
    block = os.urandom(_MIB)
    with zipfile.ZipFile(directory / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        write_wheel(archive, name, [block] * size)


def _address(host: str) -> tuple[str, int]:
    name, _, port = host.rpartition(":")
    return name, int(port)


if __name__ == "__main__":
    main()
