"""Collects the wheels of a bundle: resolved against every distribution, fetched, all needed.

With several distributions (contract decision 3), what all of them have in versions that satisfy
the provider is provided. A resolution has one version of each package, so the provider is resolved
against one distribution after the other, and the result is checked against the others by the
installer's own rule. For a locked build the wheels are read and hashed while the provider's own
wheel is built.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lls_provider.bundle import resolution_hints
from lls_provider.bundle.bundle import (
    BundleRequest,
    CollectedWheels,
    FileDigests,
    PrefetchedWheels,
    hash_file,
)
from lls_provider.bundle.lock import locked_closure, stale_lock_error
from lls_provider.bundle.resolution_hints import Change, add_resolution_hints
from lls_provider.bundle.server_constraints import describe_conflict, unsatisfied
from lls_provider.errors import Code, SdkError
from lls_provider.progress import SILENT, Progress
from lls_provider.runtime.wheelfile.wheel import Wheel, read_wheel
from lls_provider.wheels.fetch import cached_file, fetch, reporting_damage
from lls_provider.wheels.loading import (
    agreed_versions,
    join_closures,
    load_distribution,
    shared_versions,
)
from lls_provider.wheels.resolve import lock_alone, make_lock, newest_version, select_closure
from lls_provider.wheels.uv import cause_of, python_hint

if TYPE_CHECKING:
    from lls_provider.runtime.install.conflict import Conflict
    from lls_provider.wheels.distribution import Distribution
    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.lock import LockFile
    from lls_provider.wheels.resolve import Closure


_Kind = TypeVar("_Kind")


def collect_wheels(
    wanted: BundleRequest, progress: Progress = SILENT, *, hints: bool = True
) -> CollectedWheels:
    """Find and fetch the wheels. Raises what `resolve`, `locked_closure` and `fetch` raise.

    With ``hints`` the error RESOLUTION_FAILED lists the solutions that work.
    """
    if wanted.locked is not None:
        return _from_lock(wanted, wanted.locked, progress)
    try:
        return _collected(wanted, progress)
    except SdkError as error:
        if hints and error.code is Code.RESOLUTION_FAILED:
            add_hints(error, wanted, progress)
        raise


def add_hints(error: SdkError, wanted: BundleRequest, progress: Progress) -> None:
    """Add to a RESOLUTION_FAILED what its reader can do, who may not be the provider's author."""
    if cause_of(error.why) is not None:
        return  # the cause is outside the build, so no option helps

    def newest(requirement: str) -> str | None:
        return newest_version(requirement, interpreter=wanted.interpreter, base=wanted.base)

    first = resolution_hints.CHANGE_REQUIREMENT
    published = Requirement(wanted.requirement) if wanted.own is None else None
    if published is not None:
        if resolution := resolution_hints.resolution_of(error, published, newest):
            error.resolution = resolution
            return
        first = resolution_hints.other_version_resolution(published)
        error.resolution = (
            f"{first}; or, when a bound is wrong upstream, replace it with --override "
            f"'NAME==VERSION'.{python_hint(error.why)}"
        )
    if resolution := resolution_hints.not_found_resolution(error, published):
        error.resolution = resolution
        return
    if not wanted.servers:
        return
    progress.step("looking for solutions")
    required = resolution_hints.required_server(error, newest)
    add_resolution_hints(
        error,
        wanted.servers,
        lambda change: _changed(wanted, change),
        _loaded(required, wanted),
        judge=lambda server, versions: _refused(server, versions, wanted, progress),
        first=first,
    )


def _refused(
    server: Distribution, versions: Mapping[str, str], wanted: BundleRequest, progress: Progress
) -> list[str] | None:
    """The server's packages that do not accept these versions, each with its bound."""
    from lls_provider.bundle.server_constraints import rejections, with_requirements

    try:
        known = with_requirements(server, progress)
    except SdkError:  # something is missing on this machine; the hints work without it
        return None
    if known.requires is None:
        return None
    found = rejections(known, versions, wanted.target, wanted.overrides)
    return [f"{it.requirer.name} {it.requirer.version} needs {it.wanted}" for it in found]


def _loaded(server: str | None, wanted: BundleRequest) -> list[Distribution]:
    """The server that a provider seems to be made for, if it is available."""
    if server is None or server in [it.label for it in wanted.servers]:
        return []
    try:
        return [load_distribution(server, python=str(wanted.interpreter.path))]
    except SdkError:
        return []  # it was only a guess


