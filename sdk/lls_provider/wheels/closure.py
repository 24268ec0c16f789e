"""The closure of a lock for one target: the packages that an image must carry. No network, no uv.

A lock is one resolution for every platform, as a pylock.toml (PEP 751). A target is a Python on a
machine; what the distribution provides is left out.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from packaging.pylock import Package, Pylock, PylockSelectError, PylockValidationError
from packaging.tags import Tag, compatible_tags, cpython_tags

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.target_python import TargetPython

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter


# The C library that wheels may require at the most: what every supported base has (UBI 8 and
# later, Debian 11 and later). Newer wheels are passed over for older ones of the same version.
_GLIBC_NEWEST = 28
_GLIBC_OLDEST = 5
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """One file of the closure: a wheel, or an sdist or directory that a wheel is built from."""

    name: str
    version: str | None
    filename: str
    url: str
    sha256: str | None  # None for a directory on this machine
    size: int | None  # bytes
    is_source: bool


@dataclass(frozen=True, slots=True)
class Closure:
    """The packages to carry, and what the provider relies on of the distribution.

    ``pins`` is all that was taken to be provided, ``left_out`` what was there already.
    """

    packages: tuple[LockedPackage, ...]
    provided: Mapping[str, str]
    lock: Lock  # the whole resolution, for every platform
    pins: Mapping[str, str] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()


def linux_platforms(machine: str) -> tuple[str, ...]:
    """The platform tags of wheels for Linux on ``machine``, best first."""
    tags = []
    for minor in range(_GLIBC_NEWEST, _GLIBC_OLDEST - 1, -1):
        if minor < 17 and machine != "x86_64":
            break  # the older policies know no other machine
        tags.append(f"manylinux_2_{minor}_{machine}")
        if minor in _LEGACY:
            tags.append(f"{_LEGACY[minor]}_{machine}")
    return (*tags, f"linux_{machine}")


def target_tags(interpreter: Interpreter, platforms: tuple[str, ...]) -> Iterator[Tag]:
    """The tags of wheels that ``interpreter`` on those platforms can use, best first."""
    yield from cpython_tags(interpreter.minor, [interpreter.tag], list(platforms))
    yield from compatible_tags(interpreter.minor, interpreter.tag, list(platforms))


def select_closure(
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
    # not resolve(): the directory is gone, and uv made the path from the names alone
    return Path(os.path.normpath(folder / path))


def file_name(file: Mapping[str, Any]) -> str:
    """The name of a file of a lock, as TOML has it: given, or the last part of its address."""
    location = file.get("url") or file.get("path") or ""
    return str(file.get("name") or unquote(urlsplit(location).path).rpartition("/")[2])


@dataclass(frozen=True, slots=True)
class Lock:
    """The text of a lock, and the directory that the relative paths in it start from."""

    text: str
    folder: Path

    def parsed(self) -> Pylock:
        """What the text says. Raises SdkError TOOL_FAILED for a text that uv should not write."""
        try:
            return Pylock.from_dict(tomllib.loads(self.text))
        except (tomllib.TOMLDecodeError, PylockValidationError) as error:
            raise SdkError(
                Code.TOOL_FAILED,
                "The lock that uv wrote cannot be read",
                why=str(error),
                resolution="Report this with the version of uv ('uv --version').",
            ) from error
