"""Finds a Python to build for and to run servers on, the packages that it sees, its wheel tags.

A machine's ``python3`` is often older than the servers need, and a newer one may exist only
under a version manager whose shim on PATH fails: so every candidate is run.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from lls_provider.system.cache import user_home
from lls_provider.wheels.missing_python import VARIABLE, no_python, unsuitable_python

if TYPE_CHECKING:
    from packaging.tags import Tag

_TIMEOUT = 20.0  # seconds a candidate may take to report its version
_NEWEST = 20  # the highest minor version that is searched for by name
_ASK = (
    "import json, sys; print(json.dumps([sys.implementation.name, list(sys.version_info[:3]), "
    "sys.version_info.releaselevel, sys.executable]))"
)
_PATCHES = (0, 99)  # the first patch release of a minor version, and one after the last
OLDEST = (3, 11)  # what the installer needs, and so every image
DEFAULT_MINOR = (3, 12)  # what the servers of today run on


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A CPython that was run and reported its version."""

    path: Path
    version: tuple[int, int, int]

    @property
    def minor(self) -> tuple[int, int]:
        """``(3, 12)``."""
        return self.version[:2]

    @property
    def tag(self) -> str:
        """The tag of wheels made for it: ``cp312``."""
        return f"cp{self.version[0]}{self.version[1]}"

    def __str__(self) -> str:
        return f"Python {'.'.join(map(str, self.version))} ({self.path})"


@dataclass(frozen=True, slots=True)
class _Refused:
    candidate: str
    reason: str


def find_interpreter(
    *,
    minimum: tuple[int, int] = DEFAULT_MINOR,
    exactly: tuple[int, int] | None = None,
    explicit: str | None = None,
) -> Interpreter:
    """The lowest suitable Python of this machine: the one that most providers support.

    ``explicit`` (a path, a command, or a version such as ``3.13``) or, without it, the variable
    LLS_PROVIDER_PYTHON names the one to use. ``exactly`` requires that minor version. Raises
    SdkError PYTHON_MISSING, with the reason why each candidate was refused.
    """
    variable = os.environ.get(VARIABLE)
    named = explicit or variable
    by_variable = bool(named and not explicit)
    asked = None
    if named and (version := _as_version(named)):
        asked, named, exactly = named, None, version
        # who asks for a version, such as an image's, gets the Python of the variable if it fits
        if explicit and variable:
            found = _judged(variable, minimum, exactly)
            if isinstance(found, Interpreter):
                return found
    wanted = _wanted(minimum, exactly)
    if named:
        found = _judged(named, minimum, exactly)
        if isinstance(found, Interpreter):
            return found
        would_do, _ = _search(minimum, exactly)
        raise unsuitable_python(
            named,
            found.reason,
            wanted,
            by_variable=by_variable,
            would_do=str(would_do.path) if would_do is not None else None,
        )
    chosen, refused = _search(minimum, exactly)
    if chosen is not None:
        return chosen
    other = _search(minimum, None)[0] if asked is not None else None
    raise no_python(
        wanted,
        [f"{it.candidate}: {it.reason}" for it in refused],
        asked=asked,
        by_variable=by_variable,
        would_do=str(other.path) if other is not None else None,
    )


def _search(
    minimum: tuple[int, int], exactly: tuple[int, int] | None
) -> tuple[Interpreter | None, list[_Refused]]:
    """The lowest suitable Python that is found, and the candidates that were refused before."""
    suitable: dict[tuple[int, int], Interpreter] = {}
    refused: list[_Refused] = []
    # a Python of this version ends the search, so candidates that look like it are run first
    best = exactly or minimum
    for candidate in _likely_first(_candidates(), best):
        found = _judged(candidate, minimum, exactly)
        if isinstance(found, _Refused):
            refused.append(found)
        elif found.minor == best:
            return found, refused
        else:
            suitable.setdefault(found.minor, found)
    return (suitable[min(suitable)] if suitable else None), refused


def _judged(
    candidate: str, minimum: tuple[int, int], exactly: tuple[int, int] | None
) -> Interpreter | _Refused:
    """Run a candidate, and refuse a Python of another version."""
    found = run_candidate(candidate)
    if isinstance(found, _Refused):
        return found
    if found.minor != exactly if exactly else found.minor < minimum:
        version = ".".join(map(str, found.version))
        return _Refused(candidate, f"is Python {version}, not {_wanted(minimum, exactly)}")
    return found


