"""Selects from a lock what one target gets: a Python on a machine. No network, no uv."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from packaging.pylock import Package, PylockSelectError

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.target import TargetPython
from lls_provider.wheels.closure import Closure, LockedPackage, linux_platforms, target_tags

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.lock import Lock


def select(
    lock: Lock,
    *,
    interpreter: Interpreter,
    machine: str,
    pins: Mapping[str, str],
    left_out: Collection[str] = (),
) -> Closure:
    """The packages of ``lock`` for ``interpreter`` on Linux on ``machine``, sorted by name.

    What ``pins`` has in the locked version is provided; the normalised names in ``left_out`` are
    passed over. Raises SdkError WHEEL_INCOMPATIBLE for a package without a wheel or sdist for
    the target, RESOLUTION_FAILED for one that comes from version control.
    """
    environment = markers_of(interpreter, machine)
    tags = list(target_tags(interpreter, linux_platforms(machine)))
    packages, provided = [], {}
    try:
        chosen_ones = lock.parsed().select(environment=environment, tags=tags)  # type: ignore[arg-type]
        for package, chosen in chosen_ones:
            if package.name in left_out:
                continue
            version = str(package.version) if package.version is not None else None
            if version is not None and pins.get(package.name) == version:
                provided[str(package.name)] = version
                continue
            packages.append(_locked(package, chosen, lock.folder))
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


def markers_of(interpreter: Interpreter, machine: str) -> dict[str, str]:
    """The environment that markers of a lock are evaluated in."""
    environment = TargetPython(interpreter.minor[1], machine).markers()
    environment["python_full_version"] = ".".join(map(str, interpreter.version))
    return environment


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
    filename = file_name(
        {"name": getattr(chosen, "name", None), "url": chosen.url, "path": chosen.path}
    )
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


def file_name(file: Mapping[str, Any]) -> str:
    """The name of a file of a lock, as TOML has it: told, or the last part of its address."""
    location = file.get("url") or file.get("path") or ""
    return str(file.get("name") or unquote(urlsplit(location).path).rpartition("/")[2])
