"""Resolves a provider's closure with uv, the distribution's versions being constraints."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from packaging.pylock import Package, Pylock, PylockSelectError, PylockValidationError
from packaging.utils import canonicalize_name

from lls_provider.errors import Code, SdkError
from lls_provider.progress import SILENT, Progress
from lls_provider.runtime.target import TargetPython
from lls_provider.wheels.build import scratch
from lls_provider.wheels.cache import writing
from lls_provider.wheels.closure import Closure, LockedPackage, linux_platforms, target_tags
from lls_provider.wheels.uv import run_uv

if TYPE_CHECKING:
    from lls_provider.wheels.distribution import Distribution
    from lls_provider.wheels.interpreter import Interpreter

_LOCK = "pylock.provider.toml"


class _Located(Protocol):
    """What a wheel, an sdist and an archive of a lock have in common."""

    @property
    def url(self) -> str | None: ...
    @property
    def path(self) -> str | None: ...
    @property
    def size(self) -> int | None: ...
    @property
    def hashes(self) -> Any: ...


def resolve(
    requirements: Sequence[str],
    *,
    distribution: Distribution | None,
    interpreter: Interpreter,
    own: Collection[str] = (),
    held: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    base: Path | None = None,
    progress: Progress = SILENT,
) -> Closure:
    """Find the packages that ``requirements`` need for ``interpreter`` on this machine.

    What ``distribution`` provides constrains the versions and is left out; ``own`` names
    packages that are left out as well, being there already. ``held`` are versions that what is
    not left out must have, if it is needed. ``overrides`` replace bounds
    anywhere in the closure. Relative paths in requirements start from ``base``. Raises SdkError
    RESOLUTION_FAILED with uv's explanation, NETWORK, or WHEEL_INCOMPATIBLE for a package without
    a wheel or sdist for the target.
    """
    pins = distribution.pins if distribution else {}
    left_out: set[str] = {canonicalize_name(name) for name in own}
    against = f" against {distribution.label}" if distribution else ""
    subject = requirements[0].split(" @ ")[0] if requirements else "nothing"
    progress.step(f"resolving {subject}{against}")
    held = {**(held or {}), **pins}
    constraints = {name: held[name] for name in sorted(held) if name not in left_out}
    try:
        lock, folder = _compile(
            requirements, constraints, interpreter, overrides, base, f"resolving {subject}{against}"
        )
    except SdkError as error:
        if distribution is not None and error.code is Code.RESOLUTION_FAILED:
            error.why = explained(error.why, constraints, distribution.label)
        raise
    try:
        pylock = Pylock.from_dict(tomllib.loads(lock))
    except (tomllib.TOMLDecodeError, PylockValidationError) as error:
        raise SdkError(
            Code.TOOL_FAILED,
            "The lock that uv wrote cannot be read",
            why=str(error),
            resolution="Report this with the version of uv ('uv --version').",
        ) from error
    return _select(pylock, pins, left_out, interpreter, lock, folder)


def explained(why: str, constraints: Mapping[str, str], label: str) -> str:
    """uv's explanation, and which of the versions in it are there because the server has them."""
    named = [
        f"{name}=={constraints[name]}"
        for name in provided_in(why, {name: (it,) for name, it in constraints.items()})
    ]
    if not named:
        return why
    return f"{why}\n\n{label} provides {', '.join(named)}; what it provides is not replaced."


def provided_in(why: str, versions: Mapping[str, Sequence[str]]) -> list[str]:
    """The packages of which one of these versions stands in uv's explanation."""
    return [
        name
        for name, found in versions.items()
        if any(
            re.search(rf"(?<![\w.-]){re.escape(name)}=={re.escape(it)}(?![\w+-]|\.\w)", why)
            for it in found
        )
    ]


def _compile(
    requirements: Sequence[str],
    constraints: dict[str, str],
    interpreter: Interpreter,
    overrides: Sequence[str],
    base: Path | None,
    doing: str,
) -> tuple[str, Path]:
    """The lock, and the folder that the relative paths in it start from."""
    with scratch("resolve") as folder:
        args = ["pip", "compile", "-", "--quiet", "--universal", "--no-header", "--no-annotate"]
        args += [f"--python={interpreter.path}", "--format=pylock.toml"]
        args += [f"--output-file={folder / _LOCK}"]
        with writing(folder):
            if constraints:
                path = folder / "provided.txt"
                path.write_text("".join(f"{name}=={it}\n" for name, it in constraints.items()))
                args += ["--constraint", str(path)]
            if overrides:
                path = folder / "overrides.txt"
                path.write_text("".join(f"{it}\n" for it in overrides))
                args += ["--override", str(path)]
        run_uv(args, stdin="".join(f"{it}\n" for it in requirements), cwd=base, doing=doing)
        return (folder / _LOCK).read_text("utf-8"), folder


def _select(
    pylock: Pylock,
    pins: Any,
    left_out: set[str],
    interpreter: Interpreter,
    lock: str,
    folder: Path,
) -> Closure:
    machine = os.uname().machine
    environment = TargetPython(interpreter.minor[1], machine).markers()
    environment["python_full_version"] = ".".join(map(str, interpreter.version))
    tags = list(target_tags(interpreter, linux_platforms(machine)))
    packages, provided = [], {}
    try:
        for package, chosen in pylock.select(environment=environment, tags=tags):  # type: ignore[arg-type]
            if package.name in left_out:
                continue
            version = str(package.version) if package.version is not None else None
            if version is not None and pins.get(package.name) == version:
                provided[str(package.name)] = version
                continue
            packages.append(_locked(package, chosen, folder))
    except PylockSelectError as error:
        raise SdkError(
            Code.WHEEL_INCOMPATIBLE,
            "A package of the closure has nothing for the target",
            why=str(error),
            resolution=f"Depend on a version that has a wheel for {interpreter.tag} on Linux "
            f"{machine}, or build for another Python with --python.",
        ) from error
    packages.sort(key=lambda it: it.name)
    return Closure(tuple(packages), dict(sorted(provided.items())), lock)


def _locked(package: Package, chosen: Any, folder: Path) -> LockedPackage:
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
        path = _absolute(package.directory.path, folder)
        return LockedPackage(name, version, path.name, path.as_uri(), None, None, is_source=True)
    filename = next(_filenames(chosen))
    return LockedPackage(
        name,
        version,
        filename,
        chosen.url or _absolute(chosen.path, folder).as_uri(),
        chosen.hashes.get("sha256"),
        chosen.size,
        is_source=not filename.endswith(".whl"),
    )


def _absolute(path: str, folder: Path) -> Path:
    # not resolve(): the folder is gone, and uv made the path from the names alone
    return Path(os.path.normpath(folder / path))


def _filenames(chosen: _Located) -> Iterator[str]:
    name = getattr(chosen, "name", None)
    if name:
        yield str(name)
    location = chosen.url or chosen.path or ""
    yield unquote(urlsplit(location).path).rpartition("/")[2]
