"""Runs phases 1 to 4 on this machine, with the runtime in the bundle, as a Pod runs it.

The zipapp runs in a separate process under ``python -I -S``: the same code in the same isolation as
in the init containers (docs/architecture.md, "The runtime's wall").

Before the server starts, `require_valid_configs` reports every key that a config class refuses,
with its position: a server ends at the first wrong provider, with a traceback.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from lls_provider.bundle import config_schema
from lls_provider.bundle.bundle import read_bundle
from lls_provider.bundle.zipapp import zipapp_path
from lls_provider.contract.document import load_file
from lls_provider.contract.limits import merged_limits
from lls_provider.contract.names import BundleTree, VolumeTree
from lls_provider.errors import Code, SdkError, Where
from lls_provider.operations.phase_commands import (
    install_arguments,
    merge_command,
    preflight_command,
    runtime_command,
)
from lls_provider.progress import SILENT, Progress
from lls_provider.project.places import CONFIG_SOURCE, config_problems
from lls_provider.runtime.messages import ERROR_FILE
from lls_provider.runtime.preflight.api_dependencies import Supply, missing_in, supply
from lls_provider.runtime.preflight.probe_client import ProbeResult, probe, time_limit
from lls_provider.runtime.preflight.probe_process import VARIABLE
from lls_provider.runtime.volume.installed import read_regular
from lls_provider.system.files import wrapping_write_errors

if TYPE_CHECKING:
    from lls_provider.bundle.config_schema import Violation
    from lls_provider.local.plan import InitContainer, PlannedProvider
    from lls_provider.local.workspace import Workspace
    from lls_provider.runtime.preflight.api_dependencies import Supply


# how the later lines of a warning begin (contract sections 4 and 6)
_WARNING_LINES = (" ", "Provider: ", "Field: ", "Note: ")
_NOWHERE = Where()
_NO_VARIABLES: Mapping[str, str] = {}
RUN_CONFIG = "run.yaml"
_ERROR_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Runtime:
    """Runs the runtime's commands on one volume."""

    workspace: Workspace
    volume: VolumeTree
    environment: Mapping[str, str]
    progress: Progress

    def install(self, container: InitContainer, python: Path, python_tag: str) -> None:
        """Run phase 1 for one provider. Raises the installer's SdkError."""
        provider = container.provider
        path = None
        if container.config is not None and not container.has_inline_config:
            path = self.workspace.root / f"config-{container.order}.json"
            with wrapping_write_errors(path, "a provider's config"):
                path.write_text(json.dumps(container.config), "utf-8")
        installation = container.installation(path)
        carried = BundleTree(provider.bundle).zipapp
        # a bundle made by hand may have no runtime: this SDK's is used
        zipapp = carried if carried.is_file() else zipapp_path()
        command = runtime_command(
            str(python),
            str(zipapp),
            "install",
            *install_arguments(installation),
            f"--source={provider.bundle}",
            f"--root={self.volume.root}",
            f"--python-tag={python_tag}",
            f"--termination-log={self.workspace.root / 'termination-log'}",
        )
        where = Where(provider=provider.provider_id, image=provider.target)
        self._run(installation.container_name, "install", command, where)

    def merge(self, python: Path) -> None:
        """Run phase 3. Raises the SdkError of merge."""
        zipapp, root = str(self.volume.zipapp), str(self.volume.root)
        self._run("merge", "merge", merge_command(str(python), zipapp, root=root))

    def preflight(self, python: Path) -> None:
        """Run phase 4. Raises the SdkError of preflight."""
        zipapp, root = str(self.volume.zipapp), str(self.volume.root)
        run_yaml = str(self.volume.config / RUN_CONFIG)
        command = preflight_command(str(python), zipapp, run_yaml, root=root)
        # the server's environment has none of our variables; an older zipapp has no option for it
        limit = {VARIABLE: f"{time_limit():f}"}
        self._run("preflight", "preflight", command, variables=limit)

    def _run(
        self,
        name: str,
        phase: str,
        command: list[str],
        where: Where = _NOWHERE,
        variables: Mapping[str, str] = _NO_VARIABLES,
    ) -> None:
        path = self.workspace.root / f"{name}-error.json"
        path.unlink(missing_ok=True)  # left by a phase that is repeated
        status, output = self.workspace.run(
            command,
            # a runtime that is older than the variable ignores it
            environment={**self.environment, **variables, ERROR_FILE: str(path)},
            directory=self.workspace.root,
            name=name,
        )
        if status:
            raise runtime_error(phase, status, output, path, where)
        for paragraph in paragraphs(output):
            if paragraph.startswith("WARNING"):
                self.progress.warn(paragraph)
            else:
                self.progress.note(paragraph)


def paragraphs(output: str) -> list[str]:
    """Split a phase's output into messages: a warning with all its lines, any other line alone."""
    found: list[str] = []
    in_warning = False
    for line in output.splitlines():
        if line.startswith("WARNING"):
            found.append(line)
            in_warning = True
        elif in_warning and (not line or line.startswith(_WARNING_LINES)):
            found[-1] += f"\n{line}"
        else:
            in_warning = False
            if line.strip():
                found.append(line.removeprefix("lls-provider: ").removeprefix("note: "))
    return [paragraph.rstrip() for paragraph in found]


