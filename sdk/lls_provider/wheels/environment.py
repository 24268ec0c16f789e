"""Environments that uv makes: of a distribution's pins, and for build backends (PEP 517).

The environment of a distribution is the real server, made once and cached by its pins. The key of a
build environment is what uv resolves its requirements to, hashes included, and the Python. Builds
share a build environment and install nothing into it after it was made. One that a backend changed
is made again, so that no build leaves anything to the next one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.errors import Code, SdkError
from lls_provider.progress import SILENT, Progress, counted
from lls_provider.system.cache import locked, scratch, writing
from lls_provider.system.cache_sections import cache_section
from lls_provider.wheels.uv import run_uv
from lls_provider.wheels.uv_settings import sourced

if TYPE_CHECKING:
    from lls_provider.wheels.distribution import Distribution
    from lls_provider.wheels.interpreter import Interpreter

_COMPLETE = ".complete"  # in a build environment it holds the fingerprint of what was installed


@dataclass(frozen=True, slots=True)
class Environment:
    """The Python of an environment with a distribution's packages."""

    python: Path
    distribution: Distribution

    @property
    def bin(self) -> Path:
        """The directory of its commands."""
        return self.python.parent


def ensure_environment(distribution: Distribution, *, progress: Progress = SILENT) -> Environment:
    """The environment of a distribution, made if it is not in the cache yet.

    Two concurrent processes make it once. One that was killed half-way is made again: the lock
    ends with its owner, and only a complete environment is marked as such. Raises what `run_uv`
    raises.
    """
    if found := existing_environment(distribution):
        return found
    directory = _directory(distribution)

    def waiting() -> None:
        progress.step(f"waiting for another run, which installs {distribution.label}")

    with locked(directory.with_name(directory.name + ".lock"), waiting=waiting):
        if found := existing_environment(distribution):
            return found
        progress.step(
            f"installing {distribution.label} ({counted(len(distribution.pins), 'package')}) "
            f"for {distribution.interpreter}"
        )
        try:
            _make(directory, distribution)
            with writing(directory):
                (directory / _COMPLETE).touch()
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
    return Environment(_python(directory), distribution)


def existing_environment(distribution: Distribution) -> Environment | None:
    """The environment of a distribution if it is complete; None otherwise."""
    if distribution.environment is not None:
        return Environment(distribution.environment, distribution)
    directory = _directory(distribution)
    complete = (directory / _COMPLETE).is_file() and _python(directory).exists()
    return Environment(_python(directory), distribution) if complete else None


@contextlib.contextmanager
def layered_environment(
    distribution: Distribution,
    wheels: Sequence[Path],
    *,
    doing: str,
    progress: Progress = SILENT,
) -> Iterator[Environment]:
    """A temporary environment of the distribution, with ``wheels`` on top.

    ``wheels`` are what was resolved against the distribution, as for an image. ``doing`` completes
    "Failed while …". Raises what `run_uv` raises.
    """
    with scratch("env") as parent:
        directory = parent / "env"
        progress.step(f"making an environment of {distribution.label} and the provider")
        _make(directory, distribution)
        python = _python(directory)
        run_uv(
            [
                *("pip", "install", "--quiet", "--no-deps", "--offline", "--no-index"),
                *("--python", str(python), *map(str, wheels)),
            ],
            doing=doing,
        )
        yield Environment(python, distribution)


def _directory(distribution: Distribution) -> Path:
    return cache_section("environments") / _key(distribution)


def _python(directory: Path) -> Path:
    return directory / "bin" / "python"


def _key(distribution: Distribution) -> str:
    content = json.dumps(
        [distribution.requirements(), str(distribution.interpreter)], sort_keys=True
    )
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    name = distribution.line.name if distribution.line else "environment"
    return f"{name}-{digest}"


def _make(directory: Path, distribution: Distribution) -> None:
    python = distribution.environment or distribution.interpreter.path
    _make_empty(directory, python, doing=f"making an environment for {distribution.label}")
    if distribution.environment is not None:
        _add_site_packages(directory, distribution.environment)
        return
    try:
        run_uv(
            [
                *("pip", "install", "--quiet", "--no-deps", "--python", str(_python(directory))),
                *("--requirements", "-"),
            ],
            stdin="\n".join(distribution.requirements()) + "\n",
            doing=f"installing the distribution {distribution.label}",
        )
    except SdkError as error:
        if error.code is Code.RESOLUTION_FAILED:
            error.what = f"The packages of {distribution.label} cannot all be installed here"
            error.resolution = (
                "Name the index or directory that has them with --index or --find-links, or an "
                "environment on this machine that has them installed: python:PATH in place of "
                f"{distribution.label}."
            )
        raise


_SITE = (
    "import json, site, sysconfig; "
    "print(json.dumps([*site.getsitepackages(), *map(sysconfig.get_path, ('platlib', 'purelib'))]))"
)


