"""Bundles a provider that is already published: ``build --package NAME[extra]==VERSION``.

There is no source project that says which provider the image is of: its module, API and provider
type. They come from flags, else from the provider's own ``get_provider_spec()`` run in the server's
environment, else from reading the wheel without running it (`static_spec`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from lls_provider.bundle import static_spec
from lls_provider.bundle.assemble import assemble_each, own_wheel, writable_target
from lls_provider.bundle.bundle import BundleOptions
from lls_provider.bundle.lock import LockMode
from lls_provider.bundle.static_spec import SpecChoice, StaticSpec
from lls_provider.contract.models import ProviderPackage
from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import SILENT, Progress
from lls_provider.wheels.uv import cause_of

if TYPE_CHECKING:
    from lls_provider.bundle.bundle import Bundle, BundleRequest, CollectedWheels
    from lls_provider.bundle.trial import Trial
    from lls_provider.runtime.preflight.probe_client import ProbeResult
    from lls_provider.wheels.distribution import Distribution

_COMMAND = ("lls-provider", "build")
_FLAGS = "--module, --api and --provider-type"
_LOAD_IT = (
    "Name a server that loads it with --distribution, so that its get_provider_spec() is run;"
)
_WHAT = "servers import <package>.provider and call its get_provider_spec() (contract section 1)."


@dataclass(frozen=True, slots=True)
class SpecFlags:
    """The values of the flags; None leaves the choice to the package."""

    module: str | None = None
    api: str | None = None
    provider_type: str | None = None

    def spec(self) -> StaticSpec | None:
        """The spec, if the flags give all of it; None otherwise."""
        if self.module and self.api and self.provider_type:
            return StaticSpec(self.module, self.api, self.provider_type)
        return None


def bundle_published(
    package: str,
    outs: Mapping[str, Path],
    options: BundleOptions = BundleOptions(),  # noqa: B008 - frozen
    *,
    flags: SpecFlags = SpecFlags(),
    vendor: str | None = None,
    command: Sequence[str] = (),
    progress: Progress = SILENT,
) -> list[Bundle]:
    """Resolve ``package`` once; fetch and assemble its bundle for each machine in ``outs``.

    ``flags`` and ``vendor`` are what the package itself does not have to say; ``command`` is the
    command line of this build, for an error that shows one that succeeds. Raises SdkError USAGE if
    ``package`` is not an exact requirement, has no such extra, or has several provider types of
    which the flags choose none; MODULE_MISSING if it has no provider; LOCK_STALE; and what
    resolving, locking, fetching, trying and assembling raise.
    """
    from lls_provider.bundle.bundle import BundleRequest
    from lls_provider.bundle.closure import normalized_requirement

    requirement = exact_requirement(package)
    for out in outs.values():
        writable_target(out)
    locking = LockMode.of(options.lock, options.locked)
    servers, interpreter = locking.servers(options.distributions, options.python, progress)
    build = _Build(
        BundleRequest(
            str(requirement),
            None,
            interpreter,
            servers,
            options.overrides,
            normalized_requirement(options.bundle),
            machines=tuple(outs),
            locked=locking.file,
        ),
        flags,
        options.trial,
        vendor,
        progress,
    )
    try:
        made, collected = build.run(outs)
    except SdkError as error:
        if locking.file is None:
            build.explain(error, outs, command or (*_COMMAND, f"--package={package}"))
        raise
    locking.write(build.wanted, collected, progress)
    return made


@dataclass(frozen=True, slots=True)
class _Build:
    wanted: BundleRequest
    flags: SpecFlags
    trial: Trial | None
    vendor: str | None
    progress: Progress

    def run(self, outs: Mapping[str, Path]) -> tuple[list[Bundle], CollectedWheels]:
        """Collect the wheels, try the provider and assemble. Raises the first failure unchanged."""
        from lls_provider.bundle.closure import collect_wheels
        from lls_provider.bundle.trial import probe_pool, try_provider
        from lls_provider.wheels.fetch import reporting_damage

        wanted, servers, progress = self.wanted, self.wanted.servers, self.progress
        requirement = Requirement(wanted.requirement)
        with probe_pool(servers, self.trial, outs) as trial:
            collected = {
                machine: collect_wheels(replace(wanted, machine=machine), progress, hints=False)
                for machine in outs
            }
            # only wheels for this machine can be run to get the spec
            here = collected.get(wanted.machine)
            if here is None and servers and self.flags.spec() is None:
                here = collect_wheels(wanted, progress, hints=False)
            foremost = here or next(iter(collected.values()))
            with reporting_damage(
                pair for it in (*collected.values(), foremost) for pair in it.fetched
            ):
                own = own_wheel(foremost.wheels, requirement)
                _require_extras(own, requirement)
                spec, probed = find_spec(own, foremost.wheels, servers, self.flags, trial, progress)
                name, version, _, _ = parse_wheel_filename(own.name)
                metadata = ProviderPackage(
                    name=str(name),
                    version=str(version),
                    vendor=self.vendor or static_spec.declared_vendor(own) or str(name),
                    description=static_spec.declared_summary(own),
                    maintainer=static_spec.declared_maintainer(own),
                    package_name=spec.module,
                    provider_type=spec.provider_type,
                    api=spec.api,
                    wheel_path="",
                )
                tried = None
                if trial is not None and servers:
                    tried = try_provider(
                        servers,
                        foremost.wheels,
                        metadata,
                        trial,
                        machine=wanted.machine if here is not None else next(iter(collected)),
                        overrides=wanted.overrides,
                        read=foremost.read,
                        known=probed,
                        published=True,
                        where=Where(file=own.name),
                        progress=progress,
                    )
                made = assemble_each(wanted, collected, outs, metadata, tried, progress)
            return made, foremost

    def explain(self, error: SdkError, machines: Iterable[str], command: Sequence[str]) -> None:
        """Show in the error the whole command that succeeds, or else what may help.

        Raises SdkError MODULE_MISSING instead if the package is not a provider.
        """
        if error.code is not Code.RESOLUTION_FAILED and error.detail is None:
            return
        if cause_of(error.why) is not None:
            return  # the cause is outside the build, so no option helps
        if error.code is Code.RESOLUTION_FAILED:
            self._require_provider()
        from lls_provider.bundle.closure import add_hints
        from lls_provider.bundle.option_search import Fix, Proposer, find_fixes, shown_command
        from lls_provider.system.cache import scratch

        def attempt(fix: Fix) -> None:
            spec = fix.spec
            flags = SpecFlags(spec.module, spec.api, spec.provider_type) if spec else self.flags
            with scratch("fix") as directory:
                build = replace(self, wanted=fix.applied(self.wanted), flags=flags)
                build.run({it: directory / it for it in machines})

        self.progress.step("looking for options with which it builds")
        fixes = find_fixes(error, attempt, Proposer(self.wanted, self.progress))
        if fixes:
            error.resolution = shown_command(fixes, command, self.wanted.requirement)
        elif error.code is Code.RESOLUTION_FAILED:
            add_hints(error, self.wanted, self.progress)

    def _require_provider(self) -> None:
        """Refuse a package that is not a provider before its closure is examined."""
        from lls_provider.bundle.closure import fetch_alone

        requirement = Requirement(self.wanted.requirement)
        alone = f"{requirement.name}{requirement.specifier}"
        try:
            own = fetch_alone(alone, self.wanted, self.progress)
        except SdkError:
            return  # the error says already that it is not available
        require_provider(own, self.flags.module)


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
        "image is built from what was requested, today and next year.",
    )


def _require_extras(own: Path, requirement: Requirement) -> None:
    """Refuse extras that the package does not have: a resolver ignores them."""
    declared = static_spec.declared_extras(own)
    missing = [it for it in sorted(requirement.extras) if canonicalize_name(it) not in declared]
    if missing:
        raise SdkError(
            Code.USAGE,
            f"{requirement.name} has no extra {', '.join(missing)}",
            why=f"{own.name} has: {', '.join(declared) or 'none'}.",
            where=Where(file=own.name),
            resolution="Correct the extras after --package.",
        )


def find_spec(
    own: Path,
    wheels: Sequence[Path],
    servers: Sequence[Distribution],
    flags: SpecFlags,
    trial: Trial | None,
    progress: Progress,
) -> tuple[StaticSpec, ProbeResult | None]:
    """The spec that ``flags`` leaves, and the probe's result for it beside the first server.

    The result is None if a trial has to probe again. Raises SdkError MODULE_MISSING if the package
    has no provider, or not the requested module, and what `choose_spec` and `run_uv` raise.
    """
    from lls_provider.bundle.trial import LoadFailure, load_resolution

    found = require_provider(own, flags.module)
    results: dict[str, ProbeResult] = {}
    specs: list[StaticSpec] = []
    unread: list[str] = []
    way = ""
    detail = None
    complete = True
    if flags.spec() is None:
        modules = (flags.module,) if flags.module else found
        results = _run(modules, wheels, servers[0], trial, progress) if servers else {}
        static, unreadable = static_spec.static_specs(own), static_spec.unreadable_modules(own)
        for name in modules:
            result = results.get(name)
            specs += [
                StaticSpec(name, spec.api, spec.provider_type, spec.module)
                for spec in (result.specs if result else ())
            ]
            if result is not None and result.specs:
                continue
            specs += [spec for spec in static if spec.module == name]
            complete = complete and name not in unreadable
            if result is not None and result.failure is not None:
                why = f"does not load beside {servers[0].label}: {result.failure.reason}"
                unread.append(f"{name} {why}")
                way = way or load_resolution(
                    result.failure, name, servers[0], wheels, published=True
                )
                detail = detail or LoadFailure(result.failure, tuple(wheels))
            else:
                unread.append(f"{name} makes specs that only running it beside a server would show")
    chosen = choose_spec(
        specs, own, flags, complete=complete, unread=unread, way=way, detail=detail
    )
    if (
        chosen.spec_module
        and chosen.spec_module.partition(".")[0] != chosen.module.partition(".")[0]
    ):
        progress.warn(
            f"the spec of {chosen.module} names the module '{chosen.spec_module}', which the "
            "server will import and not find unless it is installed under that name"
        )
    result = results.get(chosen.module)
    # of several specs only the first is loaded with its classes
    first = result.specs[0].provider_type if result is not None and result.specs else None
    return chosen, result if first == chosen.provider_type else None


def _run(
    modules: Sequence[str],
    wheels: Sequence[Path],
    distribution: Distribution,
    trial: Trial | None,
    progress: Progress,
) -> dict[str, ProbeResult]:
    """The probe's result for each module beside the server; empty if the server cannot be made."""
    from lls_provider.bundle.server_constraints import server_environment_of
    from lls_provider.bundle.trial import Trial, load_provider

    environment = server_environment_of(distribution, progress)
    if environment is None:
        return {}
    progress.step(f"loading {', '.join(modules)} beside {distribution.label}")
    results = load_provider(environment, wheels, modules, trial or Trial())
    for module, result in results.items():
        # a trial itself reports that a provider does not load
        if result.failure is not None and trial is None:
            progress.warn(
                f"{module} does not load beside {distribution.label}: {result.failure.reason}"
            )
    return results


