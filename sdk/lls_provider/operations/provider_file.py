"""The provider file: a server and its external providers, in order, with what it includes.

A platform team keeps a catalogue; an application includes it and changes what it needs to. Included
files come first, in the order in which they are named. An entry with an ID that is there already
changes only what it says: `config` and `resources` are patched as RFC 7386 (JSON Merge Patch) has
it, so null removes a key, and every other value is replaced. `image` replaces `distribution`,
`config` replaces `configFrom`, and so on for each pair that excludes the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lls_provider.contract import validation
from lls_provider.contract.document import Document, load_file
from lls_provider.errors import Code, Problem, SdkError, Where

SCHEMA = "provider-file"
DEFAULT_PORT = 8321
_CORRECT = "Correct the file; contract/schemas/provider-file.json describes it."
_INCLUDES_LIMIT = 100
_PATCHED = ("config", "resources")
_NOWHERE = Where()
_EXCLUDING = {  # of a server or of a provider
    "image": ("distribution",),
    "distribution": ("image",),
    "config": ("configMap", "configFrom"),
    "configMap": ("config",),
    "configFrom": ("config",),
}


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """A Secret or a ConfigMap, and the key in it."""

    kind: str  # secret or configMap
    name: str
    key: str


@dataclass(frozen=True, slots=True)
class ServerEntry:
    """The server; what the file does not say is None or empty."""

    name: str = "llama-stack"
    image: str | None = None
    distribution: str | None = None
    config: Path | None = None
    config_map: ObjectReference | None = None
    config_path: str | None = None
    command: tuple[str, ...] = ()
    args: tuple[str, ...] | None = None
    python: str | None = None
    port: int = DEFAULT_PORT
    replicas: int = 1
    env: tuple[Mapping[str, Any], ...] = ()
    pull_policy: str | None = None
    pull_secrets: tuple[str, ...] = ()
    service_account: str | None = None
    resources: Mapping[str, Any] = field(default_factory=dict)
    where: Where = _NOWHERE


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """One provider that is enabled. ``where`` is its place in the file that named it first."""

    provider_id: str
    image: str
    api: str | None = None
    config: Mapping[str, Any] | None = None
    config_from: ObjectReference | None = None
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)
    where: Where = _NOWHERE


@dataclass(frozen=True, slots=True)
class ProviderFile:
    """The server and its providers, in the order in which they are installed."""

    source: str
    server: ServerEntry
    providers: tuple[ProviderEntry, ...]

    @property
    def pull_secrets(self) -> tuple[str, ...]:
        """The Secrets of all, each once: a Pod has one list of them."""
        named = [*self.server.pull_secrets]
        for provider in self.providers:
            named += provider.pull_secrets
        return tuple(dict.fromkeys(named))


@dataclass(frozen=True, slots=True)
class _Entry:
    """The values of a provider so far, and where it was named first."""

    value: dict[str, Any]
    where: Where


def read_provider_file(path: Path) -> ProviderFile:
    """Read a provider file and the files that it includes.

    Every complaint about a file is reported at once, with file, line and column. Raises SdkError
    FILE_MISSING, FILE_UNREADABLE, YAML_INVALID, YAML_LIMIT, DUPLICATE_KEY, DOCUMENT_INVALID or
    what the one complaint is, such as PROVIDER_DUPLICATE; FIELD_VALUE for an include of itself.
    """
    server: dict[str, Any] = {}
    server_where = Where(file=str(path))
    entries: dict[str, _Entry] = {}
    for document in _documents(path, ()):
        folder = Path(document.source).parent
        found = document.value.get("server")
        if found:
            server = _changed(server, _resolved(found, folder))
            server_where = document.where(("server",))
        for index, provider in enumerate(document.value.get("providers") or ()):
            here = document.where(("providers", index))
            before = entries.get(provider["id"])
            value = _changed(before.value if before else {}, provider)
            entries[provider["id"]] = _Entry(value, before.where if before else here)
    _require_images(entries.values(), str(path))
    return ProviderFile(
        str(path),
        _server(server, server_where),
        tuple(
            _provider(entry.value, entry.where)
            for entry in entries.values()
            if entry.value.get("enabled", True)
        ),
    )


def require_providers(file: ProviderFile) -> None:
    """Raise SdkError FIELD_MISSING when no provider is enabled."""
    if not file.providers:
        raise SdkError(
            Code.FIELD_MISSING,
            f"{file.source} has no provider that is enabled",
            why="There is nothing to install into the Pod.",
            where=Where(file=file.source),
            resolution="Add an entry to 'providers', or remove 'enabled: false' from one.",
        )


def require_same_api(entry: ProviderEntry, found: str | None) -> None:
    """Raise SdkError API_MISMATCH when the entry names another API than its image, ``found``."""
    if None not in (found, entry.api) and found != entry.api:
        raise SdkError(
            Code.API_MISMATCH,
            f"Provider '{entry.provider_id}' is of API '{found}', not '{entry.api}'",
            why="The file names one API, the image another.",
            where=replace(entry.where, provider=entry.provider_id, image=entry.image),
            resolution=f"Remove 'api' from the entry, or write 'api: {found}'.",
        )


def located_in(error: SdkError, place: Where) -> SdkError:
    """The error, with file, line and column of ``place`` if it names no file."""
    if error.where.file is None:
        error.where = replace(error.where, file=place.file, line=place.line, column=place.column)
    return error


def _documents(path: Path, including: tuple[Path, ...]) -> Iterator[Document]:
    """The documents of a file: what it includes, then itself."""
    document = load_file(path)
    validation.require(document, SCHEMA, f"{path} is not a valid provider file", _CORRECT)
    chain = (*including, path.resolve())
    for index, text in enumerate(document.value.get("include") or ()):
        included = path.parent / text
        if included.resolve() in chain or len(chain) > _INCLUDES_LIMIT:
            raise SdkError(
                Code.FIELD_VALUE,
                f"{path} includes itself through {text}",
                why=" includes ".join(map(str, (*chain, included.resolve()))),
                where=document.where(("include", index)),
                resolution="Remove this entry of 'include'.",
            )
        try:
            yield from _documents(included, chain)
        except SdkError as error:
            if error.code is Code.FILE_MISSING and error.where.file == str(included):
                raise SdkError(
                    Code.FILE_MISSING,
                    f"{path} includes a file that does not exist: {text}",
                    why=f"It was looked for at {included}.",
                    where=document.where(("include", index)),
                    resolution="Correct the path; it is relative to the file that includes it.",
                ) from error
            raise
    yield document


def _resolved(server: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The server with its paths relative to the file that names them."""
    if "config" not in server:
        return dict(server)
    return {**server, "config": str(folder / server["config"])}


