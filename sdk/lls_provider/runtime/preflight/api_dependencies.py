"""The APIs that a provider needs by its spec, and which of them a configuration has.

A server gives each provider the implementations that its spec names in ``api_dependencies``, and
ends if one does not exist. As in `core/resolver.py` of llama-stack 0.2.22, 0.6.1, 0.7.3 and
ogx 1.5.0, the routed APIs and their routing tables exist without a provider, unless the list
``apis`` leaves them out; every other API that a provider can implement needs one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from lls_provider.contract.document import Document, dump
from lls_provider.contract.names import APIS
from lls_provider.runtime.configuration import provider_entries, resolve_reference

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

REASON = "Missing API dependencies"
_DETAIL = "missing_apis"

# the routing table of each API that the server routes by itself
_ROUTED = {
    "inference": ("models",),
    "safety": ("shields",),
    "datasetio": ("datasets",),
    "scoring": ("scoring_functions",),
    "eval": ("benchmarks",),
    "tool_runtime": ("tool_groups",),
    "vector_io": ("vector_stores", "vector_dbs"),
}
_TABLES = {table: router for router, tables in _ROUTED.items() for table in tables}
_PROVIDABLE = frozenset({*APIS, "telemetry"} - _ROUTED.keys())


_FIRST, _LAST = Version("0"), Version("9999")


_LLAMA_STACK, _OGX = canonicalize_name("llama-stack"), canonicalize_name("ogx")
_STORES = Version("0.3.0.dev0")  # from this version on configurations name stores
_RESPONSES = Version("0.7.0.dev0")  # a separate API from this version on
_HOMES = {_LLAMA_STACK: ".llama", _OGX: ".ogx"}


@dataclass(frozen=True, slots=True)
class _Own:
    """A server's own provider of an API, with its smallest configuration.

    It applies to versions from ``first`` up to, not including, ``below``. ``config`` names backends
    of the server's storage as `_BACKENDS` does; ``needs`` are the APIs that it needs itself.
    """

    server: NormalizedName
    api: str
    provider_type: str
    config: Mapping[str, Any]
    first: Version = _FIRST
    below: Version = _LAST
    needs: tuple[str, ...] = ()

    def entry(self, backends: Mapping[str, str]) -> dict[str, Any]:
        """The entry for a configuration, with the names that backends have there."""
        name = self.provider_type.rpartition("::")[2]
        entry: dict[str, Any] = {"provider_id": name, "provider_type": self.provider_type}
        return {**entry, "config": _renamed(self.config, backends)}


# the backends of a server whose configuration names none: type and file
_BACKENDS = {
    "kv_default": ("kv_sqlite", "kvstore.db"),
    "sql_default": ("sql_sqlite", "sql_store.db"),
}


def _renamed(config: Mapping[str, Any], backends: Mapping[str, str]) -> dict[str, Any]:
    return {
        key: _renamed(value, backends)
        if isinstance(value, Mapping)
        else backends.get(value, value)
        if key == "backend"
        else value
        for key, value in config.items()
    }


def _sqlite(name: str) -> dict[str, str]:
    return {"type": "sqlite", "db_path": f"${{env.HOME}}/.llama/{name}.db"}


def _files(home: str, store: Mapping[str, str]) -> dict[str, Any]:
    return {"storage_dir": f"${{env.HOME}}/{home}/files", "metadata_store": dict(store)}


_FILES_STORE = {"backend": "sql_default", "table_name": "files_metadata"}
_BATCHES = ("files", "inference")
_KEPT = {"responses": {"backend": "sql_default", "table_name": "responses"}}
_AGENTS = {"agent_state": {"backend": "kv_default", "namespace": "agents"}}
_ANSWERING = ("files", "inference", "vector_io", "tool_runtime")

_OWN = (
    _Own(
        _LLAMA_STACK,
        "files",
        "inline::localfs",
        _files(".llama", _sqlite("files")),
        below=_STORES,
    ),
    _Own(
        _LLAMA_STACK,
        "batches",
        "inline::reference",
        {"kvstore": _sqlite("batches")},
        below=_STORES,
        needs=_BATCHES,
    ),
    _Own(
        _LLAMA_STACK, "telemetry", "inline::meta-reference", {"sinks": ["console"]}, below=_STORES
    ),
    _Own(
        _LLAMA_STACK,
        "agents",
        "inline::meta-reference",
        {"persistence_store": _sqlite("agents"), "responses_store": _sqlite("responses")},
        below=_STORES,
        needs=("inference", "safety", "vector_io", "tool_runtime"),
    ),
    _Own(_LLAMA_STACK, "files", "inline::localfs", _files(".llama", _FILES_STORE), first=_STORES),
    _Own(
        _LLAMA_STACK,
        "batches",
        "inline::reference",
        {"kvstore": {"backend": "kv_default", "namespace": "batches"}},
        first=_STORES,
        needs=_BATCHES,
    ),
    _Own(
        _LLAMA_STACK,
        "agents",
        "inline::meta-reference",
        {"persistence": {**_AGENTS, **_KEPT}},
        first=_STORES,
        below=_RESPONSES,
        needs=(*_ANSWERING, "safety"),
    ),
    _Own(
        _LLAMA_STACK,
        "responses",
        "inline::builtin",
        {"persistence": {**_AGENTS, **_KEPT}},
        first=_RESPONSES,
        needs=_ANSWERING,
    ),
    _Own(_OGX, "files", "inline::localfs", _files(".ogx", _FILES_STORE)),
    _Own(
        _OGX,
        "batches",
        "inline::reference",
        {"sqlstore": {"backend": "sql_default", "table_name": "batches"}},
        needs=_BATCHES,
    ),
    _Own(_OGX, "responses", "inline::builtin", {"persistence": _KEPT}, needs=_ANSWERING),
    _Own(
        _OGX,
        "messages",
        "inline::builtin",
        {"kvstore": {"backend": "kv_default", "namespace": "message_batches"}},
        needs=("inference",),
    ),
    _Own(
        _OGX,
        "interactions",
        "inline::builtin",
        {"store": {"backend": "sql_default", "table_name": "interactions"}},
        needs=("inference",),
    ),
    _Own(
        _OGX,
        "skills",
        "inline::builtin",
        {"persistence": {"backend": "kv_default", "namespace": "skills"}},
        needs=("files",),
    ),
)


def missing_apis(document: Document, needed: Iterable[str], env: Mapping[str, str]) -> list[str]:
    """The APIs of ``needed`` that a server with this configuration does not have, in their order.

    A routing table that the list ``apis`` leaves out is reported as the API that it belongs to.
    """
    listed = (document.value.get("apis") if isinstance(document.value, dict) else None) or None
    provided = {
        api
        for api, entries in provider_entries(document).items()
        if any(resolve_reference(entry.get("provider_id"), env) is not None for entry in entries)
    }
    found: dict[str, None] = {}
    for api in needed:
        routed = _TABLES.get(api, api)
        if routed in _ROUTED:
            if listed is not None and routed not in listed:
                found[routed] = None
        elif api in _PROVIDABLE and api not in provided:
            found[api] = None
    return list(found)


def _own(api: str, server: Mapping[NormalizedName, Version] | None) -> _Own | None:
    for it in _OWN:
        version = (server or {}).get(it.server)
        if it.api == api and version is not None and it.first <= version < it.below:
            return it
    return None


@dataclass(frozen=True, slots=True)
class Supply:
    """What to add to a configuration so that it has the APIs that a provider needs.

    ``entries`` are the server's own smallest providers by API, ``backends`` what is missing in its
    storage for them, ``listed`` APIs for the list ``apis``, and ``unknown`` the remaining APIs.
    """

    entries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    backends: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    listed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def joined(self, more: Supply) -> Supply:
        """What to add so that the configuration also has what ``more`` adds."""
        return Supply({**self.entries, **more.entries}, {**self.backends, **more.backends})

    def configuration(self) -> dict[str, Any]:
        """The entries and their storage, as they are in a configuration."""
        added: dict[str, Any] = {
            "providers": {api: [dict(entry)] for api, entry in self.entries.items()}
        }
        if self.backends:
            added["storage"] = {
                "backends": {name: dict(backend) for name, backend in self.backends.items()}
            }
        return added


def supply(
    missing: Iterable[str],
    server: Mapping[NormalizedName, Version] | None,
    document: Document,
    env: Mapping[str, str],
) -> Supply:
    """What to add for APIs that are missing in the configuration, and for what these need.

    ``server`` are the versions of the packages that the server runs with, if they are known.
    """
    found: dict[str, _Own] = {}
    listed: dict[str, None] = {}
    unknown: dict[str, None] = {}
    left = list(missing)
    while left:
        api = left.pop(0)
        own = _own(api, server)
        if api in _ROUTED:
            listed[api] = None
        elif own is None:
            unknown[api] = None
        elif api not in found:
            found[api] = own
            left += missing_apis(document, own.needs, env)
    names, lacking = _storage(document, {it for own in found.values() for it in _used(own.config)})
    entries = {api: own.entry(names) for api, own in found.items()}
    backends = {
        name: {"type": kind, "db_path": f"${{env.HOME}}/{_HOMES[own.server]}/{file}"}
        for own in found.values()
        for name in _used(own.config)
        if name in lacking
        for kind, file in (_BACKENDS[name],)
    }
    return Supply(entries, backends, tuple(listed), tuple(unknown))


def _used(config: Mapping[str, Any]) -> list[str]:
    """The backends that a config names."""
    found: list[str] = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            found += _used(value)
        elif key == "backend":
            found.append(value)
    return found


def _storage(document: Document, used: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """The names of the backends in a configuration, and the backends that are missing in it."""
    value = document.value.get("storage") if isinstance(document.value, dict) else None
    backends = value.get("backends") if isinstance(value, dict) else None
    if not isinstance(backends, dict):
        return {}, []  # the server has its own
    names: dict[str, str] = {}
    lacking: list[str] = []
    for name in used:
        family = _BACKENDS[name][0].partition("_")[0]
        fitting = [
            str(other)
            for other, it in backends.items()
            if isinstance(it, dict) and str(it.get("type")).startswith(f"{family}_")
        ]
        if name in fitting:
            continue
        if fitting:
            names[name] = fitting[0]
        else:
            lacking.append(name)
    return names, lacking


def missing_detail(missing: Iterable[str]) -> dict[str, list[str]]:
    """The ``detail`` of preflight's error about missing APIs."""
    return {_DETAIL: list(missing)}


def missing_in(detail: object) -> list[str]:
    """The APIs that the ``detail`` of an error says are missing; empty for every other detail.

    The ``detail`` may come from a process that imported a provider.
    """
    found = detail.get(_DETAIL) if isinstance(detail, dict) else None
    return [it for it in found if isinstance(it, str)] if isinstance(found, list) else []


def dependency_details(missing: Iterable[str]) -> str:
    """The details of the message about missing APIs."""
    return (
        f"Missing: {', '.join(missing)}\n"
        "The spec names them in api_dependencies, and the configuration has no provider of them."
    )


def dependency_advice(found: Supply) -> str:
    """What to add to the base configuration so that it has the APIs."""
    ways = [
        f"add a provider of '{api}' to the base configuration, or install one"
        for api in found.unknown
    ]
    ways += [f"add '{api}' to the list 'apis' of the base configuration" for api in found.listed]
    parts = []
    if ways:
        first, *rest = ways
        parts.append("; ".join([first[0].upper() + first[1:], *rest]) + ".")
    if found.entries:
        own = "provider" if len(found.entries) == 1 else "providers"
        text = dump(found.configuration()).rstrip()
        parts.append(f"Add the server's own smallest {own} to the base configuration:\n\n{text}")
    return "\n".join(parts)