def choose_spec(
    specs: Iterable[StaticSpec],
    own: Path,
    flags: SpecFlags = SpecFlags(),
    *,
    complete: bool = True,
    unread: Sequence[str] = (),
    way: str = "",
    detail: object = None,
) -> StaticSpec:
    """The one spec that the flags leave.

    Without ``complete`` there may be more than ``specs``; ``unread`` has the reasons, one a line,
    and ``way`` is what to do about them. Raises SdkError USAGE with the choices if there are
    several (its detail is a `SpecChoice`), MODULE_MISSING with ``detail`` if there is none and the
    flags do not give all of it.
    """
    if given := flags.spec():
        return given
    every = sorted(set(specs))
    left = [
        spec
        for spec in every
        if flags.module in (None, spec.module)
        and flags.api in (None, spec.api)
        and flags.provider_type in (None, spec.provider_type)
    ]
    left = _outermost(left)
    different = {(spec.module, spec.api, spec.provider_type) for spec in left}
    if len(different) == 1 and (flags.provider_type or complete):
        return left[0]
    shown = "\n".join(
        f"  --module {spec.module} --api {spec.api} --provider-type {spec.provider_type}"
        for spec in (left or every)
    )
    where = Where(file=own.name)
    if not every:
        raise SdkError(
            Code.MODULE_MISSING,
            f"{own.name} does not say what it provides",
            why="\n".join(unread),
            where=where,
            resolution=f"{way} To have the image all the same, say what it provides with {_FLAGS} "
            "and why with --allow-failure REASON."
            if way
            else f"{_LOAD_IT} or say it with {_FLAGS}.",
            detail=detail,
        )
    why = f"It holds:\n{shown}" + "".join(f"\n{line}" for line in ([] if complete else unread))
    if not left:
        raise SdkError(
            Code.USAGE,
            f"{own.name} holds no provider of that description",
            why=why,
            where=where,
            resolution="Choose one of these."
            if complete
            else f"Choose one of these; or name another with all of {_FLAGS}.",
        )
    raise SdkError(
        Code.USAGE,
        f"{own.name} holds {len(left)} provider types, of which an image carries one"
        if complete
        else f"{own.name} may hold more provider types than can be read",
        why=why,
        where=where,
        resolution="Choose one with --provider-type (and --api or --module where the types "
        "are equal)."
        if complete
        else f"{_LOAD_IT} or choose one with --provider-type; "
        f"or name another with all of {_FLAGS}.",
        detail=SpecChoice(tuple(left)),
    )


