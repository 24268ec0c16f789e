"""Builds wheels with the library `build`: a project's backend (PEP 517) in an environment of uv's.

The backend runs in the Python that the wheel is for. Its output goes to the progress as it comes,
and the end of it into the error if it fails. A source archive is unpacked first. Backends follow
symbolic links, so links are checked here. A wheel that is not pure is for this machine only.
"""

from __future__ import annotations

import contextvars
import hashlib
import os
import shutil
import subprocess
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import SILENT, Progress
from lls_provider.runtime.target_python import shown_platform
from lls_provider.system.cache import locked, scratch, writing
from lls_provider.system.cache_sections import cache_section
from lls_provider.wheels.environment import build_environment
from lls_provider.wheels.reproducible import repack
from lls_provider.wheels.sdist import unpack_sdist
from lls_provider.wheels.uv import backend_cause, cause_of, requires_cause, uv_environment, uv_error

if TYPE_CHECKING:
    from build import BuildBackendException, ProjectBuilder

    from lls_provider.wheels.environment import BuildEnvironment
    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.resolve import LockedPackage

_T = TypeVar("_T")
_KEPT_LINES = 400  # of a backend's output, for the error
_LINE_LIMIT = 32_000  # bytes; the rest counts as another line
_FAULTS_OF_PROJECT = (Code.TOOL_FAILED, Code.RESOLUTION_FAILED, Code.WHEEL_BUILD_FAILED)
_ENCODING = "utf-8:backslashreplace"  # of what a backend prints, as uv sets it
_SECRETS = ("UV_API_KEY", "UV_AUTH_TOKEN", "PYX_API_KEY", "PYX_AUTH_TOKEN")  # uv's own