def _wanted(minimum: tuple[int, int], exactly: tuple[int, int] | None) -> str:
    return f"{exactly[0]}.{exactly[1]}" if exactly else f"{minimum[0]}.{minimum[1]} or later"


def lowest_minor(requires_python: str) -> tuple[int, int]:
    """The lowest Python that a project's ``requires-python`` allows; OLDEST if it is unclear.

    The build backend reports a text that is not a specifier.
    """
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        allowed = SpecifierSet(requires_python)
    except InvalidSpecifier:
        return OLDEST
    minors = range(OLDEST[1], _NEWEST + 1)
    fitting = (it for it in minors if any(allowed.contains(f"3.{it}.{n}") for n in _PATCHES))
    return 3, next(fitting, OLDEST[1])


def run_candidate(candidate: str) -> Interpreter | _Refused:
    """Run a candidate, a path or a command on PATH, to learn its implementation and version."""
    path = shutil.which(candidate)
    if path is None:
        return _Refused(candidate, _absence(candidate))
    try:
        done = subprocess.run(
            [path, "-I", "-S", "-c", _ASK],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _Refused(candidate, f"gave no answer within {_TIMEOUT:.0f} s")
    except OSError as error:
        return _Refused(candidate, error.strerror or str(error))
    if done.returncode:
        return _Refused(candidate, f"fails: {_cause(done)}")
    try:
        name, version, level, executable = json.loads(done.stdout)
        major, minor, micro = map(int, version)
        # the executable that it reports: a shim may choose another Python in another directory
        chosen = Path(executable or path)
    except (TypeError, ValueError):
        return _Refused(candidate, "is not a Python")
    if name != "cpython":
        return _Refused(candidate, f"is {name}, not CPython")
    if level != "final":
        return _Refused(candidate, f"is a pre-release ({level})")
    return Interpreter(chosen, (major, minor, micro))


def _absence(candidate: str) -> str:
    """Why there is nothing to run."""
    if os.sep not in candidate:
        return "is not on PATH"
    with contextlib.suppress(OSError):
        if Path(candidate).is_dir():
            return "is a directory"
        if Path(candidate).exists():
            return "is not executable"
    return "does not exist"


def _cause(done: subprocess.CompletedProcess[bytes]) -> str:
    """The most informative line of a failure: a shim's first, a traceback's last."""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    if not lines:
        return f"exit {done.returncode}"
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def _as_version(text: str) -> tuple[int, int] | None:
    major, dot, minor = text.partition(".")
    return (int(major), int(minor)) if dot and major.isdigit() and minor.isdigit() else None


def _candidates() -> Iterator[str]:
    """The paths of Pythons, each real file once.

    A link to a file that is not named like a Python is a shim, which depends on the link's name.
    """
    seen: set[Path] = set()
    for path in _locations():
        # a directory on PATH may not be readable for this user
        with contextlib.suppress(OSError):
            if not path.is_file():
                continue
            real = path.resolve()
            identity = real if real.name.startswith("python") else path
            if identity not in seen:
                seen.add(identity)
                yield str(path)


def _likely_first(candidates: Iterable[str], version: tuple[int, int]) -> list[str]:
    """The candidates: those whose path has the version first, and programs before shims."""
    name = f"{version[0]}.{version[1]}"
    return sorted(candidates, key=lambda path: (name not in path, _is_script(path)))


def _is_script(path: str) -> bool:
    with contextlib.suppress(OSError), Path(path).open("rb") as stream:
        return stream.read(2) == b"#!"
    return True


def _locations() -> Iterable[Path]:
    names = [f"python3.{minor}" for minor in range(11, _NEWEST + 1)]
    # the base of a virtual environment, since its packages do not matter here
    yield Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    directories = [Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry]
    directories += [Path("/usr/bin"), Path("/usr/local/bin")]
    for directory in directories:
        yield from (directory / name for name in names)
    home = user_home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    uv_pythons = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")
    asdf = Path(os.environ.get("ASDF_DATA_DIR") or home / ".asdf") / "installs" / "python"
    mise = Path(os.environ.get("MISE_DATA_DIR") or data / "mise") / "installs" / "python"
    for parent, pattern in (
        (pyenv / "versions", "3.*/bin/python3"),
        (uv_pythons, "*/bin/python3"),
        (asdf, "3.*/bin/python3"),
        (mise, "3.*/bin/python3"),
        (Path("/opt"), "python*/bin/python3"),
        (Path("/opt/hostedtoolcache/Python"), "3.*/*/bin/python3"),
        (home / "miniconda3", "bin/python3"),
        (home / "miniforge3", "bin/python3"),
        (Path("/opt/conda"), "bin/python3"),
    ):
        with contextlib.suppress(OSError):
            yield from sorted(parent.glob(pattern))
    yield from (directory / "python3" for directory in directories)


_LIST = (
    "import importlib.metadata as m, json; "
    "found = ((d.metadata, d) for d in m.distributions()); "
    # what an interrupted uninstallation left has no name
    "print(json.dumps("
    "[[t['Name'], d.version, d.requires or [], d.read_text('RECORD') or '', "
    "d.read_text('top_level.txt') or ''] for t, d in found if t and t['Name']]))"
)
_SECONDS = 60


@dataclass(frozen=True, slots=True)
class InstalledPackages:
    """Versions, requirements and modules by normalised name.

    ``unreadable`` has a line for each package that was skipped, with the reason.
    """

    pins: Mapping[str, str]
    requires: Mapping[str, tuple[str, ...]]
    modules: Mapping[str, frozenset[str]]  # the top-level ones
    unreadable: tuple[str, ...] = ()


def read_installed(python: Path) -> InstalledPackages:
    """The packages that ``python`` sees.

    ``python`` is run. Raises OSError, SubprocessError or ValueError if it does not report them.
    """
    from lls_provider.runtime.install.shadowing import recorded_modules

    done = subprocess.run(
        [str(python), "-P", "-c", _LIST],  # -P: the current directory is not its packages
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=_SECONDS,
    )
    pins: dict[str, str] = {}
    requires: dict[str, tuple[str, ...]] = {}
    modules: dict[str, frozenset[str]] = {}
    unreadable: list[str] = []
    for reported, version, required, record, top in json.loads(done.stdout):
        name = canonicalize_name(reported)
        try:
            read = str(Version(version or ""))
        except InvalidVersion:
            unreadable.append(f"{name}: its version is {version!r}")
            continue
        pins.setdefault(name, read)  # the first is what Python imports
        requires.setdefault(name, tuple(required))
        modules.setdefault(name, recorded_modules(record, top))
    return InstalledPackages(pins, requires, modules, tuple(unreadable))


# The newest C library that wheels may require: every supported base has it (UBI 8 and later,
# Debian 11 and later). Newer wheels are skipped for older ones of the same version.
_GLIBC_NEWEST = 28
_GLIBC_OLDEST = 5
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


def linux_platforms(machine: str) -> tuple[str, ...]:
    """The platform tags of wheels for Linux on ``machine``, best first."""
    tags = []
    for minor in range(_GLIBC_NEWEST, _GLIBC_OLDEST - 1, -1):
        if minor < 17 and machine != "x86_64":
            break  # the older policies are for x86_64 only
        tags.append(f"manylinux_2_{minor}_{machine}")
        if minor in _LEGACY:
            tags.append(f"{_LEGACY[minor]}_{machine}")
    return (*tags, f"linux_{machine}")


def target_tags(interpreter: Interpreter, platforms: tuple[str, ...]) -> Iterator[Tag]:
    """The tags of wheels that ``interpreter`` on those platforms can use, best first."""
    from packaging.tags import compatible_tags, cpython_tags

    yield from cpython_tags(interpreter.minor, [interpreter.tag], list(platforms))
    yield from compatible_tags(interpreter.minor, interpreter.tag, list(platforms))


def markers_of(interpreter: Interpreter, machine: str) -> dict[str, str]:
    """The environment in which the markers of a lock are evaluated."""
    from lls_provider.runtime.target_python import TargetPython

    environment = TargetPython(interpreter.minor[1], machine).markers()
    environment["python_full_version"] = ".".join(map(str, interpreter.version))
    return environment
