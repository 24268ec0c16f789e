"""Resolves what a provider requires with uv; the distribution's versions are constraints.

`make_lock` resolves once for every platform; `resolve` selects from it for one. A universal
resolution must hold on every platform, so a requirement of another system can make it fail. Then it
is restricted to the targets of the image (contract decision 13). uv reads such environments from a
project's settings only: so it is started with a project of ours, which repeats the user's settings.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from lls_provider.errors import Code, SdkError
from lls_provider.progress import SILENT, Progress
from lls_provider.system.cache import scratch, writing
from lls_provider.wheels.closure import Lock, select_closure
from lls_provider.wheels.distribution import uv_constraints
from lls_provider.wheels.fetch import settings_files
from lls_provider.wheels.uv import run_uv
from lls_provider.wheels.uv_messages import (
    conflicting_url,
    is_about_build,
    is_about_markers,
    lacking_extra,
    only_versions,
    pinned_versions,
    yanked,
)

if TYPE_CHECKING:
    from lls_provider.wheels.closure import Closure
    from lls_provider.wheels.distribution import Distribution
    from lls_provider.wheels.interpreter import Interpreter


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


def write_project(folder: Path, marker: str, base: Path | None) -> None:
    """Write a project whose resolutions have to hold under ``marker`` alone.

    uv's settings around ``base`` (default: here) stand in it too. Raises SdkError NO_SPACE or
    OUTPUT_UNWRITABLE.
    """
    import tomli_w

    settings = {**_settings((base or Path()).absolute()), "environments": [marker]}
    with writing(folder):
        (folder / "pyproject.toml").write_text(tomli_w.dumps({"tool": {"uv": settings}}))


_OF_PROJECTS = ("sources", "workspace", "package", "managed", "default-groups", "dev-dependencies")


def _settings(base: Path) -> dict[str, Any]:
    """The table that uv would find from ``base`` on, with absolute paths."""
    for path in settings_files(os.environ, base):
        try:
            table: Any = tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            continue  # uv itself says what is wrong with it
        if path.name == "pyproject.toml":
            tool = table.get("tool")
            table = tool.get("uv") if isinstance(tool, dict) else None
        if isinstance(table, dict):
            kept = {key: value for key, value in table.items() if key not in _OF_PROJECTS}
            found: dict[str, Any] = _rooted(kept, path.parent)
            return found
    return {}


_PATHS = ("find-links", "index-url", "extra-index-url", "default-index", "cache-dir", "url")


def _rooted(value: Any, folder: Path, key: str = "") -> Any:
    """A setting with the paths in it meant from ``folder``."""
    if isinstance(value, dict):
        return {name: _rooted(it, folder, name) for name, it in value.items()}
    if isinstance(value, list):
        return [_rooted(it, folder, key) for it in value]
    if isinstance(value, str) and key in _PATHS and "://" not in value:
        return str(folder / value)
    return value


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

    The machine is this one where it is not given. What `make_lock` resolves is selected from;
    what ``distribution`` provides is left out, and so are the packages that ``own`` names, being
    there already. Raises what `make_lock` and `select_closure` raise.
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

    Where they hold not everywhere, but for that Python on Linux, or there on ``machines``, the lock
    is for these alone.

    What ``distribution`` provides constrains the versions, except those of the packages that
    ``own`` names. ``held`` are versions that other packages must have, if they are needed.
    ``overrides`` replace bounds anywhere in the closure. Relative paths in requirements start
    from ``base``. Raises SdkError RESOLUTION_FAILED with uv's explanation, DISTRIBUTION_INVALID for
    an extra of which no one reports what it needs, and what else `run_uv` raises.
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
        if not _may_be_elsewhere(error):
            raise
    try:
        return _with_extras(replace(question, marker=target_marker(question.interpreter)), progress)
    except SdkError as error:
        if not machines or error.code not in _OF_REQUIREMENTS:
            raise
    marker = target_marker(question.interpreter, machines)
    return _with_extras(replace(question, marker=marker), progress)


# a requirement that cannot be met; an extra that no one knows; a URL, or a build that fails
_OF_REQUIREMENTS = (Code.RESOLUTION_FAILED, Code.DISTRIBUTION_INVALID, Code.TOOL_FAILED)


def _may_be_elsewhere(error: SdkError) -> bool:
    """Whether a failure can be about a package that other systems alone need.

    Only conflicts are explained with their markers: of what cannot be fetched or built uv does not
    say where it is needed.
    """
    if error.code is Code.RESOLUTION_FAILED:
        return is_about_markers(error.why) or is_about_build(error.why)
    return error.code in _OF_REQUIREMENTS


def _with_extras(question: _Question, progress: Progress) -> Lock:
    """The lock of a question, whose provided packages have every extra that is requested.

    What an extra needs is in metadata. Of versions alone it is not known, so an index that has
    the same version is requested these packages.
    """
    server = question.distribution
    lacking: dict[str, str] = {}

    def warned(line: str) -> None:
        if told := yanked(line):
            progress.warn(told)
        if server is not None and server.requires is None and (found := lacking_extra(line)):
            name, extra = found
            if name in server.pins and not server.indexed:
                lacking[name] = extra

    question, lock = _with_urls(question, warned)
    if server is None or not lacking:
        return lock
    try:
        return _compile(replace(question, on_index=question.on_index | lacking.keys()))
    except SdkError as error:
        if error.code is not Code.RESOLUTION_FAILED:
            raise
        nowhere = [
            it
            for it in lacking
            if newest_version(f"{it}=={server.pins[it]}", interpreter=question.interpreter) is None
        ]
        if not nowhere:
            raise
        name = nowhere[0]
        raise SdkError(
            Code.DISTRIBUTION_INVALID,
            f"{server.label} does not say what {name}[{lacking[name]}] needs",
            why=f"It has {name} {server.pins[name]} by name and version alone, and no index has "
            f"that version. What its extra {lacking[name]} requires is in its metadata.",
            resolution="Name the server's environment (--distribution python:PATH) or image "
            f"(--distribution docker://REF), which have it; or depend on {name} without the extra, "
            "and on what the extra brings by name.",
        ) from error


def _with_urls(question: _Question, warned: Callable[[str], object]) -> tuple[_Question, Lock]:
    """The lock of a question, and the question with what is requested by its URL distinguished.

    A provided package that someone names by a URL has that place: what is there must be of the
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
    """The newest release that satisfies a requirement, without what it needs.

    Raises what `make_lock` raises.
    """
    doing = f"looking for {requirement}"
    return _compile(_Question([requirement], {}, None, interpreter, (), base, doing, alone=True))


