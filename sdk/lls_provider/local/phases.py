"""Phases 1 to 4 on this machine: the runtime in the bundle, run as a Pod runs it.

The zipapp runs as a process of its own, under ``python -I -S``, so that the very code is tried in
the very isolation of the init containers (docs/architecture.md, "The runtime's wall").

For phase 2 a Pod takes the base configuration from the distribution's image or a ConfigMap
(contract section 2). Here it is the server line's smallest one or a file of the user's, made to
listen on this machine only, with the resources to register, and the APIs that preflight missed.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from lls_provider.bundle.zipapp import zipapp_path
from lls_provider.contract.document import Document, dump, load_file
from lls_provider.contract.limits import CONFIGURATION, document_limits, merged_limits
from lls_provider.contract.names import BundleTree, VolumeTree
from lls_provider.errors import Code, SdkError, Where
from lls_provider.local.call import HOST
from lls_provider.runtime.messages import ERROR_FILE
from lls_provider.runtime.preflight.api_dependencies import Supply, missing_in, supply
from lls_provider.runtime.preflight.probe_client import time_limit
from lls_provider.runtime.preflight.probe_process import VARIABLE
from lls_provider.runtime.volume.installed import read_regular
from lls_provider.system.files import wrapping_write_errors

if TYPE_CHECKING:
    from lls_provider.local.plan import InitContainer
    from lls_provider.local.workspace import Workspace
    from lls_provider.progress import Progress
    from lls_provider.runtime.preflight.api_dependencies import Supply


# the lines of the layouts of contract sections 4 and 6 that follow a warning's first
_WARNING_LINES = (" ", "Provider: ", "Field: ", "Note: ")
_NOWHERE = Where()
_NO_VARIABLES: Mapping[str, str] = {}
_ISOLATED = ("-I", "-S")
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
        """Phase 1 for one provider. Raises the SdkError that the installer given."""
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
        # a bundle made by hand need not carry the runtime; ours then is in for it
        zipapp = carried if carried.is_file() else zipapp_path()
        where = Where(provider=provider.provider_id, image=provider.target)
        self._run(container.name, python, zipapp, arguments, where)

    def merge(self, python: Path) -> None:
        """Phase 3. Raises the SdkError that merge given."""
        self._run("merge", python, self.volume.zipapp, ["merge", "--root", str(self.volume.root)])

    def preflight(self, python: Path) -> None:
        """Phase 4. Raises the SdkError that preflight given."""
        arguments = [
            "preflight",
            "--run-yaml",
            str(self.volume.config / RUN_CONFIG),
            "--root",
            str(self.volume.root),
        ]
        # the server's environment has none of our variables; an older zipapp has no such flag
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
        path.unlink(missing_ok=True)  # of a phase that is repeated
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
    """The messages of a phase: a warning with all its lines, any other line by itself."""
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
    """The error of a runtime command that ended with ``status``, read from the file ``path``.

    A process that was killed, or a runtime older than that file, leaves none: then it is INTERNAL
    with the ``output``.
    """
    try:
        error = SdkError.from_json(read_regular(path, _ERROR_LIMIT) or b"")
    except (OSError, ValueError):
        error = None
    # what imported a provider may have written it
    if error is None or error.status != status:
        return SdkError(
            Code.INTERNAL,
            f"The {command} phase ended with exit status {status} and no error",
            why=output.strip() or "It printed nothing.",
            where=where,
            resolution="Report this as a fault of lls-provider, with the text above.",
        )
    if error.code in (Code.NO_SPACE, Code.VOLUME_UNWRITABLE):  # it speaks of a Pod's volume
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
    """The base configuration of a user's file.

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
    """``base`` as it runs on this machine: on the loopback address, without TLS.

    ``minimal`` is the server line's smallest configuration: what its server section sets
    (such as ogx' leave to run without TLS) is needed to start at all.
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
    """``base`` with resources to register added; one that already exists is not doubled.

    They stand under ``key``, at the top where that is None.
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
    """``base`` with the server's own providers in ``supply``, and with the backends they need."""
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
    """The resources, with ``provider_id`` in every one that does not name its provider."""
    return {
        kind: [{**entry, "provider_id": entry.get("provider_id", provider_id)} for entry in entries]
        for kind, entries in resources.items()
    }


def joined(groups: Sequence[Resources]) -> dict[str, list[Mapping[str, Any]]]:
    """Several groups of resources as one, in their order."""
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


def parse_resource(text: str) -> tuple[str, dict[str, Any]]:
    """A resource written as ``KIND=JSON``. Raises SdkError USAGE."""
    kind, equals, value = text.partition("=")
    parsed = _json_object(value) if equals else None
    if not kind.isidentifier() or parsed is None:
        raise SdkError(
            Code.USAGE,
            f"--resource cannot be understood: {text!r}",
            why="It is KIND=JSON, and the JSON is an object.",
            resolution="Write for example --resource "
            '\'models={"model_id": "echo", "provider_id": "acme-echo", "model_type": "llm"}\'.',
        )
    return kind, parsed


def parse_config(text: str) -> tuple[str | None, dict[str, Any]]:
    """A provider's config written as ``[ID=]JSON``. Raises SdkError USAGE."""
    identifier: str | None = None
    value = text
    if not text.lstrip().startswith("{"):
        identifier, _, value = text.partition("=")
    parsed = _json_object(value)
    if parsed is None or identifier == "":
        raise SdkError(
            Code.USAGE,
            f"--config cannot be understood: {text!r}",
            why="It is [ID=]JSON, and the JSON is an object.",
            resolution='Write for example --config \'acme-echo={"prefix": "you said: "}\'.',
        )
    return identifier, parsed


def assign_configs(
    given: Sequence[tuple[str | None, dict[str, Any]]], provider_ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Which provider gets which config of the command line.

    Raises SdkError USAGE for an ID that no target has, and for a config without an ID when
    there are several targets.
    """
    assigned: dict[str, dict[str, Any]] = {}
    for identifier, config in given:
        if identifier is None and len(provider_ids) != 1:
            raise _unassigned("--config does not say which provider it is for", provider_ids)
        chosen = provider_ids[0] if identifier is None else identifier
        if chosen not in provider_ids:
            raise _unassigned(
                f"--config names a provider that no target has: {chosen}", provider_ids
            )
        assigned[chosen] = config
    return assigned


def _unassigned(what: str, provider_ids: Sequence[str]) -> SdkError:
    return SdkError(
        Code.USAGE,
        what,
        why=f"The targets' providers are: {', '.join(provider_ids)}.",
        resolution="Write --config ID=JSON with one of these IDs.",
    )


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _wrong(document: Document, path: Sequence[str | int], why: str) -> SdkError:
    where = document.where(path) if path else Where(file=document.source)
    return SdkError(
        Code.DOCUMENT_INVALID,
        "The base configuration is not a server's configuration",
        why=why,
        where=where,
        resolution="Correct the file, or leave it out to start from the smallest configuration.",
    )


def supply_missing_apis(
    error: SdkError, run_yaml: Path, pins: Mapping[str, str], env: Mapping[str, str]
) -> Supply | None:
    """The server's own providers of the APIs that ``error`` of preflight says are missing.

    None for every other error, and where something is left that only the user can add: the message
    of preflight names it. ``pins`` are the versions of the server's packages.
    """
    missing = missing_in(error.detail)
    if not missing:
        return None
    server = {canonicalize_name(name): Version(version) for name, version in pins.items()}
    document = load_file(run_yaml, limits=merged_limits())
    found = supply(missing, server, document, env)
    return None if found.unknown or found.listed else found
