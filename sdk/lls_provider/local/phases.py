"""Runs phases 1 to 4 on this machine, with the runtime in the bundle, as a Pod runs it.

The zipapp runs in a separate process under ``python -I -S``: the same code in the same isolation as
in the init containers (docs/architecture.md, "The runtime's wall").

For phase 2 a Pod takes the base configuration from the distribution's image or a ConfigMap
(contract section 2). Here it is the server line's smallest one or a file of the user's. It is
changed to listen on this machine only, and the resources to register and the APIs that preflight
missed are added.

Before the server starts, `require_valid_configs` reports every key that a config class refuses,
with its position: a server ends at the first wrong provider, with a traceback.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from lls_provider.bundle import config_schema
from lls_provider.bundle.bundle import read_bundle
from lls_provider.bundle.zipapp import zipapp_path
from lls_provider.contract.document import Document, dump, load_file
from lls_provider.contract.limits import CONFIGURATION, document_limits, merged_limits
from lls_provider.contract.names import BundleTree, VolumeTree
from lls_provider.errors import Code, Problem, SdkError, Where
from lls_provider.local.call import HOST
from lls_provider.progress import SILENT, Progress
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
_ISOLATED = ("-I", "-S")
RUN_CONFIG = "run.yaml"
_ERROR_LIMIT = 1 << 20
_CONFIG_TABLE = ("tool", "lls-provider", "up", "config")


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
        arguments = [
            "install",
            "--provider-id",
            provider.provider_id,
            "--api",
            provider.api,
            "--image",
            provider.target,
            "--container",
            container.name,
            "--order",
            str(container.order),
            "--source",
            str(provider.bundle),
            "--root",
            str(self.volume.root),
            "--python-tag",
            python_tag,
            "--termination-log",
            str(self.workspace.root / "termination-log"),
        ]
        if container.config is not None:
            path = self.workspace.root / f"config-{container.order}.json"
            with wrapping_write_errors(path, "a provider's config"):
                path.write_text(json.dumps(container.config), "utf-8")
            arguments += ["--config-file", str(path)]
        carried = BundleTree(provider.bundle).zipapp
        # a bundle made by hand may have no runtime: this SDK's is used
        zipapp = carried if carried.is_file() else zipapp_path()
        where = Where(provider=provider.provider_id, image=provider.target)
        self._run(container.name, python, zipapp, arguments, where)

    def merge(self, python: Path) -> None:
        """Run phase 3. Raises the SdkError of merge."""
        self._run("merge", python, self.volume.zipapp, ["merge", "--root", str(self.volume.root)])

    def preflight(self, python: Path) -> None:
        """Run phase 4. Raises the SdkError of preflight."""
        arguments = [
            "preflight",
            "--run-yaml",
            str(self.volume.config / RUN_CONFIG),
            "--root",
            str(self.volume.root),
        ]
        # the server's environment has none of our variables; an older zipapp has no option for it
        limit = {VARIABLE: f"{time_limit():f}"}
        self._run("preflight", python, self.volume.zipapp, arguments, variables=limit)

    def _run(
        self,
        name: str,
        python: Path,
        zipapp: Path,
        arguments: list[str],
        where: Where = _NOWHERE,
        variables: Mapping[str, str] = _NO_VARIABLES,
    ) -> None:
        path = self.workspace.root / f"{name}-error.json"
        path.unlink(missing_ok=True)  # left by a phase that is repeated
        status, output = self.workspace.run(
            [str(python), *_ISOLATED, str(zipapp), *arguments],
            # a runtime that is older than the variable ignores it
            environment={**self.environment, **variables, ERROR_FILE: str(path)},
            directory=self.workspace.root,
            name=name,
        )
        if status:
            raise runtime_error(arguments[0], status, output, path, where)
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


Resources = Mapping[str, Sequence[Mapping[str, Any]]]
"""Resources to register by kind, such as ``{"models": [{"model_id": "echo", …}]}``."""

_TLS = ("tls_certfile", "tls_keyfile", "tls_cafile", "tls_config")
_REGISTERED = "registered_resources"


def read_base(path: Path) -> Document:
    """Read the base configuration from a user's file.

    Raises SdkError FILE_MISSING, FILE_UNREADABLE, YAML_INVALID and so on, with the line;
    DOCUMENT_INVALID when it is not a mapping.
    """
    document = load_file(path, limits=document_limits(CONFIGURATION))
    if not isinstance(document.value, dict):
        raise _wrong(document, (), "A server's configuration is a mapping.")
    for key in ("server", _REGISTERED):
        if not isinstance(document.value.get(key) or {}, dict):
            raise _wrong(document, (key,), f"'{key}' must be a mapping.")
    for kind, entries in (document.value.get(_REGISTERED) or {}).items():
        if not isinstance(entries or [], list):
            raise _wrong(document, (_REGISTERED, kind), f"'{_REGISTERED}.{kind}' must be a list.")
    return document


def localized(base: Mapping[str, Any], minimal: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` for this machine: on the loopback address, without TLS.

    ``minimal`` is the server line's smallest configuration: the server does not start without the
    values of its server section, such as ogx' permission to run without TLS.
    """
    config = copy.deepcopy(dict(base))
    server = dict(config.get("server") or {})
    for key in _TLS:
        server.pop(key, None)
    config["server"] = {**server, **dict(minimal.get("server") or {}), "host": HOST}
    return config


