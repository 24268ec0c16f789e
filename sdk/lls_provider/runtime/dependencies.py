"""The APIs that a spec says its provider needs, and what a configuration has of them.

A server gives each provider the implementations that its spec names in ``api_dependencies``, and
ends when one is not there. Read off `core/resolver.py` of llama-stack 0.2.22, 0.6.1, 0.7.3 and ogx
1.5.0: the routed APIs and their routing tables are there without a provider, unless the list
``apis`` leaves them out; every other API that a provider can implement needs one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from lls_provider.contract.apis import APIS
from lls_provider.contract.document import Document, dump
from lls_provider.runtime.references import resolved

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

REASON = "Missing API dependencies"
_MISSING = "Missing: "

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


@dataclass(frozen=True, slots=True)
class _Own:
    """A server's own provider of an API, with the least that it needs.

    It holds for versions from ``first`` up to, not including, ``below``. The stores that it names
    are those that the server has by default; ``needs`` are the APIs that it needs itself, but for
    those that the server routes.
    """

    server: NormalizedName
    api: str
    provider_type: str
    config: Mapping[str, Any]
    first: Version = _FIRST
    below: Version = _LAST
    needs: tuple[str, ...] = ()

    def entry(self) -> dict[str, Any]:
        """As it stands in a configuration."""
        name = self.provider_type.rpartition("::")[2]
        entry: dict[str, Any] = {"provider_id": name, "provider_type": self.provider_type}
        return {**entry, "config": dict(self.config)}


def _files(home: str, store: Mapping[str, str]) -> dict[str, Any]:
    return {"storage_dir": f"${{env.HOME}}/{home}/files", "metadata_store": dict(store)}


_LLAMA_STACK, _OGX = canonicalize_name("llama-stack"), canonicalize_name("ogx")
_STORES = Version("0.3.0.dev0")  # from there on stores are named, before they stand in each config
_RESPONSES = Version("0.7.0.dev0")  # an API of its own from there on
_FILES_STORE = {"backend": "sql_default", "table_name": "files_metadata"}
_SQLITE = {"type": "sqlite", "db_path": "${env.HOME}/.llama/files.db"}
_KEPT = {"responses": {"backend": "sql_default", "table_name": "responses"}}
_AGENTS = {"agent_state": {"backend": "kv_default", "namespace": "agents"}}

_OWN = (
    _Own(_LLAMA_STACK, "files", "inline::localfs", _files(".llama", _SQLITE), below=_STORES),
    _Own(_LLAMA_STACK, "files", "inline::localfs", _files(".llama", _FILES_STORE), first=_STORES),
    _Own(
        _LLAMA_STACK,
        "batches",
        "inline::reference",
        {"kvstore": {"backend": "kv_default", "namespace": "batches"}},
        first=_STORES,
        needs=("files",),
    ),
    _Own(
        _LLAMA_STACK,
        "responses",
        "inline::builtin",
        {"persistence": {**_AGENTS, **_KEPT}},
        first=_RESPONSES,
        needs=("files",),
    ),
    _Own(_OGX, "files", "inline::localfs", _files(".ogx", _FILES_STORE)),
    _Own(
        _OGX,
        "batches",
        "inline::reference",
        {"sqlstore": {"backend": "sql_default", "table_name": "batches"}},
        needs=("files",),
    ),
    _Own(_OGX, "responses", "inline::builtin", {"persistence": _KEPT}, needs=("files",)),
    _Own(
        _OGX,
        "messages",
        "inline::builtin",
        {"kvstore": {"backend": "kv_default", "namespace": "message_batches"}},
    ),
    _Own(_OGX, "interactions", "inline::builtin", {}),
)


def missing_apis(document: Document, needed: Iterable[str], env: Mapping[str, str]) -> list[str]:
    """The APIs of ``needed`` that a server with this configuration does not have, in their order.

    For a routing table that the list ``apis`` leaves out it is the API that it belongs to.
    """
    value: Mapping[str, Any] = document.value if isinstance(document.value, dict) else {}
    listed = value.get("apis") or None
    sections = value.get("providers")
    provided = {
        str(api)
        for api, entries in (sections.items() if isinstance(sections, dict) else ())
        for entry in entries or ()
        if isinstance(entry, dict) and resolved(entry.get("provider_id"), env) is not None
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


def smallest_provider(
    api: str, server: Mapping[NormalizedName, Version] | None
) -> dict[str, Any] | None:
    """The server's own provider of an API with the least that it needs, as an entry.

    None where none is known.
    """
    found = _own(api, server)
    return found.entry() if found is not None else None


def smallest_providers(apis: Iterable[str], pins: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The smallest provider of each API, and of what these need themselves.

    As far as they are known of a server with these pins.
    """
    server = {canonicalize_name(name): Version(version) for name, version in pins.items()}
    found: dict[str, dict[str, Any]] = {}
    left = list(apis)
    while left:
        own = _own(left.pop(0), server)
        if own is not None and own.api not in found:
            found[own.api] = own.entry()
            left += own.needs
    return found


def missing_in(message: str) -> list[str]:
    """The APIs that a message of preflight says are missing; empty for every other message."""
    if f"\nReason: {REASON}\n" not in message:
        return []
    line = next((it for it in message.splitlines() if it.startswith(_MISSING)), "")
    return [api for api in line.removeprefix(_MISSING).split(", ") if api]


def details(missing: Iterable[str]) -> str:
    """What the message says of the missing APIs."""
    return (
        f"{_MISSING}{', '.join(missing)}\n"
        "The spec names them in api_dependencies, and the configuration has no provider of them."
    )


def advice(missing: Iterable[str], server: Mapping[NormalizedName, Version] | None) -> str:
    """What to write into the base configuration so that the APIs are there."""
    known, unknown = {}, []
    for api in missing:
        entry = smallest_provider(api, server)
        if api in _ROUTED:
            unknown.append(f"add '{api}' to the list 'apis' of the base configuration")
        elif entry is None:
            unknown.append(f"add a provider of '{api}' to the base configuration, or install one")
        else:
            known[api] = [entry]
    parts = []
    if unknown:
        first, *rest = unknown
        parts.append("; ".join([first[0].upper() + first[1:], *rest]) + ".")
    if known:
        text = dump({"providers": known}).rstrip()
        parts.append("Add the server's own smallest provider to the base configuration:\n\n" + text)
    return "\n".join(parts)