def build_wheel(
    source: Path,
    out: Path,
    *,
    interpreter: Interpreter,
    base: Path | None = None,
    pins: Sequence[str] | None = None,
    meanwhile: Callable[[], object] | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Build the wheel of a project directory or of an sdist into the directory ``out``.

    uv starts in ``base`` (default: the project directory). With ``pins``, the versions of the
    backend and its dependencies, the cache is used first, and the network only for what is missing
    there. ``meanwhile`` is called once, in another thread, while the backend works. Returns the
    repacked wheel. Raises SdkError WHEEL_BUILD_FAILED with the output of the build backend, NETWORK
    or NO_SPACE.
    """
    source = source.absolute()
    for link in endless_links(source):
        progress.warn(
            f"{link.relative_to(source)} is a link to a directory that contains it: a build "
            "backend that follows it packs its content many times, or never ends"
        )
    progress.step(f"building the wheel of {source.name}")
    with scratch("wheel") as directory:
        made = directory / "wheel"
        with _alongside(meanwhile), _removing_leftovers(source):
            tree = source if source.is_dir() else unpack_sdist(source, directory / "source")
            build = _Build(source, tree, base, progress)
            build.run(made, interpreter, pins)
        built = sorted(made.glob("*.whl"))
        if len(built) != 1:
            raise SdkError(
                Code.WHEEL_BUILD_FAILED,
                f"The build of {source.name} made {len(built)} wheels instead of one",
                where=Where(file=str(source)),
                resolution="Check [build-system] in its pyproject.toml.",
            )
        return repack(built[0], out)


class _Build:
    """One build: its project, and the last output of its backend."""

    def __init__(self, source: Path, tree: Path, base: Path | None, progress: Progress) -> None:
        self._source = source
        self._tree = tree
        self._base = base or (source if source.is_dir() else None)
        self._progress = progress
        self._output: deque[str] = deque(maxlen=_KEPT_LINES)
        self._warned: set[str] = set()

    def run(self, out: Path, interpreter: Interpreter, pins: Sequence[str] | None) -> None:
        """Let the backend write its wheel into ``out``."""
        # only the backend itself reports what else it requires; then it runs again, with all of it
        requires = self._system_requires()
        with self._environment(requires, interpreter, pins) as environment:
            builder = self._builder(environment)
            further = self._call(lambda: builder.get_requires_for_build("wheel", {}))
            if not further:
                self._call(lambda: builder.build("wheel", out, {}))
                return
        with self._environment(requires | further, interpreter, pins) as environment:
            builder = self._builder(environment)
            self._call(lambda: builder.build("wheel", out, {}))

    def _system_requires(self) -> set[str]:
        """``[build-system] requires``, or its default (PEP 518)."""
        from build import ProjectBuilder

        with self._valid():
            return ProjectBuilder(self._tree).build_system_requires

    def _builder(self, environment: BuildEnvironment) -> ProjectBuilder:
        from build import ProjectBuilder

        with self._valid():
            return ProjectBuilder.from_isolated_env(environment, self._tree, self._stream)

    @contextmanager
    def _valid(self) -> Iterator[None]:
        """Raise an invalid ``[build-system]`` as our error, and report its warnings."""
        from build import BuildException

        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield
        except (BuildException, ValueError, OSError, RecursionError) as error:
            raise self._failed(str(error)) from error
        for text in dict.fromkeys(str(it.message) for it in caught):
            if text not in self._warned:
                self._warned.add(text)
                self._progress.warn(text)

    @contextmanager
    def _environment(
        self, requires: set[str], interpreter: Interpreter, pins: Sequence[str] | None
    ) -> Iterator[BuildEnvironment]:
        resolving = True
        try:
            with build_environment(
                sorted(requires),
                interpreter=interpreter,
                base=self._base,
                # the sources of an archive are paths on its author's machine
                sources=self._tree if self._tree == self._source else None,
                pins=pins,
            ) as environment:
                resolving = False
                yield environment
        except SdkError as error:
            if not resolving or error.code not in _FAULTS_OF_PROJECT:
                raise
            raise self._failed(
                error.why, cause_of(error.why) or requires_cause(error.why)
            ) from error

    def _call(self, hook: Callable[[], _T]) -> _T:
        """What a hook of the backend returns; raises its failure as an SdkError."""
        from build import BuildBackendException

        try:
            return hook()
        except BuildBackendException as error:
            if isinstance(error.exception, SdkError):  # `build` wraps whatever a runner raises
                raise error.exception from None
            # if the backend cannot be imported, the exception has its traceback
            traceback = getattr(error.exception, "traceback", None)
            message = "\n".join(
                map(str, [*self._output, *filter(None, [traceback]), _ended(error)])
            )
            failure = uv_error(message, 1, f"building the wheel of {self._source.name}")
            if failure.code not in _FAULTS_OF_PROJECT:
                raise failure from error
            raise self._failed(failure.why) from error

    def _stream(
        self,
        cmd: Sequence[str],
        cwd: str | None = None,
        extra_environ: Mapping[str, str] | None = None,
    ) -> None:
        """Run a hook in its process; report each line of its output, and keep it for an error."""
        base_environment = uv_environment(self._base or self._tree, {"PYTHONIOENCODING": _ENCODING})
        environment = {
            **{name: value for name, value in base_environment.items() if name not in _SECRETS},
            **(extra_environ or {}),
        }
        with subprocess.Popen(
            cmd,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            try:
                assert process.stdout is not None  # noqa: S101 - it is a pipe
                while line := process.stdout.readline(_LINE_LIMIT):
                    text = line.decode(errors="replace").rstrip("\r\n")
                    self._output.append(text)
                    self._progress.note(text)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, cmd)

    def _failed(self, why: str, resolution: str | None = None) -> SdkError:
        return SdkError(
            Code.WHEEL_BUILD_FAILED,
            f"The wheel of {self._source.name} cannot be built",
            why=why,
            where=Where(file=str(self._source)),
            resolution=resolution
            or cause_of(why)
            or backend_cause(why, self._backend())
            or _dead_link_named(self._tree, why)
            or "Correct what the build backend reports above; "
            f"'python -m build --wheel {self._source}' runs the same build.",
        )

    def _backend(self) -> str:
        """What ``[build-system] build-backend`` names; empty when it names none."""
        import tomllib

        try:
            text = (self._tree / "pyproject.toml").read_text("utf-8")
            return str(tomllib.loads(text)["build-system"]["build-backend"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""


def _ended(error: BuildBackendException) -> str:
    match error.exception:
        case subprocess.CalledProcessError(returncode=status):
            return f"{error} (exit status: {status})"
        case FileNotFoundError():  # of the file that the hook's process writes at its end
            return "The backend's process ended without a result."
        case _:
            return str(error)


def _dead_link_named(source: Path, message: str) -> str:
    """What to do if a backend fails at a link that leads to no file; empty for other causes."""
    for link in dead_links(source):
        if str(link) in message or f"'{link.relative_to(source)}'" in message:
            return (
                f"Remove {link.relative_to(source)}, or make the link lead to a file: it leads to "
                f"{link.readlink()}, which does not exist."
            )
    return ""


@contextmanager
def _alongside(work: Callable[[], object] | None) -> Iterator[None]:
    """Do other work in a thread while the block runs; raise its error after the block."""
    if work is None:
        yield
        return
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(contextvars.copy_context().run, work)
        yield
        done.result()


@contextmanager
def _removing_leftovers(source: Path) -> Iterator[None]:
    """Remove what setuptools leaves in a project: a later build would use its stale files."""
    before = set(_leftovers(source))
    try:
        yield
    finally:
        for path in set(_leftovers(source)) - before:
            shutil.rmtree(path, ignore_errors=True)


def _leftovers(source: Path) -> Iterator[Path]:
    for pattern in ("build", "*.egg-info", "src/*.egg-info"):
        yield from source.glob(pattern)


def wheel_of_source(
    package: LockedPackage,
    source: Path,
    interpreter: Interpreter,
    *,
    machine: str | None,
    base: Path | None,
    progress: Progress,
) -> Path:
    """The wheel of a package's sdist or directory, for ``machine`` (default: this one).

    An sdist is built once for a Python and a machine, a directory each time. Raises what
    `build_wheel` and `require_portable` raise.
    """
    if package.sha256 is None:
        key = hashlib.sha256(str(source).encode()).hexdigest()
    else:
        key = package.sha256
    directory = cache_section("built") / f"{key}-{interpreter.tag}-{os.uname().machine}"

    def waiting() -> None:
        progress.step(f"waiting for another run, which builds {package.name}")

    with locked(directory.with_name(directory.name + ".lock"), waiting=waiting):
        built = sorted(directory.glob("*.whl"))
        if len(built) == 1 and package.sha256 is not None:
            wheel = built[0]
        else:
            progress.note(f"{package.name} has no wheel: building one from {package.filename}")
            with scratch("sdist") as temporary:
                made = build_wheel(
                    source,
                    temporary,
                    interpreter=interpreter,
                    base=None if source.is_dir() else base,
                    progress=progress,
                )
                with writing(directory):
                    shutil.rmtree(directory, ignore_errors=True)
                    directory.mkdir(parents=True)
                    wheel = directory / made.name
                    shutil.copyfile(made, wheel.with_suffix(".tmp"))
                    wheel.with_suffix(".tmp").replace(wheel)
    require_portable(wheel, [machine] if machine else [])
    if not is_pure(wheel):
        progress.warn(
            f"{wheel.name} was compiled on this machine: it needs the C library of this machine "
            "or a later one"
        )
    return wheel


def is_pure(wheel: Path) -> bool:
    """Whether a wheel is for every machine, by its name."""
    return wheel.name.endswith("-any.whl")


def require_portable(wheel: Path, machines: Collection[str]) -> None:
    """Refuse a wheel that was compiled here if any of ``machines`` is not this one.

    Raises SdkError WHEEL_INCOMPATIBLE.
    """
    foreign = sorted(set(machines) - {os.uname().machine})
    if is_pure(wheel) or not foreign:
        return
    wanted = ", ".join(map(shown_platform, foreign))
    raise SdkError(
        Code.WHEEL_INCOMPATIBLE,
        f"{wheel.name} was compiled on this machine, so it is not for {wanted}",
        why="Nothing is compiled for another machine, and nothing is emulated.",
        where=Where(file=wheel.name),
        resolution=f"Build for {wanted} on such a machine, or publish a wheel for it, or drop the "
        "platform. If the code is pure, let its build backend say so: a wheel named "
        "py3-none-any.",
    )


NO_SOURCE = frozenset({"build", "dist", "node_modules", "site-packages", "venv"})
"""Names of directories without source code of a project."""


def is_link_loop(link: Path) -> bool:
    """Whether a link leads to a directory that contains it, so that following it never ends."""
    return Path(os.path.realpath(link.parent)).is_relative_to(os.path.realpath(link))


def dead_links(root: Path) -> Iterator[Path]:
    """The links below a directory that lead to no file, or only to themselves."""
    return (link for link in _links(root) if not os.path.exists(link))  # noqa: PTH110 - never raises


def endless_links(root: Path) -> Iterator[Path]:
    """The links in a package or in ``src`` that lead to a directory that contains them."""
    for link in _links(root):
        inside = link.parent == root / "src" or (link.parent / "__init__.py").is_file()
        if inside and os.path.isdir(link) and is_link_loop(link):  # noqa: PTH112 - never raises
            yield link


def _links(root: Path) -> Iterator[Path]:
    for parent, directories, files in os.walk(root):
        directories[:] = [
            name
            for name in sorted(directories)
            if not name.startswith(".") and name not in NO_SOURCE
        ]
        for name in (*directories, *sorted(files)):
            if os.path.islink(path := Path(parent, name)):  # noqa: PTH114 - never raises
                yield path