def _add_site_packages(directory: Path, python: Path) -> None:
    """Make the packages of an environment importable from a new one, after its own packages.

    They may be on no index, so they are not installed again.
    """
    try:
        server_site, own_site = (
            json.loads(
                subprocess.run(
                    [str(it), "-I", "-c", _SITE], capture_output=True, check=True, timeout=60
                ).stdout
            )
            for it in (python, _python(directory))
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise SdkError(
            Code.DISTRIBUTION_INVALID,
            f"Cannot see the packages of {python}",
            why=str(error),
            resolution="Name an environment whose Python runs.",
        ) from error
    lines = [f"import site; site.addsitedir({path!r})\n" for path in dict.fromkeys(server_site)]
    with writing(directory):
        (Path(own_site[-1]) / "_distribution.pth").write_text("".join(lines))


# the constraints of builds apply to a backend, not those of what is installed
_UNCONSTRAINED = {"UV_CONSTRAINT": "", "UV_OVERRIDE": ""}


@dataclass(frozen=True, slots=True)
class _Wanted:
    requires: Sequence[str]
    interpreter: Interpreter
    base: Path | None
    sources: Path | None
    pins: Sequence[str] = ()

    def document(self) -> dict[str, Any] | None:
        """A project with the sources of the requirements; None if they have none."""
        return sourced(_plain(self.requires), self.sources) if self.sources is not None else None


@dataclass(frozen=True, slots=True)
class BuildEnvironment:
    """An isolated environment, as the library `build` requires one."""

    directory: Path

    @property
    def python_executable(self) -> str:
        """The Python that the backend runs in."""
        return str(_python(self.directory))

    def make_extra_environ(self) -> Mapping[str, str]:
        """The variables of an activated environment."""
        path = os.environ.get("PATH", os.defpath)
        return {
            "PATH": f"{self.directory / 'bin'}{os.pathsep}{path}",
            "VIRTUAL_ENV": str(self.directory),
        }


@contextlib.contextmanager
def build_environment(
    requires: Sequence[str],
    *,
    interpreter: Interpreter,
    base: Path | None = None,
    sources: Path | None = None,
    pins: Sequence[str] | None = None,
) -> Iterator[BuildEnvironment]:
    """An environment of ``interpreter`` that has ``requires``, while the context lasts.

    uv starts in ``base``, whose settings hold; ``sources`` is the project whose
    ``[tool.uv.sources]`` hold. With ``pins``, the versions to install, the cache is used first,
    and the network only for what is missing there. Raises SdkError WHEEL_BUILD_FAILED for what is
    not a requirement, and what `run_uv` raises.
    """
    wanted = _Wanted(requires, interpreter, base, sources, pins or ())
    with contextlib.ExitStack() as stack:

        def made(environ: Mapping[str, str]) -> BuildEnvironment:
            return stack.enter_context(_environment(wanted, environ))

        try:
            environment = made({} if pins is None else {"UV_OFFLINE": "1"})
        except SdkError as error:
            if pins is None or error.code is not Code.NETWORK:
                raise
            environment = made({})
        yield environment


def backend_pins(
    requires: Sequence[str], *, interpreter: Interpreter, base: Path | None
) -> tuple[str, ...]:
    """The versions of a build backend and its dependencies that a build of ``base`` would use now.

    Raises SdkError WHEEL_BUILD_FAILED for what is not a requirement, and what `run_uv` raises.
    """
    out = _resolved(_Wanted(requires, interpreter, base, base), {}, [])
    return tuple(line for line in out.splitlines() if "==" in line)


@contextlib.contextmanager
def _environment(wanted: _Wanted, environ: Mapping[str, str]) -> Iterator[BuildEnvironment]:
    document = wanted.document()
    resolved = "" if document is not None else _resolved(wanted, environ, ["--generate-hashes"])

    def make(directory: Path) -> None:
        _make_backend(directory, wanted, environ)
        if resolved:
            _install(directory, ["--no-deps", "--requirements=-"], resolved, wanted, environ)

    if document is not None:
        # no requirement line fixes what comes from a directory or from an index of the project
        with scratch("backend") as parent, _files(wanted) as (file, constraints):
            _make_backend(parent / "env", wanted, environ)
            _install(parent / "env", [f"--requirements={file}", *constraints], "", wanted, environ)
            yield BuildEnvironment(parent / "env")
    elif not _is_fixed(resolved):
        with scratch("backend") as parent:
            make(parent / "env")
            yield BuildEnvironment(parent / "env")
    else:
        key = hashlib.sha256(f"{wanted.interpreter}\n{resolved}".encode()).hexdigest()
        directory = cache_section("backends") / key[:32]
        with _cached(directory, make):
            yield BuildEnvironment(directory)


def _is_fixed(resolved: str) -> bool:
    """Whether the content of every requirement is fixed: a version with hashes, no URL."""
    lines = [line for line in resolved.splitlines() if line and not line.startswith(" ")]
    return all("==" in line for line in lines) and resolved.count("--hash=") >= len(lines)


@contextlib.contextmanager
def _cached(directory: Path, make: Callable[[Path], None]) -> Iterator[None]:
    """Hold a complete environment, made first if it is missing or was changed.

    The lock is shared while it is used, so that it is made again only when no build uses it.
    """
    lock = directory.with_name(f"{directory.name}.lock")
    while True:
        with locked(lock, shared=True):
            if _is_complete(directory):
                yield
                return
        with locked(lock):
            if not _is_complete(directory):
                try:
                    make(directory)
                    with writing(directory):
                        (directory / _COMPLETE).write_text(_fingerprint(directory))
                except BaseException:
                    shutil.rmtree(directory, ignore_errors=True)
                    raise


def _is_complete(directory: Path) -> bool:
    try:
        recorded = (directory / _COMPLETE).read_text()
        return _python(directory).exists() and recorded == _fingerprint(directory)
    except (OSError, ValueError):
        return False


def _fingerprint(directory: Path) -> str:
    """The names, sizes and times of what was installed; not the bytecode that Python adds."""
    digest = hashlib.sha256()
    for parent, directories, files in os.walk(directory):
        directories[:] = sorted(name for name in directories if name != "__pycache__")
        for name in sorted(files):
            if name != _COMPLETE:
                path = Path(parent, name)
                found = path.lstat()
                digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _resolved(wanted: _Wanted, environ: Mapping[str, str], options: Sequence[str]) -> str:
    """The requirements file that uv resolves build requirements to: always the same text."""
    with _files(wanted) as (file, constraints):
        return run_uv(
            [
                *("pip", "compile", file, "--quiet", "--no-header", "--no-annotate"),
                *(f"--python={wanted.interpreter.path}", *constraints, *options),
            ],
            stdin="".join(f"{it}\n" for it in _plain(wanted.requires)),
            cwd=wanted.base,
            environ={**_UNCONSTRAINED, **environ},
            doing="resolving the project's build backend",
        )


@contextlib.contextmanager
def _files(wanted: _Wanted) -> Iterator[tuple[str, list[str]]]:
    """Where uv reads the requirements (``-`` is its stdin), and its options for constraints."""
    files = [] if wanted.pins else os.environ.get("UV_BUILD_CONSTRAINT", "").split()
    constraints = [*wanted.pins, *_plain(_build_constraints(wanted.base))]
    document = wanted.document()
    if document is not None:
        import tomli_w
    with scratch("requires") as directory:
        with writing(directory):
            file, project = directory / "constraints.txt", directory / "pyproject.toml"
            file.write_text("".join(f"{it}\n" for it in constraints))
            if document is not None:
                project.write_text(tomli_w.dumps(document), "utf-8")
        options = [f"--constraints={it}" for it in (file, *(Path(it).absolute() for it in files))]
        yield "-" if document is None else str(project), options


def _plain(requires: Sequence[str]) -> list[str]:
    """Requirements, sorted, each as one line that uv can read as a requirement only."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return sorted({str(Requirement(it)) for it in requires})
    except (InvalidRequirement, TypeError) as error:
        raise SdkError(
            Code.WHEEL_BUILD_FAILED,
            "A build requirement is not a requirement",
            why=str(error),
            resolution="Correct it in [build-system] requires of pyproject.toml.",
        ) from error


def _build_constraints(base: Path | None) -> list[str]:
    """``[tool.uv] build-constraint-dependencies`` of the directory that uv starts in."""
    import tomllib

    try:
        data = tomllib.loads(((base or Path()) / "pyproject.toml").read_text("utf-8"))
        found = data["tool"]["uv"]["build-constraint-dependencies"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [str(it) for it in found] if isinstance(found, list) else []


def _make_backend(directory: Path, wanted: _Wanted, environ: Mapping[str, str]) -> None:
    doing = "making an environment for the build backend"
    _make_empty(directory, wanted.interpreter.path, doing=doing, cwd=wanted.base, environ=environ)


def _make_empty(
    directory: Path,
    python: Path,
    *,
    doing: str,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> None:
    run_uv(
        ["venv", "--quiet", "--clear", f"--python={python}", str(directory)],
        cwd=cwd,
        environ=environ,
        doing=doing,
    )


def _install(
    directory: Path,
    what: Sequence[str],
    stdin: str,
    wanted: _Wanted,
    environ: Mapping[str, str],
) -> None:
    # copies: through a link a backend could write into uv's cache
    python = f"--python={_python(directory)}"
    run_uv(
        ["pip", "install", "--quiet", "--link-mode=copy", python, *what],
        stdin=stdin,
        cwd=wanted.base,
        environ={**_UNCONSTRAINED, **environ},
        doing="installing the project's build backend",
    )
