"""The bundles of one build, one for each machine: all of one resolution."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from lls_provider.bundle.assemble import assemble
from lls_provider.bundle.target import target_of
from lls_provider.errors import Code, SdkError
from lls_provider.progress import Progress, counted

if TYPE_CHECKING:
    from lls_provider.bundle.read import Bundle
    from lls_provider.bundle.trial import Outcome
    from lls_provider.bundle.wanted import Gathered, Wanted
    from lls_provider.contract.models import ProviderPackage


def on_this_machine(out: Path) -> dict[str, Path]:
    """The places of a build for this machine alone."""
    return {os.uname().machine: out}


def assemble_each(
    wanted: Wanted,
    gathered: Mapping[str, Gathered],
    outs: Mapping[str, Path],
    metadata: ProviderPackage,
    outcome: Outcome | None,
    progress: Progress,
) -> list[Bundle]:
    """Assemble what was gathered for each machine in ``outs``. Raises what `assemble` raises."""
    _tell_idle(wanted, gathered.values(), progress)
    made = []
    for machine, found in gathered.items():
        if wanted.own is not None:
            own, known = wanted.own.path, (wanted.own, *found.read)
        else:
            own, known = own_wheel(found.wheels, Requirement(wanted.requirement)), found.read
        dependencies = [wheel for wheel in found.wheels if wheel != own]
        progress.step(f"assembling {counted(len(dependencies) + 1, 'wheel')}")
        made.append(
            assemble(
                outs[machine],
                metadata=metadata,
                own_wheel=own,
                dependencies=dependencies,
                target=target_of(wanted.interpreter, machine),
                provided=found.provided,
                distributions=tuple(server.recorded for server in wanted.servers),
                overrides=wanted.overrides,
                expected=found.expected,
                known=known,
                hashed=wanted.ahead.hashes,
                outcome=outcome,
            )
        )
    return made


def _tell_idle(wanted: Wanted, gathered: Iterable[Gathered], progress: Progress) -> None:
    """Say which names of packages to bundle changed nothing: they may be misspelt."""
    brought = {package.name for found in gathered for package in found.packages}
    for name in sorted(wanted.bundle):
        if not any(name in server.pins for server in wanted.servers):
            progress.warn(f"--bundle {name} changes nothing: no distribution provides {name}")
        elif name not in brought:
            progress.warn(f"--bundle {name} changes nothing: the provider does not need {name}")


def own_wheel(wheels: Iterable[Path], requirement: Requirement) -> Path:
    """The package's own wheel among those of its closure. Raises SdkError RESOLUTION_FAILED."""
    wanted = canonicalize_name(requirement.name)
    for wheel in wheels:
        if parse_wheel_filename(wheel.name)[0] == wanted:
            return wheel
    raise SdkError(
        Code.RESOLUTION_FAILED,
        f"The distribution already provides {requirement}",
        why="So there is nothing to put into an image.",
        resolution="Use the server's own provider, or build without --distribution.",
    )