def _from_lock(wanted: BundleRequest, locked: LockFile, progress: Progress) -> CollectedWheels:
    closure = locked_closure(locked, wanted)
    files = _fetch(wanted, closure, progress)
    with reporting_damage(zip(closure.packages, files, strict=True)):
        wheels = [wanted.prefetched.wheels.get(file) or read_wheel(file) for file in files]
    # as without a lock: with several distributions, a lock also has what only their packages need
    kept = _needed(wanted, wheels, closure.provided) if len(wanted.servers) > 1 else wheels
    if conflicts := _unsatisfied(wanted, kept, closure.provided):
        raise stale_lock_error(
            locked, [describe_conflict(it, closure.provided) for it in conflicts]
        )
    return _only(closure, files, wheels, kept, closure.provided)


def _fetch(wanted: BundleRequest, closure: Closure, progress: Progress) -> list[Path]:
    try:
        return fetch(
            closure.packages,
            interpreter=wanted.interpreter,
            machine=wanted.machine,
            base=wanted.base,
            progress=progress,
        )
    except SdkError as error:
        if error.code is Code.HASH_MISMATCH and wanted.locked is None:
            error.what = f"{error.where.file} is not the file that its index lists"
            error.resolution = (
                "Run the command again, after some minutes where the index lets its pages be "
                "cached. If this happens again, the index, or a proxy or mirror in front of it, "
                "serves another file than the one whose hash it lists: ask its owner. Nothing of "
                "the file was kept."
            )
        raise


def fetch_alone(requirement: str, wanted: BundleRequest, progress: Progress) -> Path:
    """The wheel of the newest release that satisfies a requirement, without its dependencies.

    It is for the Python and machine of ``wanted``. Raises what `lock_alone`, `select_closure` and
    `fetch` raise.
    """
    closure = select_closure(
        lock_alone(requirement, interpreter=wanted.interpreter, base=wanted.base),
        interpreter=wanted.interpreter,
        machine=wanted.machine,
        pins={},
    )
    (wheel,) = _fetch(wanted, closure, progress)
    return wheel


def _only(
    closure: Closure,
    files: Sequence[Path],
    wheels: Sequence[Wheel],
    needed: Sequence[Wheel],
    provided: Mapping[str, str],
) -> CollectedWheels:
    kept = [
        (package, file)
        for package, file, wheel in zip(closure.packages, files, wheels, strict=True)
        if wheel in needed
    ]
    return CollectedWheels(
        tuple(package for package, _ in kept),
        tuple(file for _, file in kept),
        provided,
        closure,
        tuple(needed),
    )


def _changed(wanted: BundleRequest, change: Change) -> list[Closure]:
    """The closures of a changed build, one for each server."""
    other = replace(
        wanted,
        servers=change.servers or wanted.servers,
        overrides=wanted.overrides + change.overrides,
        bundle=wanted.bundle | change.bundle,
    )
    return [
        _resolve(other, replace(server, pins=_without(server.pins, other.bundle)), {}, SILENT)
        for server in other.servers
    ]


def _collected(wanted: BundleRequest, progress: Progress) -> CollectedWheels:
    if len(wanted.servers) > 1:
        return _for_several(wanted, progress)
    server = wanted.servers[0] if wanted.servers else None
    if server is not None and wanted.bundle:
        server = replace(server, pins=_without(server.pins, wanted.bundle))
    closure = _resolve(wanted, server, {}, progress)
    wheels = _fetch(wanted, closure, progress)
    return CollectedWheels(closure.packages, tuple(wheels), closure.provided, closure)


def _resolve(
    wanted: BundleRequest, server: Distribution | None, held: Mapping[str, str], progress: Progress
) -> Closure:
    pins = server.pins if server is not None else {}
    own = frozenset([wanted.own.name] if wanted.own is not None else [])
    key = (wanted.requirement, wanted.overrides, frozenset(pins.items()), frozenset(held.items()))
    lock = wanted.locks.get(key)
    if lock is None:
        lock = wanted.locks[key] = make_lock(
            [wanted.requirement],
            own=own,
            distribution=server,
            held=held,
            interpreter=wanted.interpreter,
            overrides=wanted.overrides,
            base=wanted.base,
            machines=wanted.machines or (wanted.machine,),
            progress=progress,
        )
    return select_closure(
        lock, interpreter=wanted.interpreter, machine=wanted.machine, pins=pins, left_out=own
    )


