"""What an image and its server require of each other.

A bundled package shadows the server's version, for the server itself too. So the server's own
packages must accept it, and what each of the image's wheels requires must be there. The installer's
rule (`conflict`) decides both on an empty volume, so that build, check and init container cannot
disagree.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from lls_provider.errors import Code, SdkError, Where
from lls_provider.runtime.install.conflict import (
    Candidate,
    Conflict,
    Source,
    decide,
    demands_among,
    parse_overrides,
    parse_provided,
)
from lls_provider.runtime.install.shadowing import RESOLUTION, server_modules
from lls_provider.runtime.wheelfile.wheel import parse_requirement
from lls_provider.wheels.environment import ensure_environment, existing_environment
from lls_provider.wheels.interpreter import read_installed
from lls_provider.wheels.servers import known_modules

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from lls_provider.progress import Progress
    from lls_provider.runtime.install.conflict import Demand
    from lls_provider.runtime.install.shadowing import HiddenModule, ServerModules
    from lls_provider.runtime.target_python import TargetPython
    from lls_provider.runtime.wheelfile.wheel import Wheel
    from lls_provider.wheels.distribution import Distribution
    from lls_provider.wheels.environment import Environment


_UNINSTALLABLE = (Code.RESOLUTION_FAILED, Code.TOOL_FAILED)


def server_environment_of(server: Distribution, progress: Progress) -> Environment | None:
    """The server's environment; None, with a warning, if its packages are not all on an index.

    An image or a freeze file may have packages that were built locally. Raises what
    `ensure_environment` raises for what is wrong with this machine, such as a missing network.
    """
    try:
        return ensure_environment(server, progress=progress)
    except SdkError as error:
        if error.code not in _UNINSTALLABLE:
            raise
        first = error.why.splitlines()[0] if error.why else error.what
        progress.warn(
            f"not tried beside {server.label}: its packages cannot all be installed here ({first})"
        )
        return None


def with_requirements(server: Distribution, progress: Progress) -> Distribution:
    """The server with what each of its packages requires, if that can be determined.

    Images and environments have it already; for versions only, an environment is made. Raises what
    `ensure_environment` raises for what is wrong with this machine.
    """
    if server.requires is not None:
        return server
    try:
        environment = ensure_environment(server, progress=progress)
        found = read_installed(environment.python)
        return replace(server, requires=found.requires, modules=found.modules)
    except SdkError as error:
        if error.code not in _UNINSTALLABLE:
            raise
    except (OSError, subprocess.SubprocessError, ValueError):
        pass  # the environment is damaged, which the trial reports
    return server


def modules_of(server: Distribution, environment: Environment | None = None) -> ServerModules:
    """The server's modules as far as they are known: from its files, else from a profile.

    ``environment`` is one that was made of its versions.
    """
    modules, profiled = server.modules, server.pins.keys() <= known_modules().keys()
    if modules is None and environment is not None and not profiled:
        try:
            modules = read_installed(environment.python).modules
        except (OSError, subprocess.SubprocessError, ValueError):
            modules = None  # it is damaged, which loading the provider reports
    if modules is None:
        return profiled_modules(server.pins)
    return server_modules(
        (name, version, modules.get(name, ())) for name, version in server.pins.items()
    )


def profiled_modules(pins: Mapping[str, str]) -> ServerModules:
    """The modules of packages of which only name and version are known."""
    modules = known_modules()
    return server_modules((name, version, modules.get(name, ())) for name, version in pins.items())


def replaced(server: Distribution, bundled: Mapping[str, str]) -> dict[str, str]:
    """The ``bundled`` versions that shadow another version of the server."""
    return {
        name: version
        for name, version in bundled.items()
        if name in server.pins and Version(server.pins[name]) != Version(version)
    }


def rejections(
    server: Distribution,
    bundled: Mapping[str, str],
    target: TargetPython,
    overrides: Sequence[str] = (),
) -> list[Demand]:
    """The requirements of the server's packages that its own versions meet, but not ``bundled``.

    If the server's requirements are not known, those of its line are used. An override applies to
    the server's packages too. Raises InvalidRequirement for an invalid override.
    """
    source = Source(server.label, overrides=parse_overrides(overrides))
    candidates = [
        Candidate(canonicalize_name(name), Version(version), _requirements(server, name), source)
        for name, version in server.pins.items()
    ]
    front = replaced(server, bundled)
    return [
        demand
        for demand in demands_among(candidates, target.environments())
        if demand.name in front
        and demand.requirer.name not in front  # its requirements are replaced with it
        and demand.accepts(Version(server.pins[demand.name]))
        and not demand.accepts(Version(front[demand.name]))
    ]


def rejection(
    server: Distribution, bundled: Mapping[str, str], refused: Sequence[Demand], where: Where
) -> SdkError:
    """The error for what the server's own packages do not accept (contract decision 1)."""
    names = sorted({demand.name for demand in refused})
    why = []
    for name in names:
        needs = "; ".join(
            f"{it.requirer.name} {it.requirer.version} needs {it.wanted}"
            for it in refused
            if it.name == name
        )
        why.append(f"{name} {bundled[name]} would hide its {server.pins[name]}, but {needs}")
    return SdkError(
        Code.DEPENDENCY_CONFLICT,
        f"{server.label} itself cannot run with what goes into the image",
        why="\n".join(why)
        + "\nThe server would run with it, and so would every other provider in the Pod.",
        where=where,
        resolution=f"Ask for a version of {' and '.join(names)} that both accept; or, when a bound "
        "is wrong upstream, replace it with --override. To have the image all the same, build it "
        "with --allow-failure REASON.",
    )


