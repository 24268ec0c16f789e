"""Whether the server has what the installed providers require of it and do not bring.

An init container knows the server only by what an image assumed; preflight runs beside the real
one, so here the same requirements are compared with what exists. What the installed providers bring
is listed for the rule about hidden modules.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from lls_provider.runtime.install.conflict import demands_among
from lls_provider.runtime.install.shadowing import (
    HiddenModule,
    ServerModules,
    ShadowingModules,
    hidden_modules,
    recorded_modules,
    server_modules,
)
from lls_provider.runtime.preflight.probe_process import child_environment
from lls_provider.runtime.target_python import TargetPython
from lls_provider.runtime.volume.installed import read_regular
from lls_provider.runtime.volume.volume import recorded_files
from lls_provider.runtime.wheelfile.wheel import parse_version

if TYPE_CHECKING:
    from packaging.utils import NormalizedName
    from packaging.version import Version

    from lls_provider.runtime.install.conflict import Candidate, Demand
    from lls_provider.runtime.install.shadowing import ServerModules
    from lls_provider.runtime.volume.installed import ProviderRecord


_MARK = "lls-provider packages: "
_LIST = f"""\
import importlib.metadata, json
found = []
for it in importlib.metadata.distributions():
    try:
        given = [it.read_text(name) or "" for name in ("RECORD", "top_level.txt")]
        found.append((it.metadata["Name"], it.version, str(it.locate_file("")), *given))
    except Exception:
        pass
print("\\n" + {_MARK!r} + json.dumps(found))
"""
_SECONDS = 60


@dataclass(frozen=True, slots=True)
class ServerPackages:
    """What the server's Python finds: versions by name, and whose modules are behind ``path``."""

    versions: Mapping[NormalizedName, Version]
    modules: ServerModules


def server_packages(
    python: Path, *, path: Sequence[Path] = (), env: Mapping[str, str] | None = None
) -> ServerPackages | None:
    """What the server's Python finds, with ``path`` in front; None if it cannot say.

    Nothing is imported for it but what that Python imports at its start.
    """
    try:
        done = subprocess.run(
            [str(python.absolute()), "-c", _LIST],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(path, env),
            cwd="/",
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None  # loading the providers says why
    _, mark, told = done.stdout.decode("utf-8", "replace").rpartition(_MARK)
    if not mark:
        return None
    found: dict[NormalizedName, Version] = {}
    behind = []
    front = {os.path.realpath(entry) for entry in path}
    for name, version, place, record, top in json.loads(told):
        try:
            found.setdefault(canonicalize_name(name), parse_version(version))
        except (TypeError, InvalidVersion):
            continue
        if os.path.realpath(place) not in front:
            behind.append((canonicalize_name(name), version, recorded_modules(record, top)))
    return ServerPackages(found, server_modules(behind))


def unmet_requirements(
    installed: Sequence[Candidate], found: Mapping[NormalizedName, Version], minor: int
) -> Iterator[tuple[Demand, Version | None]]:
    """The requirements that lead out of the tree to what does not exist in such a version.

    Those among ``installed`` were the installer's to judge.
    """
    tree = {candidate.name for candidate in installed}
    target = TargetPython(minor, os.uname().machine)
    told = set()
    for demand in demands_among(installed, target.environments()):
        version = found.get(demand.name)
        if demand.name in tree or (version is not None and demand.accepts(version)):
            continue
        if str(demand) not in told:
            told.add(str(demand))
            yield demand, version


BroughtModules = Sequence[tuple["ProviderRecord", Sequence[ShadowingModules]]]
"""Each installed provider with its distributions."""


def installed_modules(records: Iterable[ProviderRecord], packages: Path) -> BroughtModules:
    """What the providers have in the directory ``packages``, as their RECORD files list it."""
    return [(record, list(_fronts(record, packages))) for record in records]


def hidden_modules_of(
    brought: BroughtModules, server: ServerModules, minor: int
) -> Iterator[tuple[ProviderRecord, list[HiddenModule]]]:
    """What each provider hides of ``server``, if anything."""
    found = list(
        hidden_modules([front for _, fronts in brought for front in fronts], server, minor)
    )
    for record, fronts in brought:
        own = [it for it in found if it.front in fronts]
        if own:
            yield record, own


def _fronts(record: ProviderRecord, packages: Path) -> Iterator[ShadowingModules]:
    for package in record.packages:
        paths = recorded_files(packages / package.dist_info)
        yield ShadowingModules(
            canonicalize_name(package.name),
            package.version,
            paths,
            lambda path: read_regular(packages / path) or b"",
        )