def _changed(before: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """``before`` with what ``change`` says."""
    result = dict(before)
    for key, value in change.items():
        for other in _EXCLUDING.get(key, ()):
            result.pop(other, None)
        # null is a value where there is nothing to patch
        patched = key in _PATCHED and isinstance(value, dict) and key in before
        result[key] = merge_patch(before[key], value) if patched else value
    return result


def merge_patch(value: object, patch: object) -> Any:
    """``value`` with a JSON Merge Patch applied (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for key, change in patch.items():
        if change is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), change)
    return result


def _require_images(entries: Iterable[_Entry], source: str) -> None:
    problems = [
        Problem(
            Code.FIELD_MISSING,
            f"provider '{entry.value['id']}' has no image",
            entry.where,
            "Add 'image' to this entry, or correct its 'id' if it is to change an included one.",
        )
        for entry in entries
        if "image" not in entry.value and entry.value.get("enabled", True)
    ]
    validation.refuse(problems, source, f"{source} is not a valid provider file", _CORRECT)


def _server(value: Mapping[str, Any], where: Where) -> ServerEntry:
    config, config_map = value.get("config"), value.get("configMap")
    given: dict[str, Any] = {
        "name": value.get("name"),
        "image": value.get("image"),
        "distribution": value.get("distribution"),
        "config": None if config is None else Path(config),
        "config_map": None
        if config_map is None
        else _reference("configMap", config_map, "run.yaml"),
        "config_path": value.get("configPath"),
        "command": _texts(value.get("command")),
        "args": _texts(value.get("args")) if "args" in value else None,
        "python": value.get("python"),
        "port": value.get("port"),
        "replicas": value.get("replicas"),
        "env": tuple(value.get("env") or ()),
        "pull_policy": value.get("pullPolicy"),
        "pull_secrets": _texts(value.get("imagePullSecrets")),
        "service_account": value.get("serviceAccountName"),
        "resources": value.get("resources"),
        "where": where,
    }
    return ServerEntry(**{name: found for name, found in given.items() if found is not None})


def _provider(value: Mapping[str, Any], where: Where) -> ProviderEntry:
    source = value.get("configFrom")
    reference = None
    if source:
        ((kind, found),) = source.items()
        reference = _reference(kind, found, "config.yaml")
    return ProviderEntry(
        value["id"],
        value["image"],
        value.get("api"),
        value.get("config"),
        reference,
        value.get("pullPolicy", "IfNotPresent"),
        _texts(value.get("imagePullSecrets")),
        value.get("resources") or {},
        where,
    )


def _reference(kind: str, value: Mapping[str, Any], key: str) -> ObjectReference:
    return ObjectReference(kind, value["name"], value.get("key", key))


def _texts(value: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(value or ())
