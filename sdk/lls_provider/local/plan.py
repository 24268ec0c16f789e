"""Plans a run of `up` before any long step, and defines its result.

Settings come from each project's ``[tool.lls-provider]``; the command line takes precedence.
Nothing is changed on this machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.bundle.bundle import read_bundle
from lls_provider.contract.models import provider_id_from_name
from lls_provider.errors import Code, SdkError, nearest_word
from lls_provider.image.bundle_image import PREFIX
from lls_provider.image.transports.transport import is_transport_name, read_image
from lls_provider.operations.phase_commands import Installation, fits_argument, in_order
from lls_provider.operations.provider_file import require_same_api
from lls_provider.operations.targets import SourceKind
from lls_provider.progress import SILENT, Progress
from lls_provider.project.settings import read_settings
from lls_provider.untrusted import bounded
from lls_provider.wheels.distribution import ENVIRONMENT_PREFIX, is_portable

if TYPE_CHECKING:
    from lls_provider.image.image import Image
    from lls_provider.operations.provider_file import ProviderEntry, ServerEntry
    from lls_provider.operations.targets import ProviderSource
    from lls_provider.project.sample_call import SampleCall
    from lls_provider.project.settings import Settings


_SERVERS = "'llama-stack==0.7.3', 'ogx==1.5.0' or python:PATH"


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The options of `up`.

    ``image_server`` is set if ``server`` is the image of that entry of a provider file: its layers
    then have the base configuration too, unless ``base_config`` names another.
    """

    server: str | None = None
    image_server: ServerEntry | None = None
    python: str | None = None
    port: int | None = None
    configs: tuple[tuple[str | None, dict[str, Any]], ...] = ()
    resources: tuple[tuple[str, dict[str, Any]], ...] = ()
    base_config: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    call: SampleCall | None = None
    keep: bool = False
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class InspectedSource:
    """A target, with the facts that are known before it is built or unpacked.

    ``image`` is the image of a target that is one, opened once: its tag may move later.
    ``distributions`` and ``python_tag`` are those that a bundle was built for, or a project's
    settings; ``python_tag`` is None if any Python will do. ``provider_id`` and ``api`` are None
    for an image without such labels.
    """

    target: ProviderSource
    settings: Settings | None = None
    distributions: tuple[str, ...] = ()
    python_tag: str | None = None
    image: Image | None = None
    provider_id: str | None = None
    api: str | None = None


def inspect_source(
    target: ProviderSource, options: UpOptions, progress: Progress = SILENT
) -> InspectedSource:
    """Read the facts about a target without building or unpacking it.

    Raises what reading settings, a bundle or an image raises.
    """
    if target.kind is SourceKind.PROJECT:
        settings = read_settings(target.path)
        return InspectedSource(
            target,
            settings,
            settings.distributions,
            provider_id=provider_id_from_name(settings.name),
            api=settings.api,
        )
    if target.kind is SourceKind.BUNDLE:
        bundle = read_bundle(target.path)
        manifest = bundle.manifest
        return InspectedSource(
            target,
            None,
            manifest.distributions if manifest is not None else (),
            manifest.target.python_tag if manifest is not None else None,
            provider_id=bundle.provider_id,
            api=bundle.metadata.api,
        )
    try:
        image = read_image(target.text, insecure=options.insecure, progress=progress)
    except SdkError as error:
        raise target.located(error) from error
    if target.entry is not None:
        require_same_api(target.entry, image.labels.get(f"{PREFIX}.api"))
    distributions = image.labels.get(f"{PREFIX}.distributions", "").split(",")
    return InspectedSource(
        target,
        None,
        tuple(name for name in distributions if name),
        image.labels.get(f"{PREFIX}.target.python"),
        image,
        target.entry.provider_id if target.entry else image.labels.get(f"{PREFIX}.id"),
        image.labels.get(f"{PREFIX}.api"),
    )


@dataclass(frozen=True, slots=True)
class PlannedProvider:
    """A provider that is ready to install: its bundle, metadata and settings.

    ``entry`` is that of a provider file, if one named it.
    """

    target: str
    bundle: Path
    provider_id: str
    api: str
    module: str
    settings: Settings | None = None
    entry: ProviderEntry | None = None


def planned_provider(source: InspectedSource, root: Path) -> PlannedProvider:
    """Return the provider of a target, whose bundle is at ``root``.

    A provider file may give it another ID than its metadata. Raises what `read_bundle` raises.
    """
    bundle, entry = read_bundle(root), source.target.entry
    metadata = bundle.metadata
    return PlannedProvider(
        source.target.label,
        root,
        bundle.provider_id if entry is None else entry.provider_id,
        (entry.api if entry is not None else None) or metadata.api,
        metadata.package_name,
        source.settings,
        entry,
    )


