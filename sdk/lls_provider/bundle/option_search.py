"""Finds the options with which a published package builds, if it does not build without them.

A user who packages a published provider cannot change its requirements, and would have to build
once for each override that an error names. So the search continues after the first failure: it adds
an option, runs the whole build in a temporary directory, and handles the next failure, including an
import that fails in the trial. An extra may add a missing module.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from lls_provider.bundle import static_spec
from lls_provider.bundle.closure import collect_wheels, fetch_alone
from lls_provider.bundle.server_constraints import unsatisfied
from lls_provider.bundle.static_spec import SpecChoice
from lls_provider.bundle.trial import LoadFailure
from lls_provider.errors import Code, SdkError
from lls_provider.progress import SILENT, Progress
from lls_provider.runtime.wheelfile.wheel import Wheel, read_wheel
from lls_provider.wheels.loading import shared_versions
from lls_provider.wheels.resolve import newest_version
from lls_provider.wheels.uv_messages import clashing_packages, unavailable_version

if TYPE_CHECKING:
    from lls_provider.bundle.bundle import BundleRequest
    from lls_provider.bundle.static_spec import StaticSpec
    from lls_provider.runtime.wheelfile.wheel import Wheel


def extras_that_bring(own: Wheel, module: str) -> list[tuple[str, str]]:
    """The extras of a wheel that require a package named like a module, each with the requirement.

    Extras that require exactly that name come first, and of these the smallest: ``dev`` and ``all``
    require much else. An extra that includes another extra of the package includes its
    requirements.
    """
    name = canonicalize_name(module.partition(".")[0])
    found = []
    for extra in static_spec.declared_extras(own.path):
        required = _required_by(own, extra, frozenset())
        near = [it for it in required if name in canonicalize_name(it.name)]
        if near:
            nearest = min(near, key=lambda it: canonicalize_name(it.name) != name)
            found.append((canonicalize_name(nearest.name) != name, len(required), extra, nearest))
    # sorting keeps the order of those that are alike
    return [(it[2], _unmarked(it[3])) for it in sorted(found, key=lambda it: it[:2])]


def _required_by(own: Wheel, extra: str, seen: frozenset[str]) -> list[Requirement]:
    """All requirements of an extra, including those of other extras that it includes."""
    required: list[Requirement] = []
    for it in own.requires:
        if not _is_of_extra(it, extra):
            continue
        if canonicalize_name(it.name) == own.name:
            for other in sorted(it.extras - seen - {extra}):
                required += _required_by(own, other, seen | {extra})
        else:
            required.append(it)
    return required


def _unmarked(requirement: Requirement) -> str:
    plain = Requirement(str(requirement))
    plain.marker = None
    return str(plain)


def _is_of_extra(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return (
        marker is not None
        and marker.evaluate({"extra": extra})
        and not marker.evaluate({"extra": ""})
    )


_BUILDS = 12  # at most; each is a whole build
_RELEASES = 10  # versions of one package that are examined, at most
_EXTRAS = 4


@dataclass(frozen=True, slots=True)
class Addition:
    """One option to add, an override or an extra of the package, and the reason."""

    option: Literal["override", "extra"]
    value: str
    reason: str

    def __str__(self) -> str:
        """The addition with its reason, for a message."""
        shown = f"[{self.value}]" if self.option == "extra" else f"--override '{self.value}'"
        return f"{shown}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Fix:
    """What to add to a build; ``spec`` is the provider, if the package has several."""

    additions: tuple[Addition, ...] = ()
    spec: StaticSpec | None = None

    @property
    def overrides(self) -> tuple[str, ...]:
        """The overrides among the additions."""
        return tuple(it.value for it in self.additions if it.option == "override")

    def with_override(self, requirement: str, reason: str) -> Fix:
        """The fix with another override, which replaces an earlier one of the same package."""
        name = _name(requirement)
        kept = (it for it in self.additions if it.option != "override" or _name(it.value) != name)
        return replace(self, additions=(*kept, Addition("override", requirement, reason)))

    def with_extra(self, extra: str, reason: str) -> Fix:
        """The fix with another extra."""
        return replace(self, additions=(*self.additions, Addition("extra", extra, reason)))

    def applied(self, wanted: BundleRequest) -> BundleRequest:
        """The build with the additions."""
        return replace(
            wanted,
            requirement=self.requirement(wanted.requirement),
            overrides=wanted.overrides + self.overrides,
        )

    def requirement(self, package: str) -> str:
        """The published package with the extras."""
        extras = {it.value for it in self.additions if it.option == "extra"}
        if not extras:
            return package
        found = Requirement(package)
        return f"{found.name}[{','.join(sorted(found.extras | extras))}]{found.specifier}"

    def command(self, arguments: Sequence[str], package: str) -> str:
        """The command line ``arguments``, which builds ``package``, with the additions."""
        changed = list(arguments)
        if (amended := self.requirement(package)) != package:
            for index, argument in enumerate(arguments):
                if argument.startswith("--package="):
                    changed[index] = f"--package={amended}"
                elif arguments[index - 1] == "--package":
                    changed[index] = amended
        for override in self.overrides:
            changed += ["--override", override]
        if self.spec is not None:
            for option, value in (
                ("--module", self.spec.module),
                ("--api", self.spec.api),
                ("--provider-type", self.spec.provider_type),
            ):
                if not any(it.partition("=")[0] == option for it in arguments):
                    changed += [option, value]
        return shlex.join(changed)


def _name(requirement: str) -> str:
    return canonicalize_name(Requirement(requirement).name)


BuildAttempt = Callable[[Fix], object]
"""Runs the whole build with a fix. Raises the SdkError of what fails."""

Proposals = Callable[[SdkError, Fix], Iterator[Fix]]
"""Fixes that extend the fix so far, for a failure with it; the likeliest first."""


def find_fixes(error: SdkError, attempt: BuildAttempt, proposals: Proposals) -> list[Fix]:
    """The fixes that make a failed build succeed; several if the reader has to choose.

    Empty if the search finds none. Errors of ``attempt`` that are about this machine are skipped.
    """
    fix = Fix()
    seen = {_kind(error)}
    remaining = _BUILDS
    while True:
        if isinstance(error.detail, SpecChoice) and fix.additions:
            return [
                chosen
                for spec in error.detail.specs
                if _failure(attempt, chosen := replace(fix, spec=spec)) is None
            ]
        for candidate in proposals(error, fix):
            if remaining == 0:
                return []
            remaining -= 1
            found = _failure(attempt, candidate)
            if found is None:
                return [candidate]
            if _kind(found) not in seen:
                seen.add(_kind(found))
                fix, error = candidate, found
                break
        else:
            return []


def _failure(attempt: BuildAttempt, fix: Fix) -> SdkError | None:
    try:
        attempt(fix)
    except SdkError as error:
        return error
    return None


def _kind(error: SdkError) -> object:
    """A value that is equal for two errors of the same failure."""
    match error.detail:
        case LoadFailure(failure=failure):
            return failure.reason
        case SpecChoice(specs=specs):
            return specs
    return (error.code, error.why)


@dataclass(frozen=True, slots=True)
class Proposer:
    """Proposes fixes: overrides if it does not resolve or load, extras if a module is missing.

    ``wanted`` is the build that failed.
    """

    wanted: BundleRequest
    progress: Progress = SILENT

    def __call__(self, error: SdkError, fix: Fix) -> Iterator[Fix]:
        """The fixes that extend ``fix`` for ``error``."""
        match error.detail:
            case LoadFailure() as loading:
                yield from self._for_import(loading, fix)
            case _ if error.code is Code.RESOLUTION_FAILED:
                yield from self._for_resolution(fix)

    # what does not resolve

    def _for_resolution(self, fix: Fix) -> Iterator[Fix]:
        """Override the bounds that the server's versions do not meet, and no others.

        First everything is resolved as if nothing had a bound on what the server provides. What
        still fails is among the packages of the image, and one of their bounds has to go.
        """
        found = self._resolvable(fix)
        if found is None:
            return
        fix, wheels = found
        wanted = fix.applied(self.wanted)
        versions = shared_versions(wanted.servers)
        conflicts = unsatisfied(
            wheels,
            own=None,
            target=wanted.target,
            provided={name: found[0] for name, found in versions.items()},
            overrides=wanted.overrides,
            requested=Requirement(wanted.requirement),
        )
        for conflict in conflicts:
            if conflict.name not in versions:
                return
            needs = "; ".join(
                f"{it.requirer.name} {it.requirer.version} needs {it.requirement}"
                if it.requirer.name != "-"
                else f"{it.requirement} is requested"
                for it in conflict.demands
                if conflict.provided is None or not it.accepts(conflict.provided)
            )
            fix = fix.with_override(
                _as_provided(conflict.name, versions[conflict.name]),
                f"the server has {' and '.join(versions[conflict.name])}, but {needs}",
            )
        yield fix

    def _resolvable(self, fix: Fix) -> tuple[Fix, list[Wheel]] | None:
        """The fix with which all resolves except what the server provides, and the wheels."""
        resolved = self._relaxed(fix)
        seen = set()
        for _ in range(_RELEASES):
            if not isinstance(resolved, SdkError):
                return fix, resolved
            seen.add(resolved.why)
            for candidate in self._for_bound(resolved.why, fix):
                after = self._relaxed(candidate)
                if not isinstance(after, SdkError) or after.why not in seen:
                    fix, resolved = candidate, after
                    break
            else:
                return None
        return None

    def _relaxed(self, fix: Fix) -> list[Wheel] | SdkError:
        """The wheels if nothing has a bound on what the server provides, or the error."""
        wanted = fix.applied(self.wanted)
        kept = {_name(it) for it in wanted.overrides}
        free = tuple(
            _as_provided(name, found)
            for name, found in shared_versions(wanted.servers).items()
            if name not in kept
        )
        try:
            found = collect_wheels(
                replace(wanted, overrides=wanted.overrides + free), self.progress, hints=False
            )
        except SdkError as error:
            if error.code is not Code.RESOLUTION_FAILED:
                raise
            return error
        return [read_wheel(path) for path in found.wheels]

    def _for_bound(self, why: str, fix: Fix) -> Iterator[Fix]:
        """Overrides for bounds that nothing can meet: a version that no index has, or a clash."""
        if (unavailable := unavailable_version(why)) is not None:
            name, version = unavailable
            public = version.public
            for bound in (f"{name}=={public}", f"{name}>={public}"):
                if version.local is not None and self._newest(bound) is not None:
                    yield fix.with_override(
                        bound, f"{name}=={version} is requested and on no index"
                    )
        for name, bounds in clashing_packages(why).items():
            if name in shared_versions(self.wanted.servers):
                continue
            newest = {bound: self._newest(f"{name}{bound}") for bound in bounds}
            best = sorted(
                (bound for bound in bounds if newest[bound] is not None),
                key=lambda it: Version(newest[it] or "0"),
                reverse=True,
            )
            for bound in best:
                other = " and ".join(f"{name}{it}" for it in bounds if it != bound)
                yield fix.with_override(f"{name}{bound}", f"others in the image need {other}")

    def _newest(self, requirement: str) -> str | None:
        return newest_version(requirement, interpreter=self.wanted.interpreter)

    # what does not load

    def _for_import(self, loading: LoadFailure, fix: Fix) -> Iterator[Fix]:
        missing, reason = loading.failure.missing_module, loading.failure.reason
        found = re.search(r"cannot import name '[^']*' from '([\w.]+)'", reason)
        wheels = [read_wheel(path) for path in loading.wheels]
        own = _name(self.wanted.requirement)
        owner = _owner(wheels, missing or (f"{found[1]}.name" if found is not None else ""))
        if owner is not None and owner.name != own:
            problem = f"has no module {missing}" if missing else f"causes: {reason}"
            why = f"{owner.name} {owner.version} {problem}"
            for bound in self._older(owner, missing):
                yield fix.with_override(f"{owner.name}<{bound}", why)
        elif owner is None and missing is not None:
            wheel = next(it for it in wheels if it.name == own)
            for extra in _extras(wheel, missing, {*Requirement(self.wanted.requirement).extras}):
                yield fix.with_extra(extra, f"the package imports {missing}")

    def _older(self, wheel: Wheel, module: str | None) -> Iterator[str]:
        """Upper bounds below which a release has the module; each earlier release if it is None.

        The search goes from one release to the one before, then from one minor version to the one
        before, since a removed module does not come back.
        """
        bound = wheel.version
        for _ in range(_RELEASES):
            found = self._release_below(wheel.name, bound)
            if found is None:
                return
            version, files = found
            if module is None or has_module(files, module):
                yield str(bound)
                if module is not None:
                    return
            floor = Version(".".join(map(str, version.release[:2])))
            bound = floor if floor < version and not version.is_prerelease else version

    def _release_below(self, name: str, bound: Version) -> tuple[Version, set[str]] | None:
        try:
            wheel = read_wheel(fetch_alone(f"{name}<{bound}", self.wanted, self.progress))
        except SdkError:  # there is none, or it cannot be read
            return None
        return wheel.version, {file.path for file in wheel.files}


def has_module(files: Collection[str], module: str) -> bool:
    """Whether a wheel of these files has a module or package."""
    path = module.replace(".", "/")
    return any(
        file.startswith((f"{path}/", f"{path}.")) and file.endswith((".py", ".so"))
        for file in files
    )


def _owner(wheels: Sequence[Wheel], module: str) -> Wheel | None:
    """The wheel that has a parent package of a module; the innermost parent decides."""
    parts = module.split(".")
    files = [[file.path for file in wheel.files] for wheel in wheels]
    for depth in range(len(parts) - 1, 0, -1):
        parent = ".".join(parts[:depth])
        for wheel, paths in zip(wheels, files, strict=True):
            if has_module(paths, parent):
                return wheel
    return None


def _extras(own: Wheel, missing: str, requested: Collection[str]) -> list[str]:
    """The extras that may add a module; those that require a package of that name come first."""
    naming = [extra for extra, _ in extras_that_bring(own, missing)]
    others = [it for it in static_spec.declared_extras(own.path) if it not in naming]
    return [it for it in (*naming, *others) if it not in requested][:_EXTRAS]


def _as_provided(name: str, versions: Sequence[str]) -> str:
    """The requirement that all those versions of the servers satisfy."""
    if len(versions) == 1:
        return f"{name}=={versions[0]}"
    return f"{name}>={min(versions, key=Version)}"


def shown_command(fixes: Sequence[Fix], arguments: Sequence[str], package: str) -> str:
    """The whole commands that succeeded, as a resolution."""
    one = len(fixes) == 1
    lines = [
        "Build with this command, which was tried to the end:"
        if one
        else "Build with one of these commands, which were tried to the end:",
        *(f"  {fix.command(arguments, package)}" for fix in fixes),
        "What it adds, and why:" if one else "What they add, and why:",
        *(f"  {addition}" for addition in fixes[0].additions),
    ]
    if fixes[0].overrides:
        lines.append(
            "An override replaces every bound on its package, and the image records it: what set "
            "the bound runs with a version that it does not claim to support."
        )
    return "\n".join(lines)
