"""Checks a project: its settings, and its provider's spec in the server's Python."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.bundle.checks.report import Findings, Report
from lls_provider.contract import validation
from lls_provider.contract.document import dump, load
from lls_provider.errors import Code, ExitStatus, Problem, SdkError
from lls_provider.progress import SILENT, Progress
from lls_provider.project.bundle import project_metadata
from lls_provider.project.load_failure import load_problem
from lls_provider.project.places import CORRECT_CONFIG, config_problems
from lls_provider.project.settings import EXAMPLE_DISTRIBUTION, TABLE, read_settings
from lls_provider.wheels.loading import load_distributions

if TYPE_CHECKING:
    from lls_provider.project.settings import Settings
    from lls_provider.runtime.preflight.probe_client import ProbeResult, ProviderSpecInfo
    from lls_provider.wheels.distribution import Distribution
    from lls_provider.wheels.loading import Loader

# the setting that each field of the metadata comes from
_SOURCES = {
    "metadata.version": ("project", "version"),
    "spec.providerType": (*TABLE, "provider-type"),
    "spec.api": (*TABLE, "api"),
}


def check_project(
    project: Path,
    *,
    label: str | None = None,
    distributions: Sequence[str | Distribution] = (),
    load_named: Loader = load_distributions,
    python: str | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Return every finding about the project in a directory.

    The static rules come first. Then the provider's wheel is built and its ``get_provider_spec()``
    is called beside each distribution that the project or the caller names; ``load_named`` loads
    them. Errors of the project are findings. Raises SdkError only for errors of this machine, such
    as a missing network or Python.
    """
    findings = Findings()
    try:
        settings = read_settings(project)
    except SdkError as error:
        _add(findings, "settings", error)
        return findings.report(label or str(project), "project")
    findings.ok("settings", "[project] and [tool.lls-provider] are complete and valid")
    findings.ok("module", f"{settings.module} has a provider.py")
    _advise(settings, findings)
    _sample_call(settings, findings)
    servers = load_named(
        distributions or settings.distributions,
        python=python or settings.python,
        at_least=settings.lowest_python,
        progress=progress,
    )
    if not servers:
        findings.warning(
            "spec",
            Code.SETTINGS_INVALID,
            "no distribution is named, so get_provider_spec() was not called",
            where=settings.pyproject.where(TABLE),
            resolution=f"Add {EXAMPLE_DISTRIBUTION} to [tool.lls-provider].",
        )
    for server in servers:
        _spec(settings, server, findings, progress)
    return findings.report(label or str(project), "project")


def _add(findings: Findings, rule: str, error: SdkError) -> None:
    """Add an error as findings; an error of the machine or the command line is raised instead."""
    if error.status in (ExitStatus.ENVIRONMENT, ExitStatus.USAGE):
        raise error
    what = f"{error.what}\n{error.why}".rstrip()
    single = Problem(error.code, what, error.where, error.resolution)
    findings.add(rule, "error", error.problems or [single])


def _advise(settings: Settings, findings: Findings) -> None:
    """Report warnings about the image's metadata at the settings that they come from."""
    package = project_metadata(settings, version=settings.version or "0.0.0")
    document = load(dump(package.to_document()).encode(), "the metadata")
    advice = []
    for problem in validation.advice(document):
        where = settings.pyproject.where(_SOURCES[problem.path])
        advice.append(replace(problem, where=where))
    findings.add("metadata", "warning", advice)
    if not advice:
        findings.ok("metadata", f"{package.provider_type}, version {settings.version or 'dynamic'}")


def _sample_call(settings: Settings, findings: Findings) -> None:
    if settings.up.calls:
        findings.ok("sample-call", ", ".join(call.name for call in settings.up.calls))
        return
    findings.warning(
        "sample-call",
        Code.SETTINGS_INVALID,
        "no sample call, so `lls-provider up --check` cannot show that the provider works",
        where=settings.pyproject.where(TABLE),
        resolution="Add [tool.lls-provider.up.call] with a path, and a body or a form.",
    )