@dataclass(frozen=True, slots=True)
class InitContainer:
    """The input of one init container of the Pod (contract section 2, phase 1)."""

    provider: PlannedProvider
    order: int
    config: Mapping[str, Any] | None

    @property
    def has_inline_config(self) -> bool:
        """Whether the configuration is an argument, as in the Pod of a provider file.

        Everyone on this machine can read arguments, so that otherwise it is in a file.
        """
        from_file = self.provider.entry is not None and self.config is not None
        return from_file and fits_argument(self.config or {})

    def installation(self, config_file: Path | None) -> Installation:
        """Return what the installer is told; ``config_file`` has what is not inline."""
        return Installation(
            self.provider.provider_id,
            self.provider.api,
            self.provider.target,
            self.order,
            self.config if self.has_inline_config else None,
            None if config_file is None else str(config_file),
        )


def choose_server(given: str | None, candidates: Sequence[InspectedSource]) -> str:
    """Return the requested server, else the first that a target was built for.

    Raises SdkError USAGE if there is neither.
    """
    if given:
        return given
    not_portable = ""
    for candidate in candidates:
        for named in candidate.distributions:
            # a file of that name on this machine is a different one
            if candidate.settings is not None or is_portable(named):
                return named
            not_portable = f"{candidate.target.text} was made for '{named}' of another machine."
    raise SdkError(
        Code.USAGE,
        f"No server is named for {', '.join(item.target.text for item in candidates)}",
        why=not_portable or "No target says which distribution it was made for.",
        resolution=f"Pass --server with {_SERVERS}.",
    )


def choose_python(
    given: str | None, candidates: Sequence[InspectedSource], server: str = ""
) -> str | None:
    """Return the requested Python, else the one that a bundle was built for.

    None leaves the choice to the distribution, as for an environment or an image, which have one.
    """
    if given or server.startswith(ENVIRONMENT_PREFIX) or is_transport_name(server):
        return given
    for candidate in candidates:
        if candidate.python_tag is not None:
            return version_of_tag(candidate.python_tag)
    for candidate in candidates:
        if candidate.settings is not None and candidate.settings.python:
            return candidate.settings.python
    return None


def version_of_tag(tag: str) -> str | None:
    """Return ``3.12`` for ``cp312``; None for a tag without a minor version of CPython."""
    digits = tag.removeprefix("cp")
    if digits == tag or not digits.isdigit() or len(digits) < 2:
        return None
    return f"{digits[0]}.{digits[1:]}"


def init_containers(
    providers: Sequence[PlannedProvider], configs: Mapping[str, Mapping[str, Any]]
) -> tuple[InitContainer, ...]:
    """Return the containers in CR order: by API as in the contract, then in the order of the
    targets.

    ``configs`` are the command line's; else the config comes from the project's settings.
    """
    return tuple(
        InitContainer(provider, order, configs.get(provider.provider_id, _own_config(provider)))
        for order, provider in enumerate(in_order(providers, lambda it: it.api))
    )