def _normalized(names: Collection[str]) -> frozenset[str]:
    return frozenset(canonicalize_name(name) for name in names)


_NOT_REPLACED = "what it provides is not replaced."


def explained(why: str, constraints: Mapping[str, str], label: str) -> str:
    """uv's explanation, and which of the versions in it are there because the server has them."""
    named = [
        f"{name}=={constraints[name]}"
        for name in provided_in(why, {name: (it,) for name, it in constraints.items()})
    ]
    if not named:
        return why
    return f"{why}\n\n{label} provides {', '.join(named)}; {_NOT_REPLACED}"


def provided_in(why: str, versions: Mapping[str, Sequence[str]]) -> list[str]:
    """The packages of which one of these versions is in uv's explanation."""
    # in our own words below it is what the server is called, which may be a version too
    text = "\n".join(line for line in why.splitlines() if not line.endswith(_NOT_REPLACED))
    only, pinned = only_versions(text), pinned_versions(text)
    return [
        name
        for name, found in versions.items()
        if name in only or any((name, it) in pinned for it in found)
    ]


@dataclass(frozen=True, slots=True)
class _Question:
    """What uv is asked: requirements under versions that must hold, by normalised name.

    Those of ``distribution`` are provided, except for ``on_index``, of which an index or a URL has
    the same version. With a ``marker`` the answer holds in such environments alone.
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


def _compile(asked: _Question, *, warned: Callable[[str], object] | None = None) -> Lock:
    with scratch("resolve") as folder:
        args = ["pip", "compile", "-", "--universal", "--no-header", "--no-annotate"]
        args += [f"--python={asked.interpreter.path}", "--format=pylock.toml"]
        args += [f"--output-file={folder / _LOCK}"]
        if asked.alone:
            args.append("--no-deps")
        if asked.marker is not None:
            write_project(folder, asked.marker, asked.base)
            args += ["--project", str(folder)]
        with writing(folder):
            if asked.versions:
                lines = uv_constraints(asked.distribution, asked.versions, asked.on_index)
                path = folder / "provided.txt"
                path.write_text("".join(f"{line}\n" for line in lines))
                args += ["--constraint", str(path)]
            if asked.overrides:
                path = folder / "overrides.txt"
                path.write_text("".join(f"{it}\n" for it in asked.overrides))
                args += ["--override", str(path)]
        run_uv(
            args,
            stdin="".join(f"{it}\n" for it in asked.requirements),
            cwd=asked.base,
            doing=asked.doing,
            warned=warned,
        )
        return Lock((folder / _LOCK).read_text("utf-8"), folder)
