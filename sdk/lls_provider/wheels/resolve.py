"""Resolves what a provider requires with uv, and selects the closure for one target.

The distribution's versions are constraints. `make_lock` resolves once for every platform, as a
pylock.toml (PEP 751); `select_closure` selects the packages that an image must carry from it,
without the network and without uv. A target is a Python on a machine; what the distribution
provides is left out. `resolve` does both.

A universal resolution must hold on every platform, so a requirement of another system can make it
fail. Then it is restricted to the targets of the image (contract decision 13). uv reads such
environments from a project's settings only: so it is started in a project that is made for it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from packaging.pylock import Package, Pylock, PylockSelectError, PylockValidationError
from packaging.utils import canonicalize_name

from lls_provider.errors import Code, SdkError
from lls_provider.progress import SILENT, Progress
from lls_provider.system.cache import scratch, writing
from lls_provider.wheels.distribution import uv_constraints
from lls_provider.wheels.interpreter import linux_platforms, markers_of, target_tags
from lls_provider.wheels.uv import run_uv
from lls_provider.wheels.uv_messages import (
    conflicting_url,
    is_about_build,
    is_about_markers,
    missing_extra,
    only_versions,
    pinned_versions,
    yanked,
)
from lls_provider.wheels.uv_settings import write_project

if TYPE_CHECKING:
    from lls_provider.wheels.distribution import Distribution
    from lls_provider.wheels.interpreter import Interpreter


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """One file of the closure: a wheel, or an sdist or directory that a wheel is built from."""

    name: str
    version: str | None
    filename: str
    url: str
    sha256: str | None  # None for a directory on this machine
    size: int | None  # in bytes
    is_source: bool


@dataclass(frozen=True, slots=True)
class Lock:
    """The text of a lock, and the directory in which its relative paths start."""

    text: str
    directory: Path

    def parsed(self) -> Pylock:
        """The parsed text. Raises SdkError TOOL_FAILED for a text that is not a lock."""
        try:
            return Pylock.from_dict(tomllib.loads(self.text))
        except (tomllib.TOMLDecodeError, PylockValidationError) as error:
            raise SdkError(
                Code.TOOL_FAILED,
                "The lock that uv wrote cannot be read",
                why=str(error),
                resolution="Report this with the version of uv ('uv --version').",
            ) from error


@dataclass(frozen=True, slots=True)
class Closure:
    """The packages to carry, and those of the distribution that the provider relies on.

    ``pins`` are the versions that were assumed to be provided; ``left_out`` was left out, since
    it does not have to be fetched.
    """

    packages: tuple[LockedPackage, ...]
    provided: Mapping[str, str]
    lock: Lock  # the whole resolution, for every platform
    pins: Mapping[str, str] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()


_LOCK = "pylock.provider.toml"


def resolve(
    requirements: Sequence[str],
    *,
    distribution: Distribution | None,
    interpreter: Interpreter,
    machine: str | None = None,
    own: Collection[str] = (),
    held: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    base: Path | None = None,
    doing: str = "",
    progress: Progress = SILENT,
) -> Closure:
    """Find the packages that ``requirements`` need for ``interpreter`` on ``machine``.

    The default machine is this one. The packages are selected from what `make_lock` resolves. What
    ``distribution`` provides is left out, and so are the packages in ``own``, which are here
    already. Raises what `make_lock` and `select_closure` raise.
    """
    lock = make_lock(
        requirements,
        distribution=distribution,
        interpreter=interpreter,
        own=own,
        held=held,
        overrides=overrides,
        base=base,
        machines=[machine or os.uname().machine],
        doing=doing,
        progress=progress,
    )
    return select_closure(
        lock,
        interpreter=interpreter,
        machine=machine or os.uname().machine,
        pins=distribution.pins if distribution else {},
        left_out=_normalized(own),
    )


def make_lock(
    requirements: Sequence[str],
    *,
    distribution: Distribution | None,
    interpreter: Interpreter,
    own: Collection[str] = (),
    held: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    base: Path | None = None,
    machines: Collection[str] = (),
    doing: str = "",
    progress: Progress = SILENT,
) -> Lock:
    """Resolve ``requirements`` for every platform and for ``interpreter`` and later Pythons.

    If they cannot be resolved for every platform, the lock is for that Python on Linux only, or for
    that Python on Linux on ``machines``.

    What ``distribution`` provides constrains the versions, except those of the packages in
    ``own``. ``held`` are versions that other packages must have, if they are needed.
    ``overrides`` replace bounds anywhere in the closure. Relative paths in requirements start
    in ``base``. Raises SdkError RESOLUTION_FAILED with uv's explanation, DISTRIBUTION_INVALID for
    an extra whose requirements are not available, and what else `run_uv` raises.
    """
    pins = distribution.pins if distribution else {}
    left_out = _normalized(own)
    against = f" against {distribution.label}" if distribution else ""
    subject = requirements[0].split(" @ ")[0] if requirements else "nothing"
    progress.step(f"resolving {subject}{against}")
    versions = {name: it for name, it in {**(held or {}), **pins}.items() if name not in left_out}
    question = _Question(
        requirements,
        versions,
        distribution,
        interpreter,
        overrides,
        base,
        doing or f"resolving {subject}{against}",
    )
    try:
        return _for_targets(question, machines, progress)
    except SdkError as error:
        if distribution is not None and error.code is Code.RESOLUTION_FAILED:
            error.why = explained(error.why, versions, distribution.label)
        raise


def _for_targets(question: _Question, machines: Collection[str], progress: Progress) -> Lock:
    """A lock for every platform, else for Linux, else for ``machines`` (contract decision 13)."""
    try:
        return _with_extras(question, progress)
    except SdkError as error:
        if not _may_be_of_other_systems(error):
            raise
    try:
        return _with_extras(replace(question, marker=target_marker(question.interpreter)), progress)
    except SdkError as error:
        if not machines or error.code not in _REQUIREMENT_ERRORS:
            raise
    marker = target_marker(question.interpreter, machines)
    return _with_extras(replace(question, marker=marker), progress)


def target_marker(interpreter: Interpreter, machines: Collection[str] = ()) -> str:
    """The marker that holds on Linux with the interpreter's minor version, on those machines.

    Without ``machines`` it holds on each.
    """
    version = ".".join(map(str, interpreter.minor))
    marker = (
        "sys_platform == 'linux' and os_name == 'posix' and platform_system == 'Linux' "
        "and implementation_name == 'cpython' and platform_python_implementation == 'CPython' "
        f"and python_version == '{version}'"
    )
    if not machines:
        return marker
    named = " or ".join(f"platform_machine == '{it}'" for it in sorted(machines))
    return f"{marker} and ({named})"


# a requirement that cannot be met; an extra without metadata; a URL, or a build that fails
_REQUIREMENT_ERRORS = (Code.RESOLUTION_FAILED, Code.DISTRIBUTION_INVALID, Code.TOOL_FAILED)


def _may_be_of_other_systems(error: SdkError) -> bool:
    """Whether a failure can be about a package that only other systems need.

    uv explains conflicts with their markers. For what cannot be fetched or built it does not say
    where it is needed.
    """
    if error.code is Code.RESOLUTION_FAILED:
        return is_about_markers(error.why) or is_about_build(error.why)
    return error.code in _REQUIREMENT_ERRORS


def _with_extras(question: _Question, progress: Progress) -> Lock:
    """The lock of a question, with what the requested extras of provided packages require.

    What an extra requires is in metadata. If only versions are known, these packages are taken
    from an index that has the same version.
    """
    server = question.distribution
    missing: dict[str, str] = {}

    def warned(line: str) -> None:
        if warning := yanked(line):
            progress.warn(warning)
        if server is not None and server.requires is None and (found := missing_extra(line)):
            name, extra = found
            if name in server.pins and not server.indexed:
                missing[name] = extra

    question, lock = _with_urls(question, warned)
    if server is None or not missing:
        return lock
    try:
        return _compile(replace(question, on_index=question.on_index | missing.keys()))
    except SdkError as error:
        if error.code is not Code.RESOLUTION_FAILED:
            raise
        nowhere = [
            it
            for it in missing
            if newest_version(f"{it}=={server.pins[it]}", interpreter=question.interpreter) is None
        ]
        if not nowhere:
            raise
        name = nowhere[0]
        raise SdkError(
            Code.DISTRIBUTION_INVALID,
            f"{server.label} does not say what {name}[{missing[name]}] needs",
            why=f"It has {name} {server.pins[name]} by name and version only, and no index has "
            f"that version. What its extra {missing[name]} requires is in its metadata.",
            resolution="Name the server's environment (python:PATH) or image (docker://REF) "
            f"as the server, which has it; or depend on {name} without the extra, "
            "and on what the extra requires by name.",
        ) from error


def _with_urls(question: _Question, warned: Callable[[str], object]) -> tuple[_Question, Lock]:
    """The lock of a question, and the question in which packages requested by URL are on an index.

    A provided package that is requested by a URL is taken from there; what is there must have the
    provided version.
    """
    while True:
        try:
            return question, _compile(question, warned=warned)
        except SdkError as error:
            name = conflicting_url(error.why)
            if name is None or name in question.on_index or name not in question.versions:
                raise
            question = replace(question, on_index=question.on_index | {name})


def newest_version(
    requirement: str, *, interpreter: Interpreter, base: Path | None = None
) -> str | None:
    """The newest version that satisfies a requirement; None if there is none available."""
    try:
        lock = lock_alone(requirement, interpreter=interpreter, base=base)
        return next((str(it.version) for it in lock.parsed().packages), None)
    except SdkError:
        return None


def lock_alone(requirement: str, *, interpreter: Interpreter, base: Path | None = None) -> Lock:
    """The newest release that satisfies a requirement, without its dependencies.

    Raises what `make_lock` raises.
    """
    doing = f"looking for {requirement}"
    return _compile(_Question([requirement], {}, None, interpreter, (), base, doing, alone=True))


def _normalized(names: Collection[str]) -> frozenset[str]:
    return frozenset(canonicalize_name(name) for name in names)


_NOT_REPLACED = "what it provides is not replaced."


def explained(why: str, constraints: Mapping[str, str], label: str) -> str:
    """uv's explanation, and which of the versions in it are those of the server."""
    named = [
        f"{name}=={constraints[name]}"
        for name in provided_in(why, {name: (it,) for name, it in constraints.items()})
    ]
    if not named:
        return why
    return f"{why}\n\n{label} provides {', '.join(named)}; {_NOT_REPLACED}"


