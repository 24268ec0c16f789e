"""Phase 4: loads every provider of the final configuration once, before the server does.

Contract section 5: native code first, then the import, the spec, the metadata. Preflight ends at
the first failure.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.contract.document import Document, load_file
from lls_provider.contract.limits import merged_limits
from lls_provider.contract.models import ProviderPackage, read_provider_package
from lls_provider.contract.names import SPEC_FILE, VolumeTree
from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import SILENT, Progress
from lls_provider.runtime import messages
from lls_provider.runtime.configuration import (
    ConfiguredProvider,
    configured_providers,
    hidden_entries,
    is_disabled,
    unloadable_entries,
    unserved_apis,
)
from lls_provider.runtime.install.conflict import all_provided_differences, demands_among
from lls_provider.runtime.install.shadowing import RESOLUTION as HIDING_RESOLUTION
from lls_provider.runtime.install.shadowing import hidden_modules_of, installed_modules
from lls_provider.runtime.preflight.api_dependencies import (
    REASON,
    dependency_advice,
    dependency_details,
    missing_apis,
    missing_detail,
    supply,
)
from lls_provider.runtime.preflight.probe_client import (
    ProbeFailure,
    ProbeRequest,
    ProbeResult,
    ProviderSpecInfo,
    probe_all,
    python_minor,
    server_packages,
)
from lls_provider.runtime.target_python import NativeProblem, TargetPython, native_problems
from lls_provider.runtime.volume.reconcile import desired_state, source_of
from lls_provider.runtime.volume.volume import Volume, missing_packages

if TYPE_CHECKING:
    from packaging.utils import NormalizedName
    from packaging.version import Version

    from lls_provider.runtime.install.conflict import Candidate, Demand
    from lls_provider.runtime.install.shadowing import InstalledModules, ServerModules
    from lls_provider.runtime.volume.installed import ProviderRecord

# as the project template says it, and as Python does for `Api.safety`
_LACKING_API = re.compile(
    r"needs the (\w+) API, which this server .*does not have"
    r"|AttributeError: type object 'Api' has no attribute '(\w+)'"
)


HIDDEN = "A module of the provider would hide one of the server"


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """What the volume has about a provider; None if it has nothing."""

    record: ProviderRecord | None = None
    metadata: ProviderPackage | None = None

    @property
    def image(self) -> str | None:
        """The image it came from."""
        return (self.record.image or None) if self.record is not None else None


def preflight(
    run_yaml: Path,
    *,
    root: Path,
    python: Path | None = None,
    env: Mapping[str, str] | None = None,
    progress: Progress = SILENT,
    timeout: float | None = None,
    keep_bytecode: bool = False,
) -> list[ConfiguredProvider]:
    """Check every provider with a ``module`` that the server would load; returns them.

    ``python`` is the server's interpreter, by default the running one; ``timeout`` the seconds
    that each provider may take, by default `probe_client.time_limit`. With ``keep_bytecode`` the
    bytecode of what is imported stays on the volume (contract decision 15). Raises SdkError
    VALIDATION_FAILED or WHEEL_INCOMPATIBLE with a layout of contract section 6 at the first
    failure, USAGE if ``run_yaml`` does not exist or the time limit is not valid, and what reading
    it raises.
    """
    document = _read(run_yaml)
    environment = os.environ if env is None else env
    providers = [
        found
        for found in configured_providers(document)
        if not is_disabled(found.provider_id, environment)
    ]
    volume = Volume(root)
    contexts = _contexts(volume, providers)
    packages = volume.tree.python_packages
    interpreter = python if python is not None else Path(sys.executable)
    minor = sys.version_info.minor if python is None else python_minor(python)
    _report_assumptions(contexts, progress)
    for warning in hidden_entries(document, environment):
        progress.warn(warning)
    for warning in unloadable_entries(document):
        progress.warn(warning)
    for provider, context in zip(providers, contexts, strict=True):
        _check_there(provider, context, volume.tree)
        _check_native(provider, context, packages, minor)
    path = [packages] if packages.is_dir() else []
    versions = None
    if any(context.record is not None for context in contexts):
        installed = installed_modules(volume.records(), packages)
        # of the standard library first: it could break the listing
        _check_hiding(installed, providers, {}, minor)
        there = server_packages(interpreter, path=path, env=env)
        _check_hiding(installed, providers, there.modules if there else {}, minor)
        versions = there.versions if there else None
        for warning in unserved_apis(document, versions):
            progress.warn(warning)
        _report_unmet(volume, versions, minor, progress)
    requests = [ProbeRequest(found.module, found.provider_type) for found in providers]
    results = probe_all(
        interpreter, requests, path=path, env=env, timeout=timeout, keep_bytecode=keep_bytecode
    )
    # the answers end with the first provider that kills the process, and so does this loop
    with contextlib.closing(results):
        for provider, context, result in zip(providers, contexts, results, strict=False):
            spec = _judge(provider, result, context, progress)
            missing = missing_apis(document, spec.api_dependencies, environment)
            if missing:
                found = supply(missing, versions, document, environment)
                error = _refusal(
                    provider, context, REASON, dependency_details(missing), dependency_advice(found)
                )
                error.detail = missing_detail(missing)
                raise error
            progress.note(f"provider '{provider.provider_id}' ({provider.module}) loads")
    return providers


def _check_hiding(
    installed: InstalledModules,
    providers: Sequence[ConfiguredProvider],
    server: ServerModules,
    minor: int,
) -> None:
    """Refuse an installed module that hides one of the server's (contract decision 14)."""
    modules = {provider.provider_id: provider.module for provider in providers}
    for record, found in hidden_modules_of(installed, server, minor):
        module = modules.get(record.provider_id) or found[0].module
        provider = ConfiguredProvider(record.provider_id, "", "", module)
        message = (HIDDEN, "\n".join(map(str, found)), HIDING_RESOLUTION)
        raise _refusal(provider, ProviderContext(record), *message, code=Code.MODULE_HIDDEN)