def _for_several(wanted: BundleRequest, progress: Progress) -> CollectedWheels:
    """The wheels that all distributions accept; what not all of them satisfy is bundled."""
    shared = _without(shared_versions(wanted.servers), wanted.bundle)
    while True:
        results: list[Mapping[str, str]] = []
        failures: list[SdkError] = []
        for basis in wanted.servers:
            try:
                found, conflicts = _beside(wanted, basis, shared, progress)
            except SdkError as error:
                if error.code is not Code.RESOLUTION_FAILED:
                    raise
                failures.append(error)
                continue
            refused: Mapping[str, str] = {
                it.name: describe_conflict(it, found.provided)
                for it in conflicts
                if it.provided is not None and it.new is None
            }
            if not refused:
                return found  # `assemble` reports other conflicts
            results.append(refused)
        if not results:
            raise failures[0]
        refused = min(results, key=len)
        for line in refused.values():
            progress.warn(f"not every distribution satisfies the provider, so bundled: {line}")
        shared = _without(shared, refused)


def _beside(
    wanted: BundleRequest,
    basis: Distribution,
    shared: Mapping[str, Sequence[str]],
    progress: Progress,
) -> tuple[CollectedWheels, tuple[Conflict, ...]]:
    """The result with one distribution's versions, and the conflicts with those of the others."""
    # a bundled package shadows a server's, so it should have the same version
    rest = {name for server in wanted.servers for name in server.pins} - shared.keys()
    held = agreed_versions(wanted.servers, rest) | {
        name: version for name, version in basis.pins.items() if name in rest
    }
    server = replace(basis, pins={name: basis.pins[name] for name in shared})
    closure = _resolve(wanted, server, _without(held, wanted.bundle), progress)
    files = _fetch(wanted, closure, progress)
    with reporting_damage(zip(closure.packages, files, strict=True)):
        wheels = [read_wheel(file) for file in files]
    provided = join_closures(shared)
    needed = _needed(wanted, wheels, provided)
    relied = {name: provided[name] for name in closure.provided}
    found = _only(closure, files, wheels, needed, relied)
    return found, _unsatisfied(wanted, needed, provided)


def _needed(
    wanted: BundleRequest, wheels: Sequence[Wheel], provided: Mapping[str, str]
) -> list[Wheel]:
    """The wheels that the provider needs, without those that only a server's packages need."""
    left = {wheel.name: wheel for wheel in wheels}
    chosen: list[Wheel] = []
    name = canonicalize_name(Requirement(wanted.requirement).name)
    if wanted.own is None and name in left:
        chosen.append(left.pop(name))
    while missing := {it.name for it in _unsatisfied(wanted, chosen, provided)} & left.keys():
        chosen += [left.pop(name) for name in sorted(missing)]
    return chosen


def _unsatisfied(
    wanted: BundleRequest, wheels: Sequence[Wheel], provided: Mapping[str, str]
) -> tuple[Conflict, ...]:
    own = [wanted.own] if wanted.own is not None else []
    return unsatisfied(
        [*own, *wheels],
        own=None,
        target=wanted.target,
        provided=provided,
        overrides=wanted.overrides,
        requested=Requirement(wanted.requirement),
    )


def normalized_requirement(names: Collection[str]) -> frozenset[str]:
    """Normalised names of packages."""
    return frozenset(canonicalize_name(name) for name in names)


def _without(values: Mapping[str, _Kind], names: Collection[str]) -> dict[str, _Kind]:
    return {name: value for name, value in values.items() if name not in names}


def prefetch_wheels(
    locked: LockFile, interpreter: Interpreter, machines: Collection[str]
) -> PrefetchedWheels:
    """The wheels for those machines that are in the cache already.

    Raises no SdkError: what is wrong with a wheel is reported when it is collected. Measured by
    benchmarks/tricks.py: without it a locked build of 92 packages takes 1.14 times as long.
    """
    wheels: dict[Path, Wheel] = {}
    paths = _cached(locked, interpreter, machines)
    for path in paths:
        with contextlib.suppress(SdkError):
            wheels[path] = read_wheel(path)
    hashes = {path: found for path in paths if (found := _hash(path)) is not None}
    return PrefetchedWheels(wheels, hashes)


def _cached(
    locked: LockFile, interpreter: Interpreter, machines: Collection[str]
) -> dict[Path, None]:
    found: dict[Path, None] = {}
    for machine in machines:
        with contextlib.suppress(SdkError):
            chosen = select_closure(locked.lock, interpreter=interpreter, machine=machine, pins={})
            found |= dict.fromkeys(filter(None, map(cached_file, chosen.packages)))
    return found


def _hash(path: Path) -> FileDigests | None:
    try:
        return hash_file(path)
    except OSError:
        return None
