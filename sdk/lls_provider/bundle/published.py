"""Bundles a provider that is already published: ``build --package NAME[extra]==VERSION``.

There is no source project to ask: `spec_selection` finds out what the package provides.
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
from lls_provider.bundle.spec_selection import SpecFlags, find_spec, require_provider
from lls_provider.contract.models import ProviderPackage
from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import SILENT, Progress
from lls_provider.wheels.uv import cause_of

if TYPE_CHECKING:
    from lls_provider.bundle.bundle import Bundle, BundleRequest, CollectedWheels
    from lls_provider.bundle.trial import Trial


_COMMAND = ("lls-provider", "build")


def bundle_published(
    package: str,
    outs: Mapping[str, Path],
    options: BundleOptions = BundleOptions(),  # noqa: B008 - frozen
    *,
    asked: SpecFlags = SpecFlags(),  # noqa: B008 - frozen
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