def _report_assumptions(contexts: Sequence[ProviderContext], progress: Progress) -> None:
    """Report overrides that are in use, and images that were built for different servers."""
    records = [context.record for context in contexts if context.record is not None]
    for record in records:
        for override in record.overrides:
            progress.note(f"override in use: {override} (of provider '{record.provider_id}')")
    for found in all_provided_differences([source_of(record) for record in records]):
        progress.warn(found.render())


def _report_unmet(
    volume: Volume, there: Mapping[NormalizedName, Version] | None, minor: int, progress: Progress
) -> None:
    """Warn of requirements that the server does not meet: not a failure as long as all load."""
    if there is None:
        return
    desired = desired_state(volume, volume.records())
    installed = [item.candidate for item in desired.distributions()]
    for demand, version in _unmet_requirements(installed, there, minor):
        found = "none" if version is None else str(version)
        progress.warn(f"{demand}, this distribution has {found}")


def _unmet_requirements(
    installed: Sequence[Candidate], found: Mapping[NormalizedName, Version], minor: int
) -> Iterator[tuple[Demand, Version | None]]:
    """The requirements of ``installed`` that the server does not meet, with its version.

    The installer knows the server only by what an image assumed. It has judged the requirements
    among ``installed``.
    """
    tree = {candidate.name for candidate in installed}
    target = TargetPython(minor, os.uname().machine)
    reported = set()
    for demand in demands_among(installed, target.environments()):
        version = found.get(demand.name)
        if demand.name in tree or (version is not None and demand.accepts(version)):
            continue
        if str(demand) not in reported:
            reported.add(str(demand))
            yield demand, version


def _read(run_yaml: Path) -> Document:
    try:
        return load_file(run_yaml, limits=merged_limits())
    except SdkError as error:
        if error.code is Code.FILE_MISSING:
            raise SdkError(
                Code.USAGE,
                "There is no configuration to check",
                where=Where(file=str(run_yaml)),
                resolution="Name the merged configuration with --run-yaml.",
            ) from error
        raise


def _contexts(volume: Volume, providers: Sequence[ConfiguredProvider]) -> list[ProviderContext]:
    """What the volume has; an entry with another module is not the installed provider."""
    records = {record.provider_id: record for record in volume.records()}
    found = []
    for provider in providers:
        spec = volume.tree.metadata / provider.provider_id / SPEC_FILE
        record = records.get(provider.provider_id)
        if record is None or not spec.is_file():
            found.append(ProviderContext())
            continue
        metadata = read_provider_package(spec)
        ours = metadata.package_name == provider.package
        found.append(ProviderContext(record, metadata) if ours else ProviderContext())
    return found


def _check_there(provider: ConfiguredProvider, context: ProviderContext, tree: VolumeTree) -> None:
    if context.record is None:
        return
    gone = missing_packages(tree, context.record, provider.package)
    if gone is not None:
        raise _refusal(provider, context, gone.reason, gone.details, gone.resolution)


def _check_native(
    provider: ConfiguredProvider, context: ProviderContext, packages: Path, minor: int
) -> None:
    if context.record is None:
        return
    present = [
        package.dist_info
        for package in context.record.packages
        if os.path.lexists(packages / package.dist_info)
    ]
    for problem in native_problems(packages, present, minor=minor):
        raise _native_error(provider, context, problem, minor)