def with_resources(
    base: Mapping[str, Any], resources: Resources, key: str | None = _REGISTERED
) -> dict[str, Any]:
    """Return ``base`` with the resources to register; existing ones are not added again.

    They are added under ``key``, or at the top level if it is None.
    """
    config = copy.deepcopy(dict(base))
    if not any(resources.values()):
        return config
    registered = config if key is None else dict(config.get(key) or {})
    for kind, entries in resources.items():
        there = list(registered.get(kind) or [])
        there += [dict(entry) for entry in entries if dict(entry) not in there]
        registered[kind] = there
    return config if key is None else {**config, key: registered}


def with_supply(base: Mapping[str, Any], supply: Supply) -> dict[str, Any]:
    """Return ``base`` with the server's own providers in ``supply`` and the backends they need."""
    config = copy.deepcopy(dict(base))
    added = supply.configuration()
    if supply.entries:
        sections = dict(config.get("providers") or {})
        for api, entries in added["providers"].items():
            sections[api] = [*(sections.get(api) or []), *entries]
        config["providers"] = sections
    if supply.backends:
        storage = dict(config.get("storage") or {})
        backends = {**(storage.get("backends") or {}), **added["storage"]["backends"]}
        config["storage"] = {**storage, "backends": backends}
    return config


def of_provider(resources: Resources, provider_id: str) -> dict[str, list[dict[str, Any]]]:
    """Return the resources, with ``provider_id`` in each that names no provider."""
    return {
        kind: [{**entry, "provider_id": entry.get("provider_id", provider_id)} for entry in entries]
        for kind, entries in resources.items()
    }


def joined(groups: Sequence[Resources]) -> dict[str, list[Mapping[str, Any]]]:
    """Join several groups of resources, in their order."""
    result: dict[str, list[Mapping[str, Any]]] = {}
    for group in groups:
        for kind, entries in group.items():
            result.setdefault(kind, []).extend(entries)
    return result


def write_base(config: Mapping[str, Any], path: Path) -> None:
    """Write ``base-config/run.yaml``. Raises SdkError NO_SPACE or OUTPUT_UNWRITABLE."""
    with wrapping_write_errors(path, "the base configuration"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dump(dict(config)), "utf-8")


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
    if not config and provider.settings is not None:
        return  # probing a project's class takes a second, and the server's own error is clear here
    result = ProbeResult()
    schema: Mapping[str, Any] | None
    if BundleTree(provider.bundle).config_schema.is_file():
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


def _wrong(document: Document, path: Sequence[str | int], why: str) -> SdkError:
    where = document.where(path) if path else Where(file=document.source)
    return SdkError(
        Code.DOCUMENT_INVALID,
        "The base configuration is not a server's configuration",
        why=why,
        where=where,
        resolution="Correct the file, or leave it out to start from the smallest configuration.",
    )


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
    problems = [
        Problem(
            Code.FIELD_VALUE,
            f"{violation.json_path} {violation.reason}",
            settings.pyproject.where((*_CONFIG_TABLE, *violation.path), key=violation.is_key)
            if settings is not None
            else Where(),
            path=violation.json_path,
        )
        for violation in found
    ]
    source = "[tool.lls-provider.up] config" if settings is not None else "--config"
    return SdkError(
        Code.USAGE if settings is None else Code.SETTINGS_INVALID,
        f"The config of '{provider.provider_id}' does not fit its config class",
        why=f"{'It is empty' if nothing else f'It comes from {source}'}. The class forbids:",
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
        else "Give the keys with --config ID=JSON.",
    )