def provided_in(why: str, versions: Mapping[str, Sequence[str]]) -> list[str]:
    """The packages of which one of these versions is in uv's explanation."""
    # our own last line has the server's label, which may look like a version too
    text = "\n".join(line for line in why.splitlines() if not line.endswith(_NOT_REPLACED))
    only, pinned = only_versions(text), pinned_versions(text)
    return [
        name
        for name, found in versions.items()
        if name in only or any((name, it) in pinned for it in found)
    ]


@dataclass(frozen=True, slots=True)
class _Question:
    """The input of a resolution: requirements, and versions that must hold, by normalised name.

    Those of ``distribution`` are provided, except for ``on_index``: an index or a URL has these in
    the same version. With a ``marker`` the result holds in such environments only.
    """

    requirements: Sequence[str]
    versions: Mapping[str, str]
    distribution: Distribution | None
    interpreter: Interpreter
    overrides: Sequence[str]
    base: Path | None
    doing: str
    on_index: frozenset[str] = frozenset()
    marker: str | None = None
    alone: bool = False


def _compile(question: _Question, *, warned: Callable[[str], object] | None = None) -> Lock:
    with scratch("resolve") as directory:
        args = ["pip", "compile", "-", "--universal", "--no-header", "--no-annotate"]
        args += [f"--python={question.interpreter.path}", "--format=pylock.toml"]
        args += [f"--output-file={directory / _LOCK}"]
        if question.alone:
            args.append("--no-deps")
        if question.marker is not None:
            write_project(directory, question.marker, question.base)
            args += ["--project", str(directory)]
        with writing(directory):
            if question.versions:
                lines = uv_constraints(question.distribution, question.versions, question.on_index)
                path = directory / "provided.txt"
                path.write_text("".join(f"{line}\n" for line in lines))
                args += ["--constraint", str(path)]
            if question.overrides:
                path = directory / "overrides.txt"
                path.write_text("".join(f"{it}\n" for it in question.overrides))
                args += ["--override", str(path)]
        run_uv(
            args,
            stdin="".join(f"{it}\n" for it in question.requirements),
            cwd=question.base,
            doing=question.doing,
            warned=warned,
        )
        return Lock((directory / _LOCK).read_text("utf-8"), directory)


