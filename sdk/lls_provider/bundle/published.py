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
_RUN_IT = "Name a server that loads it with --distribution, so that its get_provider_spec() is run;"
_WHAT = "servers import <package>.provider and call its get_provider_spec() (contract section 1)."


@dataclass(frozen=True, slots=True)
class SpecFlags:
    """What the flags say; None is left to the package."""

    module: str | None = None
    api: str | None = None
    provider_type: str | None = None

    def spec(self) -> StaticSpec | None:
        """The spec, when the flags say everything."""
        if self.module and self.api and self.provider_type:
            return StaticSpec(self.module, self.api, self.provider_type)
        return None


def bundle_published(
    package: str,
    outs: Mapping[str, Path],
    options: BundleOptions = BundleOptions(),  # noqa: B008 - frozen
    *,
    asked: SpecFlags = SpecFlags(),
    vendor: str | None = None,
    words: Sequence[str] = (),
    progress: Progress = SILENT,
) -> list[Bundle]:
    """Resolve ``package`` once; fetch and assemble its bundle for each machine in ``outs``.

    ``asked`` and ``vendor`` are what the package itself need not say; ``words`` are the command
    line that requires it, for an error that names one which succeeds. Raises SdkError USAGE
    when ``package`` is not an exact requirement, or when it holds several provider types and the
    flags choose none, or has no such extra; MODULE_MISSING when it holds no provider;
    LOCK_STALE; and what resolving, locking, fetching, trying and assembling raise.
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
        asked,
        options.trial,
        vendor,
        progress,
    )
    try:
        made, gathered = build.run(outs)
    except SdkError as error:
        if locking.file is None:
            build.explain(error, outs, words or (*_COMMAND, f"--package={package}"))
        raise
    locking.write(build.wanted, gathered, progress)
    return made


@dataclass(frozen=True, slots=True)
class _Build:
    wanted: BundleRequest
    asked: SpecFlags
    trial: Trial | None
    vendor: str | None
    progress: Progress

    def run(self, outs: Mapping[str, Path]) -> tuple[list[Bundle], CollectedWheels]:
        """Gather, try and assemble; raises the first failure as it is."""
        from lls_provider.bundle.closure import collect_wheels
        from lls_provider.bundle.trial import probe_pool, try_provider
        from lls_provider.wheels.fetch import reporting_damage

        wanted, servers, progress = self.wanted, self.wanted.servers, self.progress
        requirement = Requirement(wanted.requirement)
        with probe_pool(servers, self.trial, outs) as trial:
            gathered = {
                machine: collect_wheels(replace(wanted, machine=machine), progress, hints=False)
                for machine in outs
            }
            # only what is for this machine can be run to report its spec
            here = gathered.get(wanted.machine)
            if here is None and servers and self.asked.spec() is None:
                here = collect_wheels(wanted, progress, hints=False)
            foremost = here or next(iter(gathered.values()))
            with reporting_damage(
                pair for it in (*gathered.values(), foremost) for pair in it.fetched
            ):
                own = own_wheel(foremost.wheels, requirement)
                _require_extras(own, requirement)
                spec, known = find_spec(own, foremost.wheels, servers, self.asked, trial, progress)
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
                        machine=wanted.machine if here is not None else next(iter(gathered)),
                        overrides=wanted.overrides,
                        read=foremost.read,
                        known=known,
                        published=True,
                        where=Where(file=own.name),
                        progress=progress,
                    )
                made = assemble_each(wanted, gathered, outs, metadata, tried, progress)
            return made, foremost

    def explain(self, error: SdkError, machines: Iterable[str], words: Sequence[str]) -> None:
        """Name in the error the whole command that succeeds, or else what may help.

        Raises SdkError MODULE_MISSING in its place when the package is not a provider.
        """
        if error.code is not Code.RESOLUTION_FAILED and error.detail is None:
            return
        if cause_of(error.why) is not None:
            return  # of what is around the build, which no option changes
        if error.code is Code.RESOLUTION_FAILED:
            self._require_provider()
        from lls_provider.bundle.closure import add_hints
        from lls_provider.bundle.option_search import Fix, Proposer, find_fixes, shown_command
        from lls_provider.system.cache import scratch

        def attempt(fix: Fix) -> None:
            spec = fix.spec
            asked = SpecFlags(spec.module, spec.api, spec.provider_type) if spec else self.asked
            with scratch("fix") as folder:
                build = replace(self, wanted=fix.applied(self.wanted), asked=asked)
                build.run({it: folder / it for it in machines})

        self.progress.step("looking for options with which it builds")
        fixes = find_fixes(error, attempt, Proposer(self.wanted, self.progress))
        if fixes:
            error.resolution = shown_command(fixes, words, self.wanted.requirement)
        elif error.code is Code.RESOLUTION_FAILED:
            add_hints(error, self.wanted, self.progress)

    def _require_provider(self) -> None:
        """Refuse a package that is not a provider before its closure is looked into."""
        from lls_provider.bundle.closure import fetch_alone

        requirement = Requirement(self.wanted.requirement)
        alone = f"{requirement.name}{requirement.specifier}"
        try:
            own = fetch_alone(alone, self.wanted, self.progress)
        except SdkError:
            return  # that it is not available is what the error says
        require_provider(own, self.asked.module)


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
    """Refuse extras that the package does not have: a resolver passes over them."""
    there = static_spec.declared_extras(own)
    missing = [it for it in sorted(requirement.extras) if canonicalize_name(it) not in there]
    if missing:
        raise SdkError(
            Code.USAGE,
            f"{requirement.name} has no extra {', '.join(missing)}",
            why=f"{own.name} has: {', '.join(there) or 'none'}.",
            where=Where(file=own.name),
            resolution="Correct the extras after --package.",
        )


def find_spec(
    own: Path,
    wheels: Sequence[Path],
    servers: Sequence[Distribution],
    asked: SpecFlags,
    trial: Trial | None,
    progress: Progress,
) -> tuple[StaticSpec, ProbeResult | None]:
    """The spec that ``asked`` leaves, and what its module said beside the first server.

    The latter is None where a trial has to ask again. Raises SdkError MODULE_MISSING when the
    package holds no provider, or not the module requested, and what `choose_spec` and `run_uv`
    raise.
    """
    from lls_provider.bundle.trial import LoadFailure, load_resolution

    held = require_provider(own, asked.module)
    told: dict[str, ProbeResult] = {}
    specs: list[StaticSpec] = []
    unread: list[str] = []
    way = ""
    detail = None
    complete = True
    if asked.spec() is None:
        modules = (asked.module,) if asked.module else held
        told = _run(modules, wheels, servers[0], trial, progress) if servers else {}
        static, unplain = static_spec.static_specs(own), static_spec.unreadable_modules(own)
        for name in modules:
            result = told.get(name)
            specs += [
                StaticSpec(name, spec.api, spec.provider_type, spec.module)
                for spec in (result.specs if result else ())
            ]
            if result is not None and result.specs:
                continue
            specs += [spec for spec in static if spec.module == name]
            complete = complete and name not in unplain
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
        specs, own, asked, complete=complete, unread=unread, way=way, detail=detail
    )
    if (
        chosen.spec_module
        and chosen.spec_module.partition(".")[0] != chosen.module.partition(".")[0]
    ):
        progress.warn(
            f"the spec of {chosen.module} names the module '{chosen.spec_module}', which the "
            "server will import and not find unless it is installed under that name"
        )
    known = told.get(chosen.module)
    # of several specs the first is loaded with its classes
    first = known.specs[0].provider_type if known is not None and known.specs else None
    return chosen, known if first == chosen.provider_type else None


def _run(
    modules: Sequence[str],
    wheels: Sequence[Path],
    distribution: Distribution,
    trial: Trial | None,
    progress: Progress,
) -> dict[str, ProbeResult]:
    """What each module says of itself beside the server, where it can be run."""
    from lls_provider.bundle.server_constraints import server_environment_of
    from lls_provider.bundle.trial import Trial, load_provider

    environment = server_environment_of(distribution, progress)
    if environment is None:
        return {}
    progress.step(f"loading {', '.join(modules)} beside {distribution.label}")
    found = load_provider(environment, wheels, modules, trial or Trial())
    for module, result in found.items():
        # a trial says by itself that a provider does not load
        if result.failure is not None and trial is None:
            progress.warn(
                f"{module} does not load beside {distribution.label}: {result.failure.reason}"
            )
    return found


def choose_spec(
    specs: Iterable[StaticSpec],
    own: Path,
    asked: SpecFlags = SpecFlags(),
    *,
    complete: bool = True,
    unread: Sequence[str] = (),
    way: str = "",
    detail: object = None,
) -> StaticSpec:
    """The one spec that the flags leave.

    Without ``complete`` there may be more than ``specs``; ``unread`` says why, a line each, and
    ``way`` what to do about it. Raises SdkError USAGE listing the choices when there are several
    (its detail is a `SpecChoice`), MODULE_MISSING with ``detail`` if there is none and the flags
    do not say enough.
    """
    if told := asked.spec():
        return told
    every = sorted(set(specs))
    left = [
        spec
        for spec in every
        if asked.module in (None, spec.module)
        and asked.api in (None, spec.api)
        and asked.provider_type in (None, spec.provider_type)
    ]
    left = _outermost(left)
    different = {(spec.module, spec.api, spec.provider_type) for spec in left}
    if len(different) == 1 and (asked.provider_type or complete):
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
            else f"{_RUN_IT} or say it with {_FLAGS}.",
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
        else f"{_RUN_IT} or choose one with --provider-type; or name another with all of {_FLAGS}.",
        detail=SpecChoice(tuple(left)),
    )


def _outermost(specs: Sequence[StaticSpec]) -> list[StaticSpec]:
    """The specs without those that a package around their module offers as well.

    The outer package imports the inner one and returns its spec: both name one provider.
    """
    offered = {(spec.module, spec.api, spec.provider_type) for spec in specs}

    def is_offered_outside(spec: StaticSpec) -> bool:
        parts = spec.module.split(".")
        around = (".".join(parts[:depth]) for depth in range(1, len(parts)))
        return any((outer, spec.api, spec.provider_type) in offered for outer in around)

    return [spec for spec in specs if not is_offered_outside(spec)]


def require_provider(own: Path, module: str | None) -> tuple[str, ...]:
    """The modules of a wheel that hold a provider, the outermost first.

    Raises SdkError MODULE_MISSING when it holds none, or not the ``module`` requested.
    """
    held = static_spec.provider_modules(own)
    if held and (module is None or module in held):
        return held
    if held or module:
        why = f"It has: {', '.join(f'{it}.provider' for it in held)}." if held else _WHAT
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
        "brings "
        "is imported: " + _WHAT,
        "Name another version after --package, or another package. For an image its authors would "
        "add a module provider.py beside each implementation, whose get_provider_spec() returns "
        "what the YAML file says: api, provider_type, module and config_class.",
    )


def _no_module(own: Path, lacks: str, why: str, resolution: str) -> SdkError:
    return SdkError(
        Code.MODULE_MISSING,
        f"{own.name} has no {lacks}",
        why=why[0].upper() + why[1:],
        where=Where(file=own.name),
        resolution=resolution,
    )
