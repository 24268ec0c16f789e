"""Environments that build backends run in (PEP 517): made by uv, once for what is in them.

The key is what uv resolves the requirements to, hashes included, and the Python. A backend uses
such an environment while others do; nothing is installed into it after it was made. One that was
changed all the same is made again, so that no build leaves anything to the next one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w
from packaging.requirements import InvalidRequirement, Requirement

from lls_provider.errors import Code, SdkError
from lls_provider.system.cache import cache_root, locked, scratch, writing
from lls_provider.wheels.source_tree import sourced
from lls_provider.wheels.uv import run_uv

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter

_COMPLETE = ".complete"  # holds the fingerprint of what was installed
# a backend obeys the constraints of builds, not those of what is installed
_UNCONSTRAINED = {"UV_CONSTRAINT": "", "UV_OVERRIDE": ""}


@dataclass(frozen=True, slots=True)
class _Wanted:
    requires: Sequence[str]
    interpreter: Interpreter
    base: Path | None
    sources: Path | None
    pins: Sequence[str] = ()

    def document(self) -> dict[str, Any] | None:
        """The project that says where uv takes the requirements from, if one says it."""
        return sourced(_plain(self.requires), self.sources) if self.sources is not None else None


@dataclass(frozen=True, slots=True)
class BuildEnvironment:
    """An isolated environment, as the library `build` requires one."""

    folder: Path

    @property
    def python_executable(self) -> str:
        """The Python that the backend runs in."""
        return str(self.folder / "bin" / "python")

    def make_extra_environ(self) -> Mapping[str, str]:
        """The variables of an activated environment."""
        path = os.environ.get("PATH", os.defpath)
        return {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{path}",
            "VIRTUAL_ENV": str(self.folder),
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
    ``[tool.uv.sources]`` hold. With ``pins``, the versions of what is
    installed, the network is not requested what the cache has. Raises SdkError
    WHEEL_BUILD_FAILED for what is not a requirement, and what `run_uv` raises.
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
    """The versions of a build backend and of what it needs, as a build of ``base`` takes them now.

    Raises SdkError WHEEL_BUILD_FAILED for what is not a requirement, and what `run_uv` raises.
    """
    out = _resolved(_Wanted(requires, interpreter, base, base), {}, [])
    return tuple(line for line in out.splitlines() if "==" in line)


@contextlib.contextmanager
def _environment(wanted: _Wanted, environ: Mapping[str, str]) -> Iterator[BuildEnvironment]:
    document = wanted.document()
    resolved = "" if document is not None else _resolved(wanted, environ, ["--generate-hashes"])

    def make(folder: Path) -> None:
        _make_empty(folder, wanted, environ)
        if resolved:
            _install(folder, ["--no-deps", "--requirements=-"], resolved, wanted, environ)

    if document is not None:
        # what an index of the project's own or a directory gives has no line that says it all
        with scratch("backend") as parent, _files(wanted) as (file, constraints):
            _make_empty(parent / "env", wanted, environ)
            _install(parent / "env", [f"--requirements={file}", *constraints], "", wanted, environ)
            yield BuildEnvironment(parent / "env")
    elif not _is_fixed(resolved):
        with scratch("backend") as parent:
            make(parent / "env")
            yield BuildEnvironment(parent / "env")
    else:
        key = hashlib.sha256(f"{wanted.interpreter}\n{resolved}".encode()).hexdigest()
        folder = cache_root() / "backends" / key[:32]
        with _cached(folder, make):
            yield BuildEnvironment(folder)


def _is_fixed(resolved: str) -> bool:
    """Whether all of it has one content: versions with hashes, no directory or archive of a URL."""
    lines = [line for line in resolved.splitlines() if line and not line.startswith(" ")]
    return all("==" in line for line in lines) and resolved.count("--hash=") >= len(lines)


@contextlib.contextmanager
def _cached(folder: Path, make: Callable[[Path], None]) -> Iterator[None]:
    """Hold the finished environment of a key, made if it does not exist whole.

    The lock is shared while it is used, so that it is made again only when no one uses it.
    """
    lock = folder.with_name(f"{folder.name}.lock")
    while True:
        with locked(lock, shared=True):
            if _is_whole(folder):
                yield
                return
        with locked(lock):
            if not _is_whole(folder):
                try:
                    make(folder)
                    with writing(folder):
                        (folder / _COMPLETE).write_text(_fingerprint(folder))
                except BaseException:
                    shutil.rmtree(folder, ignore_errors=True)
                    raise


def _is_whole(folder: Path) -> bool:
    try:
        told = (folder / _COMPLETE).read_text()
        return (folder / "bin" / "python").exists() and told == _fingerprint(folder)
    except (OSError, ValueError):
        return False


def _fingerprint(folder: Path) -> str:
    """The names, sizes and times of what was installed; not the bytecode that Python adds."""
    digest = hashlib.sha256()
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            if name != _COMPLETE:
                path = Path(place, name)
                found = path.lstat()
                digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _resolved(wanted: _Wanted, environ: Mapping[str, str], options: Sequence[str]) -> str:
    """What uv resolves build requirements to, as a file of requirements: always the same text."""
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
    """Where uv reads the requirements (``-`` for its stdin), and the options of constraints."""
    told = [] if wanted.pins else os.environ.get("UV_BUILD_CONSTRAINT", "").split()
    constraints = [*wanted.pins, *_plain(_build_constraints(wanted.base))]
    document = wanted.document()
    with scratch("requires") as folder:
        with writing(folder):
            file, project = folder / "constraints.txt", folder / "pyproject.toml"
            file.write_text("".join(f"{it}\n" for it in constraints))
            if document is not None:
                project.write_text(tomli_w.dumps(document), "utf-8")
        options = [f"--constraints={it}" for it in (file, *(Path(it).absolute() for it in told))]
        yield "-" if document is None else str(project), options


def _plain(requires: Sequence[str]) -> list[str]:
    """Requirements sorted, each one line that uv reads as nothing else."""
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
    try:
        data = tomllib.loads(((base or Path()) / "pyproject.toml").read_text("utf-8"))
        found = data["tool"]["uv"]["build-constraint-dependencies"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [str(it) for it in found] if isinstance(found, list) else []


def _make_empty(folder: Path, wanted: _Wanted, environ: Mapping[str, str]) -> None:
    run_uv(
        ["venv", "--quiet", "--clear", f"--python={wanted.interpreter.path}", str(folder)],
        cwd=wanted.base,
        environ=environ,
        doing="making an environment for the build backend",
    )


def _install(
    folder: Path,
    what: Sequence[str],
    stdin: str,
    wanted: _Wanted,
    environ: Mapping[str, str],
) -> None:
    # copies: through a link a backend could write into uv's cache
    python = f"--python={folder / 'bin' / 'python'}"
    run_uv(
        ["pip", "install", "--quiet", "--link-mode=copy", python, *what],
        stdin=stdin,
        cwd=wanted.base,
        environ={**_UNCONSTRAINED, **environ},
        doing="installing the project's build backend",
    )
