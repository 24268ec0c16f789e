"""Loads distributions from the user's names: an environment, a profile, a file or a requirement.

One image can be for several distributions (contract decision 3).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from lls_provider.errors import Code, SdkError, Where, nearest_word
from lls_provider.progress import SILENT, Progress
from lls_provider.untrusted import one_line
from lls_provider.wheels import servers
from lls_provider.wheels.distribution import (
    ENVIRONMENT_PREFIX,
    Distribution,
    freeze_pins,
    looks_like_path,
    names_locations,
    pin_meant,
    read_freeze,
    requirements_in,
)
from lls_provider.wheels.interpreter import OLDEST, Interpreter, find_interpreter, read_installed
from lls_provider.wheels.uv import cause_of, python_hint, run_uv
from lls_provider.wheels.uv_messages import (
    not_found_names,
    required_python,
    yanked,
)

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.servers import ServerLine


def load_distribution(
    spec: str,
    *,
    python: str | None = None,
    at_least: tuple[int, int] = OLDEST,
    known: Mapping[str, str] | None = None,
    progress: Progress = SILENT,
) -> Distribution:
    """Read a distribution from what the user named.

    ``spec`` is ``python:PATH`` (an environment), ``profile:NAME`` (of this SDK), a path of a
    freeze or requirements file, or a requirement such as ``llama-stack==0.7.3``. ``python`` names
    the interpreter; without it, the version is ``at_least``. ``known`` are its pins, which are then
    not resolved. Raises SdkError USAGE, FILE_MISSING,
    DISTRIBUTION_INVALID, PYTHON_MISSING, or what `run_uv` raises.
    """
    if spec.startswith(ENVIRONMENT_PREFIX):
        return _from_environment(spec, progress)
    if spec.startswith(servers.PROFILE_PREFIX):
        return _from_profile(spec, python, at_least, progress)
    if looks_like_path(spec):
        return _from_file(spec, python, at_least, known, progress)
    try:
        requirement = Requirement(spec)
    except InvalidRequirement as error:
        if Path(spec).is_file():
            return _from_file(spec, python, at_least, known, progress)
        raise _unusable(spec, str(error)) from error
    if Path(spec).is_file():
        raise _ambiguous(spec)
    if _meant(spec):  # 'ogx-1.5.0' is a name, and 'ogx@1.5.0' a name with a URL
        raise _unusable(spec, "It has a version, but no '==' before it.")
    line = servers.line_named(requirement.name)
    interpreter = _interpreter(line, python, at_least)
    if known is not None:
        return Distribution(spec, known, interpreter, line, indexed=True)
    progress.step(f"resolving the distribution {spec}")
    pins = _pins(
        line, spec, lambda more: _resolve([spec, *more], interpreter, f"resolving {spec}", progress)
    )
    return Distribution(spec, pins, interpreter, line, indexed=True)


def _pins(
    line: ServerLine | None, named: str, resolved: Callable[[Sequence[str]], dict[str, str]]
) -> dict[str, str]:
    """The versions of a server, resolved with what its line also needs for that version."""
    if line is None:
        return resolved(())
    assumed = line.pins(Requirement(named))
    pins = resolved(assumed)
    if line.name not in pins:  # a marker of a requirements file excludes it
        return pins
    needed = line.pins(Requirement(f"{line.name}=={pins[line.name]}"))
    return pins if needed == assumed else resolved(needed)


def _interpreter(
    line: ServerLine | None, python: str | None, at_least: tuple[int, int]
) -> Interpreter:
    return find_interpreter(minimum=max(line.python if line else OLDEST, at_least), explicit=python)


def _from_file(
    spec: str,
    python: str | None,
    at_least: tuple[int, int],
    known: Mapping[str, str] | None,
    progress: Progress,
) -> Distribution:
    path = Path(spec)
    try:
        text = read_freeze(path)
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        why = getattr(error, "strerror", None) or str(error)
        if missing and Path(path.name).is_file():
            why += (
                f"\nThe {path.name} in the working directory is another file: a path in "
                "pyproject.toml is relative to the project."
            )
        raise SdkError(
            Code.FILE_MISSING if missing else Code.FILE_UNREADABLE,
            f"Cannot read the distribution {spec}",
            why=why,
            where=Where(file=spec),
            resolution="Name a file made by 'pip freeze' or 'uv pip freeze', a requirement such as "
            "'llama-stack==0.7.3', or python:PATH.",
        ) from error
    pins = freeze_pins(text, spec)
    indexed = pins is None and not names_locations(path, text)
    names = pins if pins is not None else requirements_in(text)
    line = servers.line_in(names)
    interpreter = _interpreter(line, python, at_least)
    if pins is None and known is not None and _satisfy(known, names):
        pins = dict(known)
    elif pins is None:
        progress.step(f"resolving the distribution {spec}")
        pins = _pins(
            line,
            names[line.name] if line else "",
            lambda more: _resolve(
                more, interpreter, f"resolving {spec}", progress, file=path.absolute()
            ),
        )
        line = servers.line_in(pins)
    return Distribution(
        spec,
        pins,
        interpreter,
        line,
        portable=server_among(pins, line) or path.name,
        indexed=indexed,
    )


def _satisfy(pins: Mapping[str, str], named: Mapping[str, str]) -> bool:
    """Whether pins satisfy every requirement that a requirements file names."""
    found = {name: Requirement(text) for name, text in named.items()}
    return all(
        it.specifier.contains(pins[name], prereleases=True)
        if name in pins
        else it.marker is not None  # probably for another system
        for name, it in found.items()
    )


def _resolve(
    wanted: Sequence[str],
    interpreter: Interpreter,
    doing: str,
    progress: Progress,
    *,
    file: Path | None = None,
) -> dict[str, str]:
    withdrawn: list[str] = []
    try:
        out = run_uv(
            [
                *("pip", "compile", "-", *([str(file)] if file else ())),
                *("--no-header", "--no-annotate", f"--python={interpreter.path}"),
            ],
            stdin="\n".join(wanted) + "\n",
            doing=doing,
            warned=lambda line: withdrawn.extend(filter(None, [yanked(line)])),
        )
    except SdkError as error:
        if error.code is Code.RESOLUTION_FAILED and cause_of(error.why) is None:
            error.resolution = _correction(wanted, interpreter, file, error.why)
        raise
    for warning in withdrawn:
        progress.warn(warning)
    return _resolved(out, doing.removeprefix("resolving "))


def _resolved(out: str, spec: str) -> dict[str, str]:
    """The pins of what uv resolved."""
    try:
        pins = freeze_pins(out, spec)
        why = "it holds packages without a version"
    except SdkError as error:
        pins, why = None, "\n".join(it.what for it in error.problems)
    if pins is None:
        raise _unusable(spec, why)
    return pins


def _correction(
    wanted: Sequence[str], interpreter: Interpreter, file: Path | None, why: str
) -> str:
    """What to do about a distribution that does not resolve, from uv's explanation.

    It names no option: the requirement may come from any command's option or from a project.
    """
    from lls_provider.wheels.resolve import newest_version

    if file is not None:
        return f"Correct the requirements in {file.name}, or name another server." + python_hint(
            why
        )
    requirement = Requirement(wanted[0])
    name = canonicalize_name(requirement.name)
    version = ".".join(map(str, interpreter.minor))
    if required := required_python(why, name):
        lowest = re.search(r">=\s*(3\.\d+)", required)
        option = f"--python {lowest[1]}" if lowest else "--python VERSION"
        return f"Name a Python that {requirement} supports ({required}): {option}."
    lines = [line.name for line in servers.LINES]
    meant = nearest_word(name, lines) if name in not_found_names(why) else None
    if meant and name not in lines:
        return f"Write {meant}{requirement.specifier} in place of '{wanted[0]}'."
    newest = newest_version(name, interpreter=interpreter)
    newest_note = f"; the newest for Python {version} is {name}=={newest}" if newest else ""
    return f"Correct '{wanted[0]}'{newest_note}." + python_hint(why)


def _from_profile(
    spec: str, python: str | None, at_least: tuple[int, int], progress: Progress
) -> Distribution:
    profile = servers.profile_named(spec.removeprefix(servers.PROFILE_PREFIX))
    interpreter = find_interpreter(minimum=max(min(profile.pythons), at_least), explicit=python)
    if interpreter.minor not in profile.pythons:
        raise SdkError(
            Code.USAGE,
            f"{spec} does not hold for {interpreter}",
            why=f"The same packages were found for these Pythons only: {profile}.",
            resolution="Name one of them with --python, or name the server "
            f"'{profile.requirement}' in place of the profile.",
        )
    progress.note(f"{spec}: {len(profile.pins)} packages, taken on {profile.taken.isoformat()}")
    return Distribution(
        spec, profile.pins, interpreter, servers.line_in(profile.pins), indexed=True
    )


def _from_environment(spec: str, progress: Progress) -> Distribution:
    named = spec.removeprefix(ENVIRONMENT_PREFIX)
    try:
        path = Path(named).expanduser().absolute()
    except RuntimeError as error:  # ~name of an unknown user
        raise _unusable(spec, str(error)) from error
    if path.is_dir():
        path = path / "bin" / "python"
    if not path.exists():
        raise _unusable(spec, f"There is no {path}.")
    try:
        interpreter = find_interpreter(minimum=OLDEST, explicit=str(path))
    except SdkError as error:  # its advice is about --python
        raise _unusable(spec, error.why) from error
    try:
        found = read_installed(path)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise _unusable(spec, f"its packages cannot be listed: {error}") from error
    for text in found.unreadable:
        progress.warn(f"passed over in {spec}: {one_line(text)}")
    line = servers.line_in(found.pins)
    # not resolved: a virtual environment's Python is a link to another Python
    return Distribution(
        spec,
        found.pins,
        replace(interpreter, path=path),
        line,
        environment=path,
        portable=server_among(found.pins, line) or ENVIRONMENT_PREFIX.rstrip(":"),
        requires=found.requires,
        modules=found.modules,
    )


def server_among(pins: Mapping[str, str], line: ServerLine | None) -> str:
    """The server as a requirement, which `up` can start on any machine; empty without a server."""
    return f"{line.name}=={pins[line.name]}" if line is not None and line.name in pins else ""


def _ambiguous(spec: str) -> SdkError:
    return SdkError(
        Code.USAGE,
        f"The distribution '{spec}' is the name of a package and of a file here",
        why="Which of them is meant cannot be determined.",
        where=Where(file=spec),
        resolution=f"Write './{spec}' for the file; for the package, rename the file or run the "
        "command elsewhere.",
    )


def _meant(spec: str) -> str:
    """The requirement that was meant; empty if that is unknown.

    A server's name may also be joined to its version, as in ``ogx@1.5.0`` and ``ogx-1.5.0``.
    """
    text = re.sub(r"\s*=\s*", "=", spec.strip())
    for line in servers.LINES:
        joined = re.fullmatch(rf"{line.name}[@: -]?v?(\d\S*)", text.lower())
        if joined and (meant := pin_meant(f"{line.name}={joined[1]}")):
            return meant
    return pin_meant(text)


def _unusable(spec: str, why: str) -> SdkError:
    if meant := _meant(spec):
        return SdkError(
            Code.DISTRIBUTION_INVALID,
            f"Cannot use the distribution '{spec}': did you mean '{meant}'?",
            why=why,
            resolution=f"Write '{meant}'.",
        )
    return SdkError(
        Code.DISTRIBUTION_INVALID,
        f"Cannot use the distribution '{spec}'",
        why=why,
        resolution="Name a requirement such as 'llama-stack==0.7.3', a file made by 'pip freeze', "
        "an environment (python:PATH), a profile (profile:NAME) or an image (docker://REF).",
    )


class Loader(Protocol):
    """Loads distributions by name; a loader that also reads images is in a higher layer."""

    def __call__(
        self,
        named: Sequence[str | Distribution],
        /,
        *,
        python: str | None = None,
        at_least: tuple[int, int] = OLDEST,
        progress: Progress = SILENT,
    ) -> tuple[Distribution, ...]:
        """As `load_distributions`."""
        ...


def load_distributions(
    named: Sequence[str | Distribution],
    *,
    python: str | None = None,
    at_least: tuple[int, int] = OLDEST,
    known: Callable[[str], Mapping[str, str] | None] = lambda _spec: None,
    progress: Progress = SILENT,
) -> tuple[Distribution, ...]:
    """The named distributions, each once, all on one minor version of Python.

    If they select different ones, all get the newest; without ``python``, the version is
    ``at_least``. ``known`` returns the pins of those that need not be resolved. Raises SdkError
    USAGE if they cannot have the same version, and what `load_distribution` raises.
    """
    found: dict[str, Distribution] = {}
    for item in named:
        if isinstance(item, str):
            if item not in found:
                found[item] = load_distribution(
                    item,
                    python=python,
                    at_least=at_least,
                    known=known(item),
                    progress=progress,
                )
        else:
            found[item.label] = item
    newest = max((it.interpreter.minor for it in found.values()), default=(3, 0))
    for spec, server in found.items():
        chosen = spec in named and not spec.startswith(
            ENVIRONMENT_PREFIX
        )  # selected here, not fixed by an environment
        if chosen and server.interpreter.minor != newest:
            version = ".".join(map(str, newest))
            found[spec] = load_distribution(
                spec, python=version, known=known(spec), progress=progress
            )
    servers = tuple(found.values())
    if len({it.interpreter.minor for it in servers}) > 1:
        raise SdkError(
            Code.USAGE,
            "The distributions run on different Pythons",
            why="\n".join(f"{it.label}: {it.interpreter}" for it in servers),
            resolution="Build one image for each Python, or choose one with --python that all "
            "of them run on.",
        )
    return servers


def shared_versions(servers: Sequence[Distribution]) -> dict[str, tuple[str, ...]]:
    """The packages that every distribution has: versions by name, each once, lowest first."""
    names = set.intersection(*(set(server.pins) for server in servers)) if servers else set()
    return {
        name: tuple(sorted({server.pins[name] for server in servers}, key=Version))
        for name in sorted(names)
    }


def agreed_versions(servers: Sequence[Distribution], names: Collection[str]) -> dict[str, str]:
    """The version of each name that is the same in all distributions that have it."""
    found = {
        name: {server.pins[name] for server in servers if name in server.pins} for name in names
    }
    return {name: min(versions) for name, versions in found.items() if len(versions) == 1}


def join_closures(versions: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Versions by name in the form of a manifest."""
    return {name: ", ".join(found) for name, found in versions.items()}


def interpreter_of(servers: Sequence[Distribution]) -> Interpreter | None:
    """The Python of the distributions; None if there are none."""
    return servers[0].interpreter if servers else None