def hiding_error(
    label: str, found: Iterable[HiddenModule], where: Where, *, more: str = ""
) -> SdkError:
    """The error for modules that would hide one of a server's (contract decision 14).

    ``more`` completes the resolution.
    """
    return SdkError(
        Code.MODULE_HIDDEN,
        f"A module of the provider would hide one of {label}",
        why="\n".join(dict.fromkeys(map(str, found))),
        where=where,
        resolution=f"{RESOLUTION}{more}",
    )


def environment_at_hand(server: Distribution) -> Distribution:
    """The server with what its packages require, if this machine has its environment already."""
    environment = existing_environment(server) if server.requires is None else None
    if environment is None:
        return server
    try:
        found = read_installed(environment.python)
    except (OSError, subprocess.SubprocessError, ValueError):
        return server  # the environment is damaged, which using it reports
    return replace(server, requires=found.requires, modules=found.modules)


def _requirements(server: Distribution, name: str) -> tuple[Requirement, ...]:
    found = []
    line = server.line
    known = line.needs(server.pins[name]) if line is not None and line.name == name else ()
    for text in (*(server.requires or {}).get(name, ()), *known):
        try:
            found.append(parse_requirement(text))
        except InvalidRequirement:
            continue  # an old syntax, which no installer accepts either
    return tuple(found)


_REQUESTER = NormalizedName("-")  # not a valid name of a distribution


def unsatisfied(
    wheels: Sequence[Wheel],
    *,
    own: NormalizedName | None,
    target: TargetPython,
    provided: Mapping[str, str],
    overrides: Sequence[str],
    requested: Requirement | None = None,
) -> tuple[Conflict, ...]:
    """The packages that the wheels need, and that neither they nor the server have as needed.

    ``requested`` is the requested package with its extras. Raises InvalidRequirement for an invalid
    override.
    """
    candidates = _candidates(wheels, own, provided, overrides)
    if requested is not None:
        source = _source(own, provided, overrides)
        candidates.append(Candidate(_REQUESTER, Version("0"), (requested,), source))
    return decide([], candidates, target.environments()).conflicts


def missing_by_server(
    wheels: Sequence[Wheel],
    *,
    own: NormalizedName,
    target: TargetPython,
    provided: Mapping[str, str],
    overrides: Sequence[str],
) -> dict[NormalizedName, set[NormalizedName]]:
    """The names of what each package requires on the target, whether bundled or provided."""
    found: dict[NormalizedName, set[NormalizedName]] = {wheel.name: set() for wheel in wheels}
    candidates = _candidates(wheels, own, provided, overrides)
    for demand in demands_among(candidates, target.environments()):
        if demand.name != demand.requirer.name:
            found[demand.requirer.name].add(demand.name)
    return found


def _candidates(
    wheels: Sequence[Wheel],
    own: NormalizedName | None,
    provided: Mapping[str, str],
    overrides: Sequence[str],
) -> list[Candidate]:
    source = _source(own, provided, overrides)
    return [Candidate(it.name, it.version, it.requires, source) for it in wheels]


def _source(
    own: NormalizedName | None, provided: Mapping[str, str], overrides: Sequence[str]
) -> Source:
    return Source(
        provider="this bundle",
        own=own,
        provided=parse_provided(provided),
        overrides=parse_overrides(overrides),
    )


def describe_conflict(conflict: Conflict, provided: Mapping[str, str]) -> str:
    """What is missing or wrong, and which packages need it, in one line."""
    wanted = "; ".join(
        f"{demand.requirer.name} {demand.requirer.version} needs {demand.requirement}"
        for demand in conflict.demands
    )
    if conflict.new is not None:
        state = f"the bundle has {conflict.new}"
    elif conflict.provided is not None:
        state = f"the distribution is assumed to provide {conflict.provided}"
    else:
        state = "not in the bundle" + (" nor assumed to be provided" if provided else "")
    return f"{conflict.name}: {state}, but {wanted}"