def runtime_error(
    command: str, status: int, output: str, path: Path, where: Where = _NOWHERE
) -> SdkError:
    """Return the error of a runtime command that ended with ``status``, from the file ``path``.

    A process that was killed, or an older runtime, writes no such file: the error is then INTERNAL
    with the ``output``.
    """
    try:
        error = SdkError.from_json(read_regular(path, _ERROR_LIMIT) or b"")
    except (OSError, ValueError):
        error = None
    # a process that imported a provider may have written it
    if error is None or error.status != status:
        return SdkError(
            Code.INTERNAL,
            f"The {command} phase ended with exit status {status} and no error",
            why=output.strip() or "It printed nothing.",
            where=where,
            resolution="Report this as a fault of lls-provider, with the text above.",
        )
    if error.code in (Code.NO_SPACE, Code.VOLUME_UNWRITABLE):  # it is about a Pod's volume
        error.resolution = (
            "Free space in the temporary directory, or set TMPDIR to a directory on another file "
            "system, "
            "one that this user can write to."
        )
    return error.located(provider=where.provider, image=where.image)


def supply_missing_apis(
    error: SdkError, run_yaml: Path, pins: Mapping[str, str], env: Mapping[str, str]
) -> Supply | None:
    """Return the server's own providers of the APIs that preflight's ``error`` reports as missing.

    None for any other error, and if the user has to add something else: preflight's message names
    it. ``pins`` are the versions of the server's packages.
    """
    missing = missing_in(error.detail)
    if not missing:
        return None
    server = {canonicalize_name(name): Version(version) for name, version in pins.items()}
    document = load_file(run_yaml, limits=merged_limits())
    found = supply(missing, server, document, env)
    return None if found.unknown or found.listed else found


def has_schema(container: InitContainer) -> bool:
    """Whether the provider's bundle has the JSON Schema of its config.

    That of a project has none. Probing its class takes seconds: that is for when its server ends.
    """
    return BundleTree(container.provider.bundle).config_schema.is_file()


def require_valid_configs(
    container: InitContainer,
    given: Collection[str],
    *,
    python: Path,
    variables: Mapping[str, str],
    progress: Progress = SILENT,
) -> None:
    """Refuse a config that both the config class and its JSON Schema reject.

    A config that only the schema rejects is a warning: the class may convert values first. If the
    class cannot be loaded, nothing is reported: preflight says why.

    The schema comes from the bundle. A project that was just built for this server has none yet:
    its class is probed with ``python`` and ``variables``, which find the provider. Without a schema
    nothing is reported. ``given`` are the providers whose config came from --config. Raises
    SdkError USAGE for such a config, SETTINGS_INVALID for a project's.
    """
    provider, config = container.provider, container.config or {}
    result = ProbeResult()
    schema: Mapping[str, Any] | None
    if has_schema(container):
        schema = _stored_schema(provider)
    elif provider.settings is not None:
        result = _ask(provider, config, python, variables)
        schema = result.config_schema
    else:
        return
    if schema is None:
        return
    if found := config_schema.violations(schema, config):
        if result.takes_config is None:
            result = _ask(provider, config, python, variables)
        if result.takes_config is None:
            return
        if result.takes_config:
            reasons = "; ".join(f"{it.json_path} {it.reason}" for it in found)
            progress.warn(
                f"the config class of '{provider.provider_id}' takes a config that its JSON Schema "
                f"forbids: {reasons}"
            )
            return
        by_option = provider.settings is None or provider.provider_id in given
        raise _refused(provider, found, by_option=by_option, nothing=not config)


def _stored_schema(provider: PlannedProvider) -> Mapping[str, Any] | None:
    with BundleTree(provider.bundle).config_schema.open("rb") as stream:
        data = stream.read(config_schema.LIMIT + 1)
    if config_schema.schema_fault(data):
        return None  # `check` reports an invalid schema; this checks the config
    schema: Mapping[str, Any] = json.loads(data)
    return schema


def _ask(
    provider: PlannedProvider, config: Mapping[str, Any], python: Path, variables: Mapping[str, str]
) -> ProbeResult:
    """Probe the config class; empty if it cannot be loaded, which preflight explains."""
    return probe(
        python,
        provider.module,
        provider_type=read_bundle(provider.bundle).metadata.provider_type,
        env=variables,
        config=config,
    )


def _refused(
    provider: PlannedProvider, found: list[Violation], *, by_option: bool, nothing: bool
) -> SdkError:
    settings = None if by_option else provider.settings
    problems = config_problems(settings, found)
    source = CONFIG_SOURCE if settings is not None else "--config"
    place = "in [tool.lls-provider.up.config], or " if settings is not None else ""
    return SdkError(
        Code.USAGE if settings is None else Code.SETTINGS_INVALID,
        f"The config of '{provider.provider_id}' does not fit its config class",
        why="It is empty. The class needs more:"
        if nothing
        else f"It comes from {source}. The class forbids:",
        where=Where(
            file=settings.pyproject.source if settings is not None else None,
            line=problems[0].where.line,
            column=problems[0].where.column,
            provider=provider.provider_id,
            image=provider.target,
        ),
        problems=problems,
        resolution=f"Correct the keys in {source}, or the provider's config class."
        if not nothing
        else f"Give the keys {place}with --config '{provider.provider_id}=JSON'.",
    )