def _spec(settings: Settings, server: Distribution, findings: Findings, progress: Progress) -> None:
    from lls_provider.project.tests import provider_environment
    from lls_provider.runtime.preflight.probe_client import probe

    try:
        with provider_environment(settings, server, progress=progress) as environment:
            progress.step(f"asking {settings.module} for its spec beside {server.label}")
            result = probe(
                environment.python,
                settings.module,
                provider_type=settings.provider_type,
                config=settings.up.config or None,
            )
            _hiding(settings, server, environment.python, findings)
    except SdkError as error:
        _add(findings, "spec", error)
        return
    if result.failure is not None:
        findings.add("spec", "error", [load_problem(settings, server, result.failure)])
        return
    if not findings.broken("config"):  # the class is the same beside the next server
        _config(settings, result, findings)
    spec = result.spec(settings.provider_type)
    if spec is not None:
        _compare(settings, server, spec, findings)


def _config(settings: Settings, result: ProbeResult, findings: Findings) -> None:
    """Report what the config class refuses of the config that `up` would pass, as `up` does."""
    from lls_provider.bundle.config_schema import violations

    config = settings.up.config
    if not config or result.config_schema is None or result.takes_config is not False:
        return  # a class may convert what its schema forbids
    findings.add(
        "config",
        "error",
        [
            replace(
                it, what=f"it does not fit the config class: {it.what}", resolution=CORRECT_CONFIG
            )
            for it in config_problems(settings, violations(result.config_schema, config))
        ],
    )


def _hiding(settings: Settings, server: Distribution, python: Path, findings: Findings) -> None:
    """Report modules of the provider or its dependencies that hide a module of the server."""
    from lls_provider.bundle.server_constraints import modules_of
    from lls_provider.runtime.install.shadowing import RESOLUTION, ShadowingModules, hidden_modules
    from lls_provider.wheels.interpreter import read_installed

    try:
        there = read_installed(python)
    except (OSError, subprocess.SubprocessError, ValueError):
        return  # the probe has reported what is wrong with that Python
    fronts = [
        ShadowingModules(
            name,
            version,
            [f"{module.replace('.', '/')}.py" for module in there.modules.get(name, ())],
            lambda _path: b"",
        )
        for name, version in there.pins.items()
        if name not in server.pins
    ]
    found = list(hidden_modules(fronts, modules_of(server), server.interpreter.minor[1]))
    for it in found:
        findings.error(
            "shadowing",
            Code.MODULE_HIDDEN,
            f"{it} ({server.label})",
            where=settings.where("module"),
            resolution=RESOLUTION,
        )
    if not found:
        findings.ok("shadowing", f"nothing hides a module of {server.label}")


def _compare(
    settings: Settings, server: Distribution, spec: ProviderSpecInfo, findings: Findings
) -> None:
    """Compare the spec with the settings, which the image's metadata is made from."""
    agree = True
    for key, setting, found in (
        ("provider-type", settings.provider_type, spec.provider_type),
        ("api", settings.api, spec.api),
    ):
        if setting != found:
            agree = False
            findings.error(
                "spec",
                Code.VALIDATION_FAILED,
                f"{key} is '{setting}' in the settings, but '{found}' in get_provider_spec()",
                where=settings.where(key),
                resolution="Make both agree.",
            )
    top = settings.module.partition(".")[0]
    if spec.module and spec.module.partition(".")[0] != top:
        findings.warning(
            "spec",
            Code.VALIDATION_FAILED,
            f"get_provider_spec() names the module '{spec.module}', which is not in '{top}'",
            where=settings.where("module"),
            resolution=f"Name the module of '{top}' that holds the implementation.",
        )
    if agree:
        findings.ok(
            "spec",
            f"beside {server.label}: {spec.api} {spec.provider_type}, module {spec.module}, "
            f"config class {spec.config_class}",
        )