def select_closure(
    lock: Lock,
    *,
    interpreter: Interpreter,
    machine: str,
    pins: Mapping[str, str],
    left_out: Collection[str] = (),
) -> Closure:
    """The packages of ``lock`` for ``interpreter`` on Linux on ``machine``, sorted by name.

    A package that ``pins`` has in the locked version is provided; the normalised names in
    ``left_out`` are skipped. Raises SdkError WHEEL_INCOMPATIBLE for a package without a wheel or
    sdist for the target, RESOLUTION_FAILED for one that comes from version control.
    """
    environment = markers_of(interpreter, machine)
    tags = list(target_tags(interpreter, linux_platforms(machine)))
    packages, provided = [], {}
    try:
        selected = lock.parsed().select(
            environment=environment,  # type: ignore[arg-type]
            tags=tags,
        )
        for package, chosen in selected:
            if package.name in left_out:
                continue
            version = str(package.version) if package.version is not None else None
            if version is not None and pins.get(package.name) == version:
                provided[str(package.name)] = version
                continue
            packages.append(_locked(package, chosen, lock.directory))
    except PylockSelectError as error:
        raise SdkError(
            Code.WHEEL_INCOMPATIBLE,
            "A package of the closure has nothing for the target",
            why=str(error),
            resolution=f"Depend on a version that has a wheel for {interpreter.tag} on Linux "
            f"{machine}, or build for another Python with --python.",
        ) from error
    packages.sort(key=lambda it: it.name)
    return Closure(
        tuple(packages),
        dict(sorted(provided.items())),
        lock,
        pins=dict(pins),
        left_out=frozenset(left_out),
    )


