"""Bundles a provider that is already published: ``build --package NAME[extra]==VERSION``.

There is no source project to ask, so module, api and provider type come from flags, else from
the provider's own ``get_provider_spec()`` run in the server's environment, else from reading
the wheel without running it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from lls_provider.bundle import declared
from lls_provider.bundle.assemble import assemble, writable_target
from lls_provider.bundle.declared import DeclaredSpec
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
    several provider types and the flags choose none; MODULE_MISSING when it holds no provider;
    LOCK_STALE; and what resolving, locking, fetching, trying and assembling raise.
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
    # a trial tells by itself that a provider does not load
    untried = trial is None
    spec = _spec(own, foremost.wheels, servers, module, api, provider_type, progress, warn=untried)
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


def choose(
    specs: Iterable[DeclaredSpec],
    own: Path,
    *,
    module: str | None = None,
    api: str | None = None,
    provider_type: str | None = None,
) -> DeclaredSpec:
    """The one spec that the flags leave.

    Raises SdkError USAGE listing the choices when there are several, MODULE_MISSING when there
    is none and the flags do not say enough.
    """
    if module and api and provider_type:
        return DeclaredSpec(module, api, provider_type)
    every = sorted(set(specs))
    left = [
        spec
        for spec in every
        if module in (None, spec.module)
        and api in (None, spec.api)
        and provider_type in (None, spec.provider_type)
    ]
    if len({(spec.module, spec.api, spec.provider_type) for spec in left}) == 1:
        return left[0]
    shown = "\n".join(
        f"  --module {spec.module} --api {spec.api} --provider-type {spec.provider_type}"
        for spec in (left or every)
    )
    if left:
        raise SdkError(
            Code.USAGE,
            f"{own.name} holds {len(left)} provider types",
            why=f"An image carries the metadata of one:\n{shown}",
            where=Where(file=own.name),
            resolution="Choose one with --provider-type (and --api or --module where the types "
            "are equal).",
        )
    raise SdkError(
        Code.USAGE if every else Code.MODULE_MISSING,
        f"{own.name} holds no provider of that description"
        if every
        else f"{own.name} does not tell what it provides",
        why=f"It holds:\n{shown}"
        if every
        else "Its get_provider_spec() could neither be run nor read (a package with "
        "provider.py is what servers import, contract section 1).",
        where=Where(file=own.name),
        resolution="Choose one of these."
        if every
        else "Say it with --module, --api and --provider-type, if it is a provider.",
    )


def _spec(
    own: Path,
    wheels: Sequence[Path],
    servers: Sequence[Distribution],
    module: str | None,
    api: str | None,
    provider_type: str | None,
    progress: Progress,
    *,
    warn: bool,
) -> DeclaredSpec:
    specs: list[DeclaredSpec] = []
    held = declared.provider_modules(own)
    if module and module not in held:
        raise SdkError(
            Code.MODULE_MISSING,
            f"{own.name} has no module {module}.provider",
            why=f"It has: {', '.join(f'{it}.provider' for it in held) or 'no provider.py at all'}.",
            resolution="Name the package that holds provider.py with --module.",
        )
    if not (module and api and provider_type):
        static = declared.declared_specs(own)
        modules = (module,) if module else held
        told = _run(modules, wheels, servers[0], progress, warn=warn) if servers else {}
        for name in modules:
            specs += told.get(name) or [spec for spec in static if spec.module == name]
    chosen = choose(specs, own, module=module, api=api, provider_type=provider_type)
    if (
        chosen.spec_module
        and chosen.spec_module.partition(".")[0] != chosen.module.partition(".")[0]
    ):
        progress.warn(
            f"the spec of {chosen.module} names the module '{chosen.spec_module}', which the "
            "server will import and not find unless it is installed under that name"
        )
    return chosen


def _run(
    modules: Sequence[str],
    wheels: Sequence[Path],
    distribution: Distribution,
    progress: Progress,
    *,
    warn: bool,
) -> dict[str, list[DeclaredSpec]]:
    """What each module's get_provider_spec() says beside the server, where it can be run."""
    from lls_provider.bundle.trial import environment_of
    from lls_provider.runtime.probing import probe
    from lls_provider.wheels.uv import run_uv

    if not modules:
        return {}
    environment = environment_of(distribution, progress)
    if environment is None:
        return {}
    progress.step("asking the provider for its spec")
    found: dict[str, list[DeclaredSpec]] = {}
    with tempfile.TemporaryDirectory(prefix="lls-provider-") as folder:
        run_uv(
            [
                *("pip", "install", "--quiet", "--offline", "--no-index", "--no-deps"),
                *("--python", str(environment.python), "--target", folder),
                *(str(wheel) for wheel in wheels),
            ],
            doing="unpacking the provider beside the server",
        )
        for module in modules:
            result = probe(environment.python, module, path=[Path(folder)], schema=False)
            found[module] = [
                DeclaredSpec(module, spec.api, spec.provider_type, spec.module)
                for spec in result.specs
            ]
            if result.failure is not None and warn:
                progress.warn(
                    f"{module} does not load beside {distribution.label}: {result.failure.reason}"
                )
    return found