def _outermost(specs: Sequence[StaticSpec]) -> list[StaticSpec]:
    """The specs without those that a parent package of their module offers too.

    The parent package imports the inner one and returns its spec: both are one provider.
    """
    offered = {(spec.module, spec.api, spec.provider_type) for spec in specs}

    def is_offered_by_parent(spec: StaticSpec) -> bool:
        parts = spec.module.split(".")
        parents = (".".join(parts[:depth]) for depth in range(1, len(parts)))
        return any((parent, spec.api, spec.provider_type) in offered for parent in parents)

    return [spec for spec in specs if not is_offered_by_parent(spec)]


def require_provider(own: Path, module: str | None) -> tuple[str, ...]:
    """The modules of a wheel that have a provider, the outermost first.

    Raises SdkError MODULE_MISSING if there is none, or not the requested ``module``.
    """
    found = static_spec.provider_modules(own)
    if found and (module is None or module in found):
        return found
    if found or module:
        why = f"It has: {', '.join(f'{it}.provider' for it in found)}." if found else _WHAT
        resolution = "Name the package that holds provider.py with --module."
        raise _no_module(own, f"module {module}.provider", why, resolution)
    files = static_spec.directory_specs(own)
    if not files:
        resolution = "Name the package of a provider after --package."
        raise _no_module(own, "package with provider.py", _WHAT, resolution)
    raise _no_module(
        own,
        "get_provider_spec(), only YAML files for a server's external_providers_dir",
        f"It has {', '.join(files[:3])}{f' and {len(files) - 3} more' if files[3:] else ''}. "
        "A server reads these from a directory of its own image; what an image of a provider "
        "contains is imported: " + _WHAT,
        "Name another version after --package, or another package. For an image its authors would "
        "add a module provider.py beside each implementation, whose get_provider_spec() returns "
        "what the YAML file says: api, provider_type, module and config_class.",
    )


def _no_module(own: Path, missing: str, why: str, resolution: str) -> SdkError:
    return SdkError(
        Code.MODULE_MISSING,
        f"{own.name} has no {missing}",
        why=why[0].upper() + why[1:],
        where=Where(file=own.name),
        resolution=resolution,
    )