def _native_error(
    provider: ConfiguredProvider, context: ProviderContext, problem: NativeProblem, minor: int
) -> SdkError:
    if problem.kind == "architecture":
        layout = messages.architecture(
            provider.provider_id,
            provider.module,
            problem.package,
            problem.expected,
            problem.found,
            context.image,
        )
        return _error(provider, context, Code.WHEEL_INCOMPATIBLE, layout)
    made_for = f"the Python of this distribution (3.{minor})"
    if problem.kind == "C library":
        made_for = f"the C library of this distribution ({problem.expected})"
    return _refusal(
        provider,
        context,
        f"{problem.kind} mismatch",
        f"Package: {problem.package}\nExpected: {problem.expected}\nFound: {problem.found}",
        f"Build the provider image for {made_for}.",
        code=Code.WHEEL_INCOMPATIBLE,
    )


def _judge(
    provider: ConfiguredProvider, result: ProbeResult, context: ProviderContext, progress: Progress
) -> ProviderSpecInfo:
    if result.failure is not None:
        raise _error(
            provider,
            context,
            Code.VALIDATION_FAILED,
            failure_layout(
                result.failure,
                provider.provider_id,
                provider.module,
                context.image,
                installed=context.record is not None,
            ),
        )
    spec = result.spec(provider.provider_type)
    assert spec is not None  # noqa: S101 - the probe fails without one
    if context.metadata is not None:
        fields = [
            messages.FieldComparison(
                "provider_type", context.metadata.provider_type, spec.provider_type
            ),
            messages.FieldComparison("api", context.metadata.api, spec.api),
        ]
        if not all(field.matches for field in fields):
            progress.warn(messages.metadata_mismatch(provider.provider_id, fields))
    return spec


def failure_layout(
    failure: ProbeFailure,
    provider_id: str,
    module: str,
    image: str | None,
    *,
    installed: bool = True,
) -> str:
    """The message of contract section 6 for a provider that does not load.

    ``installed`` says whether the volume knows the provider.
    """
    if failure.field is not None:
        return messages.spec_invalid(
            provider_id, module, failure.field, returned=failure.returned, way=failure.way
        )
    return messages.validation_failed(
        provider_id,
        module,
        failure.reason,
        failure.details,
        resolution(failure, module, installed=installed),
        image,
    )


def resolution(failure: ProbeFailure, module: str, *, installed: bool = True) -> str:
    """A step that the reader can take; ``installed`` as in `failure_layout`."""
    package = module.partition("==")[0]
    missing = failure.missing_module
    if missing is not None and not failure.way:
        if missing in (package, f"{package}.provider") or package.startswith(f"{missing}."):
            if not installed:
                return (
                    "No provider of this ID and module is installed below --root: mount the volume "
                    "that the init containers wrote, or put the package into the distribution's "
                    "image if it is the distribution's own."
                )
            return (
                f"Set spec.packageName in {SPEC_FILE} to the package that holds provider.py, and "
                "see that its wheel is in the image."
            )
        if missing.partition(".")[0] in ("llama_stack_api", "ogx_api", "llama_stack"):
            return (
                f"Use a distribution that provides '{missing}', or a version of the provider made "
                "for this one."
            )
        top = missing.partition(".")[0]
        return f"Add '{top}' to the dependencies of the provider and build its image again."
    if failure.way:
        shown = (
            "The traceback shows where that happens. " if '  File "' in failure.traceback else ""
        )
        return shown + failure.way
    if failure.kind == "no-get-provider-spec":
        return f"Define get_provider_spec() in {package}/provider.py."
    if failure.kind == "invalid":
        return "Correct what get_provider_spec() returns, or provider_type in the configuration."
    if (lacking := _LACKING_API.search(failure.reason)) is not None:
        api = lacking[1] or lacking[2]
        return f"Run the provider on another server, one that has the {api} API."
    return "Correct the provider where the traceback points to, and build its image again."


def _refusal(
    provider: ConfiguredProvider,
    context: ProviderContext,
    reason: str,
    details: str,
    way: str,
    *,
    code: Code = Code.VALIDATION_FAILED,
) -> SdkError:
    """The error of a provider that the server cannot run with (layout of contract section 6)."""
    layout = messages.validation_failed(
        provider.provider_id, provider.module, reason, details, way, context.image
    )
    return _error(provider, context, code, layout)


def _error(
    provider: ConfiguredProvider, context: ProviderContext, code: Code, layout: str
) -> SdkError:
    return SdkError(
        code,
        f"Provider '{provider.provider_id}' failed validation",
        where=Where(provider=provider.provider_id, image=context.image),
        resolution=layout.rpartition("Resolution: ")[2],
        layout=layout,
    )