def _locked(package: Package, chosen: Any, directory: Path) -> LockedPackage:
    name = str(package.name)
    version = str(package.version) if package.version is not None else None
    if chosen is package.vcs:
        raise SdkError(
            Code.RESOLUTION_FAILED,
            f"{name} comes from a version control system",
            why="Its content has no hash, so the image would not be reproducible.",
            resolution="Depend on a released version, or on an archive of it with a fixed URL.",
        )
    if package.directory is not None and chosen is package.directory:
        path = _absolute(package.directory.path, directory)
        return LockedPackage(name, version, path.name, path.as_uri(), None, None, is_source=True)
    filename = file_name(
        {"name": getattr(chosen, "name", None), "url": chosen.url, "path": chosen.path}
    )
    return LockedPackage(
        name,
        version,
        filename,
        chosen.url or _absolute(chosen.path, directory).as_uri(),
        chosen.hashes.get("sha256"),
        chosen.size,
        is_source=not filename.endswith(".whl"),
    )


def _absolute(path: str, directory: Path) -> Path:
    # not resolve(): the directory is gone, and uv made the path from the names only
    return Path(os.path.normpath(directory / path))


def file_name(file: Mapping[str, Any]) -> str:
    """The name of a file of a lock: its ``name``, or the last part of its URL or path."""
    location = file.get("url") or file.get("path") or ""
    return str(file.get("name") or unquote(urlsplit(location).path).rpartition("/")[2])
