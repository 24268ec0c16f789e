"""Bundles a provider that is already published: ``build --package NAME[extra]==VERSION``.

There is no source project to ask: `choosing` finds out what the package provides.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from lls_provider.bundle import declared
from lls_provider.bundle.assemble import assemble, writable_target
from lls_provider.bundle.choosing import Asked, find_spec
from lls_provider.bundle.locking import Locking
from lls_provider.bundle.target import target_of
from lls_provider.contract.models import ProviderPackage
from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import SILENT, Progress, counted

if TYPE_CHECKING:
    from lls_provider.bundle.read import Bundle
    from lls_provider.bundle.trial import Trial
    from lls_provider.wheels.distribution import Distribution


def bundle_published(
    package: str,
    *,
    out: Path,
    distributions: Sequence[str | Distribution] = (),
    module: str | None = None,
    api: str | None = None,
    provider_type: str | None = None,
    vendor: str | None = None,
    python: str | None = None,
    overrides: Sequence[str] = (),
    bundle: Collection[str] = (),
    lock: Path | None = None,
    locked: Path | None = None,
    progress: Progress = SILENT,
) -> Bundle:
    """Resolve, fetch and assemble the bundle of ``package`` for this machine at ``out``.

    Takes and raises what `published_platforms` does.
    """
    (made,) = published_platforms(
        package,
        outs={os.uname().machine: out},
        distributions=distributions,
        module=module,
        api=api,
        provider_type=provider_type,
        vendor=vendor,
        python=python,
        overrides=overrides,
        bundle=bundle,
        lock=lock,
        locked=locked,
        progress=progress,
    )
    return made


def published_platforms(
    package: str,
    *,
    outs: Mapping[str, Path],
    distributions: Sequence[str | Distribution] = (),
    module: str | None = None,
    api: str | None = None,
    provider_type: str | None = None,
    vendor: str | None = None,
    python: str | None = None,
    overrides: Sequence[str] = (),
    bundle: Collection[str] = (),
    lock: Path | None = None,
    locked: Path | None = None,
    trial: Trial | None = None,
    progress: Progress = SILENT,
) -> list[Bundle]:
    """Resolve ``package`` once; fetch and assemble its bundle for each machine in ``outs``.

    The lock of the closure is written to ``lock``; from the one at ``locked`` it is built without
    resolving. With a ``trial`` the provider is loaded beside each distribution before it is
    assembled. Raises SdkError USAGE when ``package`` is no exact requirement, or when it holds
    several provider types and the flags choose none, or has no such extra; MODULE_MISSING when it
    holds no provider; LOCK_STALE; and what resolving, locking, fetching, trying and assembling
    raise.
    """
    from lls_provider.bundle.gather import Wanted, gather, normalized
    from lls_provider.bundle.trial import try_beside

    requirement = exact_requirement(package)
    for out in outs.values():
        writable_target(out)
    locking = Locking.of(lock, locked)
    servers, interpreter = locking.servers(distributions, python, progress)
    wanted = Wanted(
        str(requirement),
        None,
        interpreter,
        servers,
        tuple(overrides),
        normalized(bundle),
        locked=locking.file,
    )
    gathered = {machine: gather(replace(wanted, machine=machine), progress) for machine in outs}
    # only what is for this machine can be run to tell its spec
    here = gathered.get(wanted.machine)
    if here is None and servers and not (module and api and provider_type):
        here = gather(wanted, progress)
    foremost = here or next(iter(gathered.values()))
    own = own_wheel(foremost.wheels, requirement)
    _require_extras(own, requirement)
    asked = Asked(module, api, provider_type)
    spec, known = find_spec(own, foremost.wheels, servers, asked, trial, progress)
    name, version, _, _ = parse_wheel_filename(own.name)
    metadata = ProviderPackage(
        name=str(name),
        version=str(version),
        vendor=vendor or declared.declared_vendor(own) or str(name),
        description=declared.declared_summary(own),
        maintainer=declared.declared_maintainer(own),
        package_name=spec.module,
        provider_type=spec.provider_type,
        api=spec.api,
        wheel_path="",
    )
    tried = None
    if trial is not None and servers:
        tried = try_beside(
            servers,
            foremost.wheels,
            metadata,
            trial,
            machine=wanted.machine if here is not None else next(iter(gathered)),
            overrides=overrides,
            known=known,
            published=True,
            where=Where(file=own.name),
            progress=progress,
        )
    made = []
    for machine, found in gathered.items():
        own = own_wheel(found.wheels, requirement)
        progress.step(f"assembling {counted(len(found.wheels), 'wheel')}")
        made.append(
            assemble(
                outs[machine],
                metadata=metadata,
                own_wheel=own,
                dependencies=[wheel for wheel in found.wheels if wheel != own],
                target=target_of(interpreter, machine),
                provided=found.provided,
                distributions=tuple(server.recorded for server in servers),
                overrides=tuple(overrides),
                expected=found.expected,
                known=found.read,
                outcome=tried,
            )
        )
    locking.write(wanted, foremost, progress)
    return made


def exact_requirement(text: str) -> Requirement:
    """``NAME[extra]==VERSION`` as a requirement. Raises SdkError USAGE for anything looser."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise _not_exact(text, str(error).partition("\n")[0]) from error
    specifiers = list(requirement.specifier)
    if requirement.url is not None or requirement.marker is not None:
        raise _not_exact(text, "It has an address or a marker.")
    if len(specifiers) != 1 or specifiers[0].operator not in {"==", "==="}:
        raise _not_exact(text, "It does not name one version.")
    if specifiers[0].version.endswith(".*"):
        raise _not_exact(text, "It names a family of versions.")
    return requirement


def _not_exact(text: str, why: str) -> SdkError:
    return SdkError(
        Code.USAGE,
        f"--package needs NAME==VERSION, not {text!r:.200}",
        why=why,
        resolution="Name one version, such as llama-stack-provider-trustyai-fms==0.4.0: an "
        "image is built from what was asked for, today and next year.",
    )


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


def _require_extras(own: Path, requirement: Requirement) -> None:
    """Refuse extras that the package does not have: a resolver passes over them."""
    there = declared.declared_extras(own)
    missing = [it for it in sorted(requirement.extras) if canonicalize_name(it) not in there]
    if missing:
        raise SdkError(
            Code.USAGE,
            f"{requirement.name} has no extra {', '.join(missing)}",
            why=f"{own.name} has: {', '.join(there) or 'none'}.",
            where=Where(file=own.name),
            resolution="Correct the extras after --package.",
        )