def assign_configs(
    given: Sequence[tuple[str | None, dict[str, Any]]], provider_ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Assign the configs of the command line to the providers.

    Raises SdkError USAGE for an ID that no target has, and for a config without an ID when there
    are several targets.
    """
    assigned: dict[str, dict[str, Any]] = {}
    for identifier, config in given:
        if identifier is None and len(provider_ids) != 1:
            raise _unassigned("--config does not say which provider it is for", provider_ids)
        chosen = provider_ids[0] if identifier is None else identifier
        if chosen not in provider_ids:
            meant = nearest_word(chosen, provider_ids)
            hint = f"; did you mean '{meant}'?" if meant else ""
            raise _unassigned(
                f"--config names a provider that no target has: {chosen}{hint}", provider_ids
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


def choose_base(given: Path | None, settings: Sequence[Settings]) -> Path | None:
    """Return the user's base configuration, if there is one.

    Raises SdkError USAGE when several projects name different ones.
    """
    if given is not None:
        return given
    found = {item.up.base: item.name for item in settings if item.up.base is not None}
    if len(found) > 1:
        raise SdkError(
            Code.USAGE,
            "The projects name different base configurations",
            why="\n".join(f"{name}: {path}" for path, name in found.items()),
            resolution="Choose one with --base-config FILE.",
        )
    return next(iter(found), None)


def environment_of(given: Mapping[str, str], settings: Sequence[Settings]) -> dict[str, str]:
    """Return the server's variables: those of the projects in order, then the command line's."""
    values: dict[str, str] = {}
    for item in settings:
        values |= item.up.env
    return {**values, **given}


def require_watchable(targets: Sequence[ProviderSource], *, check: bool) -> None:
    """Raise SdkError USAGE for ``--watch`` with ``--check``, or without a project to watch."""
    if check:
        raise SdkError(
            Code.USAGE,
            "--watch stays up, and --check does not",
            resolution="Remove one of the two options.",
        )
    if not any(target.kind is SourceKind.PROJECT for target in targets):
        raise SdkError(
            Code.USAGE,
            "--watch needs a project among the targets",
            why="Bundles and images have no source.",
            resolution="Name the directory of a project, or remove --watch.",
        )


def parse_environment(texts: Sequence[str]) -> dict[str, str]:
    """Parse variables written as ``NAME=VALUE``. Raises SdkError USAGE."""
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or "\0" in text:
            raise SdkError(
                Code.USAGE,
                f"--env cannot be understood: {text!r}",
                why="It is NAME=VALUE.",
                resolution="Write for example --env ACME_TOKEN=abc.",
            )
        values[name] = value
    return values


def parse_resource(text: str) -> tuple[str, dict[str, Any]]:
    """Parse a resource written as ``KIND=JSON``. Raises SdkError USAGE."""
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
    """Parse a provider's config written as ``[ID=]JSON``. Raises SdkError USAGE."""
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


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def choose_calls(given: SampleCall | None, settings: Sequence[Settings]) -> tuple[SampleCall, ...]:
    """Return the command line's sample call, else those of the first project that has one."""
    if given is not None:
        return (given,)
    return next((item.up.calls for item in settings if item.up.calls), ())


def _own_config(provider: PlannedProvider) -> Mapping[str, Any] | None:
    return provider.settings.up.config if provider.settings is not None else None


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase that has ended, and whether it succeeded."""

    name: str
    seconds: float
    ok: bool


@dataclass(frozen=True, slots=True)
class ServedProvider:
    """One entry of the server's ``/v1/providers``."""

    provider_id: str
    api: str
    provider_type: str

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> ServedProvider:
        """Return the provider of an entry; raises KeyError when a field is missing."""
        return cls(str(entry["provider_id"]), str(entry["api"]), str(entry["provider_type"]))


@dataclass(frozen=True, slots=True)
class CallReply:
    """The server's reply: its status, and its body, parsed if it is JSON.

    ``call`` is the method and the path of the sample call that it is the reply to.
    """

    status: int
    body: Any
    call: str = ""


@dataclass(slots=True)
class UpResult:
    """The result so far; each phase is added when it ends, so it also describes a failed run."""

    server: str = ""
    phases: list[Phase] = field(default_factory=list)
    providers: tuple[ServedProvider, ...] = ()
    calls: list[CallReply] = field(default_factory=list)

    @property
    def call(self) -> CallReply | None:
        """The reply to the last sample call that was made."""
        return self.calls[-1] if self.calls else None

    def to_document(self) -> dict[str, Any]:
        """Return the result as plain data, for ``--format json``."""
        several = [{"call": it.call, "status": it.status, "body": it.body} for it in self.calls]
        return {
            "server": self.server,
            "phases": [
                {"name": phase.name, "seconds": round(phase.seconds, 3), "ok": phase.ok}
                for phase in self.phases
            ],
            "providers": [
                {
                    "provider_id": provider.provider_id,
                    "api": provider.api,
                    "provider_type": provider.provider_type,
                }
                for provider in self.providers
            ],
            "call": None
            if self.call is None
            else {"status": self.call.status, "body": self.call.body},
            **({"calls": several} if len(several) > 1 else {}),
        }

    def text(self) -> str:
        """Return the result as text."""
        rows = [(item.api, item.provider_id, item.provider_type) for item in self.providers]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
        lines = [f"{self.server} serves:"]
        lines += [f"  {api:{widths[0]}}  {name:{widths[1]}}  {kind}" for api, name, kind in rows]
        for reply in self.calls:
            lines.append(f"{reply.call} -> {reply.status}".strip())
            if reply.body != "":
                lines.append(f"  {shown_body(reply.body)}")
        return "\n".join(lines)


def shown_body(body: object) -> str:
    """Return a reply's body, on one line if it is JSON."""
    return bounded(body if isinstance(body, str) else json.dumps(body, ensure_ascii=False))
