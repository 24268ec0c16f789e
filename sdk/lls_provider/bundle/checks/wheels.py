"""The rules about the wheels of a bundle: readable, the right ones, complete, for the target.

Whether requirements are satisfied, tags fit and names are shadowed is decided by the installer's
own rules (`server_constraints`, `target_python`, `shadowing`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from lls_provider.bundle.bundle import bundle_wheels
from lls_provider.bundle.checks.elf import check_native
from lls_provider.bundle.checks.report import complaint_text
from lls_provider.bundle.server_constraints import describe_conflict, profiled_modules, unsatisfied
from lls_provider.bundle.static_spec import defines_spec, static_specs
from lls_provider.contract.names import IMAGE_ROOT
from lls_provider.errors import Code, Problem, SdkError, Where
from lls_provider.progress import counted
from lls_provider.runtime.install import shadowing
from lls_provider.runtime.install.conflict import Source, parse_overrides, parse_provided
from lls_provider.runtime.install.provider_image import wheel_paths
from lls_provider.runtime.install.shadowing import RESOLUTION, hidden_modules, shadowing_modules
from lls_provider.runtime.target_python import TargetPython, parse_python_tag
from lls_provider.runtime.wheelfile.wheel import Wheel, check_total, parse_requirement, read_wheel
from lls_provider.wheels.servers import PROFILE_PREFIX, read_profiles, server_recorded

if TYPE_CHECKING:
    from lls_provider.bundle.checks.elf import NativeFile
    from lls_provider.bundle.checks.report import Findings
    from lls_provider.contract.models import BundleManifest, ProviderPackage
    from lls_provider.contract.names import BundleTree


def read_wheels(tree: BundleTree, findings: Findings) -> list[Wheel]:
    """The readable wheels of the bundle; the others become errors of the rule ``wheels``."""
    rule = "wheels"
    paths = bundle_wheels(tree)
    if not paths:
        findings.error(
            rule,
            Code.BUNDLE_INVALID,
            f"No wheel in {IMAGE_ROOT}/packages",
            where=Where(file=str(tree.packages)),
            resolution="Add the provider's wheel and every dependency that the distribution "
            "does not provide (contract section 1).",
        )
    wheels = []
    for path in paths:
        try:
            wheels.append(read_wheel(path))
        except SdkError as error:
            findings.add(rule, "error", [_problem(error, path)])
    try:
        wheel_paths(tree)
        check_total(wheels, tree.packages)
    except SdkError as error:
        findings.add(rule, "error", [_problem(error, tree.packages)])
    by_name: dict[str, list[Wheel]] = defaultdict(list)
    for wheel in wheels:
        by_name[wheel.name].append(wheel)
    for name, same in by_name.items():
        if len(same) > 1:
            findings.error(
                rule,
                Code.BUNDLE_INVALID,
                f"{len(same)} wheels of {name}: {', '.join(wheel.filename for wheel in same)}",
                where=Where(file=str(same[0].path)),
                resolution="Keep one: every wheel under packages is installed.",
            )
    if paths and not findings.broken(rule):
        findings.ok(rule, f"{counted(len(wheels), 'wheel')} readable")
    return wheels


def _problem(error: SdkError, path: Path) -> Problem:
    where = Where(file=error.where.file or str(path))
    return Problem(error.code, complaint_text(error), where, error.resolution)


def check_wheels(
    wheels: Sequence[Wheel],
    findings: Findings,
    *,
    own: Path | None,
    package: ProviderPackage | None,
    manifest: BundleManifest | None,
) -> dict[str, tuple[NativeFile, ...]] | None:
    """Run the rules, except those whose input is missing.

    Returns the native files by the wheels' names; None if no rule had to read them.
    """
    own_wheel = next((wheel for wheel in wheels if wheel.path == own), None)
    if package is not None and own_wheel is not None:
        _identity(own_wheel, package, findings)
        _module(own_wheel, wheels, package, findings)
    if not findings.broken("wheels"):
        _closure(wheels, own_wheel, manifest, findings)
    native = _target(wheels, manifest, findings)
    _shadowing(wheels, manifest, findings)
    _servers(wheels, manifest, findings)
    return native


def _identity(own: Wheel, package: ProviderPackage, findings: Findings) -> None:
    rule = "identity"
    where = Where(file=str(own.path))
    if canonicalize_name(package.name) != own.name:
        findings.warning(
            rule,
            Code.FIELD_VALUE,
            f"metadata.name is {package.name!r}, the provider's wheel is {own.name}",
            where=where,
            path="metadata.name",
            resolution="Give both one name, so that people find the one by the other.",
        )
    try:
        same = Version(package.version) == own.version
    except InvalidVersion:
        same = False
    if not same:
        findings.warning(
            rule,
            Code.FIELD_VALUE,
            f"metadata.version is {package.version!r}, the provider's wheel has {own.version}",
            where=where,
            path="metadata.version",
            resolution="Give both one version.",
        )
    if not any(finding.rule == rule for finding in findings.found):
        findings.ok(rule, f"name and version are those of {own.filename}")


def _module(
    own: Wheel, wheels: Sequence[Wheel], package: ProviderPackage, findings: Findings
) -> None:
    """The server imports ``<packageName>.provider`` and calls ``get_provider_spec()``."""
    rule = "module"
    module = f"{package.package_name}.provider"
    base = module.replace(".", "/")
    holder = next((wheel for wheel in (own, *wheels) if _module_file(wheel, base)), None)
    if holder is None:
        findings.error(
            rule,
            Code.MODULE_MISSING,
            f"The server will import {module}, but {own.filename} has no {base}.py",
            where=Where(file=str(own.path)),
            path="spec.packageName",
            resolution="Set packageName to the package that holds provider.py with "
            "get_provider_spec() (contract section 1).",
        )
        return
    if holder is not own:
        findings.warning(
            rule,
            Code.MODULE_MISSING,
            f"{module} is not in the provider's own wheel but in {holder.filename}",
            where=Where(file=str(own.path)),
            path="spec.wheelPath",
            resolution="Set wheelPath to the wheel that holds the provider's module.",
        )
        return
    member = _module_file(holder, base)
    if member.endswith(".py") and not defines_spec(holder.path, member):
        findings.error(
            rule,
            Code.MODULE_MISSING,
            f"{member} defines no get_provider_spec()",
            where=Where(file=str(own.path)),
            resolution="Define get_provider_spec() there, or import it.",
        )
        return
    findings.ok(rule, f"{module} is in {holder.filename}")
    _spec_modules(own, wheels, package, findings)


def _spec_modules(
    own: Wheel, wheels: Sequence[Wheel], package: ProviderPackage, findings: Findings
) -> None:
    """The server imports the module that the spec names, as far as `static_specs` can read it."""
    for spec in static_specs(own.path):
        base = spec.spec_module.replace(".", "/")
        if spec.module != package.package_name or not base:
            continue
        if not any(_module_file(wheel, base) for wheel in wheels):
            findings.warning(
                "spec-module",
                Code.MODULE_MISSING,
                f"The spec of {spec.module} names the module {spec.spec_module!r:.200}, which no "
                "wheel of the bundle holds; the server will import it",
                where=Where(file=str(own.path)),
                resolution=f"Correct `module` in get_provider_spec(), probably to "
                f"{spec.module!r:.200}.",
            )


def _module_file(wheel: Wheel, base: str) -> str:
    """The file that makes a module importable: source, package or extension; '' when none."""
    for file in wheel.files:
        if file.path in (f"{base}.py", f"{base}/__init__.py") or (
            file.path.startswith(f"{base}.") and file.path.endswith(".so")
        ):
            return file.path
    return ""


def _closure(
    wheels: Sequence[Wheel], own: Wheel | None, manifest: BundleManifest | None, findings: Findings
) -> None:
    rule = "closure"
    target = _target_python(manifest)
    provided = manifest.provided if manifest is not None else {}
    try:
        conflicts = unsatisfied(
            wheels,
            own=own.name if own is not None else None,
            target=target,
            provided=provided,
            overrides=manifest.overrides if manifest is not None else (),
        )
    except InvalidRequirement as error:
        findings.error(
            rule,
            Code.BUNDLE_INVALID,
            f"The manifest has an override that is not a requirement: {error}",
            resolution="Build the bundle again.",
        )
        return
    present = {wheel.name for wheel in wheels}
    unknown = manifest is None
    for conflict in conflicts:
        # made by hand: what is missing may be provided by the distribution
        assumed = unknown and conflict.name not in present
        report = findings.warning if assumed else findings.error
        report(
            rule,
            Code.BUNDLE_INVALID,
            describe_conflict(conflict, provided),
            resolution="Make sure that the distribution provides it, or add its wheel."
            if assumed
            else "Build the bundle again, with --distribution for the server that it is for.",
        )
    if not conflicts:
        provided_note = f" with {len(provided)} provided by the distribution" if provided else ""
        overrides = manifest.overrides if manifest is not None else ()
        replaced = f"; bounds are replaced by {', '.join(overrides)}" if overrides else ""
        findings.ok(rule, f"every requirement of every wheel is satisfied{provided_note}{replaced}")


def _target(
    wheels: Sequence[Wheel], manifest: BundleManifest | None, findings: Findings
) -> dict[str, tuple[NativeFile, ...]] | None:
    """Tags, Requires-Python and native files fit the target (contract decision 6)."""
    if manifest is None:
        return None
    rule = "target"
    target = _target_python(manifest)
    for wheel in wheels:
        found = Where(file=str(wheel.path))
        mismatch = target.mismatch(wheel.tags, wheel.requires_python)
        if mismatch is not None:
            findings.error(
                rule,
                Code.WHEEL_INCOMPATIBLE,
                f"{wheel.filename} is not for {target.tag} on {target.machine}: "
                f"{mismatch.reason}, found {mismatch.found}",
                where=found,
                resolution="Build the bundle again for this target.",
            )
    native = check_native(wheels, target, manifest.target.platforms, findings)
    if not findings.broken(rule):
        findings.ok(rule, f"every wheel fits {target.tag} on {target.machine}")
    return native


def _shadowing(
    wheels: Sequence[Wheel], manifest: BundleManifest | None, findings: Findings
) -> None:
    rule = "shadowing"
    provided = parse_provided(manifest.provided) if manifest is not None else None
    server = shadowing.assumed_modules([Source("this bundle", provided=provided)])
    minor = _target_python(manifest).minor
    fronts = [shadowing_modules(wheel) for wheel in wheels]
    files = {str(wheel.name): str(wheel.path) for wheel in wheels}
    found = list(hidden_modules(fronts, profiled_modules(_versions(manifest)), minor))
    for it in found:
        findings.error(
            rule,
            Code.MODULE_HIDDEN,
            str(it),
            where=Where(file=files[it.front.name]),
            resolution=RESOLUTION,
        )
    reported = {(it.front.name, it.module) for it in found}
    for wheel in wheels:
        for what in shadowing.shadowing_warnings([wheel], minor, server):
            if any(wheel.name == name and f"'{module}'" in what for name, module in reported):
                continue
            findings.warning(
                rule,
                Code.WHEEL_INVALID,
                what,
                where=Where(file=str(wheel.path)),
                resolution="Ask its authors not to ship it at the top level; the server will "
                "import this one.",
            )
    if not any(finding.rule == rule for finding in findings.found):
        findings.ok(rule, "nothing shadows the standard library or the server")


def _servers(wheels: Sequence[Wheel], manifest: BundleManifest | None, findings: Findings) -> None:
    """Report wheels with which a server of the image is known not to run."""
    rule = "servers"
    if manifest is None:
        return
    overridden = parse_overrides(manifest.overrides)
    for label in manifest.distributions:
        found = server_recorded(label)
        needs = found[0].needs(found[1]) if found is not None else ()
        for needed in map(parse_requirement, needs):
            name = canonicalize_name(needed.name)
            wheel = next((it for it in wheels if it.name == name), None)
            if wheel is None or name in overridden:
                continue
            if not needed.specifier.contains(wheel.version, prereleases=True):
                findings.error(
                    rule,
                    Code.DEPENDENCY_CONFLICT,
                    f"{name} {wheel.version} would shadow that of {label}, which needs "
                    f"{needed}: the server itself would not run",
                    where=Where(file=str(wheel.path)),
                    resolution=f"Build it with a dependency on '{needed}', or for another "
                    "--distribution.",
                )


def _versions(manifest: BundleManifest | None) -> dict[str, str]:
    """The versions that the image assumes of the server, and all of a server with a profile."""
    provided = manifest.provided if manifest is not None else {}
    versions = {name: text.partition("|")[0].strip() for name, text in provided.items()}
    built_for = manifest.distributions if manifest is not None else ()
    for profile in read_profiles():
        if {profile.requirement, f"{PROFILE_PREFIX}{profile.name}"} & {*built_for}:
            versions = {**profile.pins, **versions}
    return versions


def _target_python(manifest: BundleManifest | None) -> TargetPython:
    if manifest is None:
        return TargetPython(12, "x86_64")
    minor = parse_python_tag(manifest.target.python_tag)
    target = manifest.target
    return TargetPython(minor if minor is not None else 12, target.machine, target.platforms)
