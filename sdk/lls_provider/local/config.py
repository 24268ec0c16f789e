"""Phase 2 on this machine: the base configuration that merge starts from.

In a Pod the distribution's image or a ConfigMap gives it (contract section 2). Here it is the
server line's smallest one or a file of the user's, made to listen on this machine only, with
the resources to register added.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.bundle.publish import writing
from lls_provider.contract.document import Document, dump, load_file
from lls_provider.contract.limits import CONFIGURATION, document_limits
from lls_provider.errors import Code, SdkError, Where
from lls_provider.local.sockets import HOST

if TYPE_CHECKING:
    from lls_provider.runtime.dependencies import Supply

Resources = Mapping[str, Sequence[Mapping[str, Any]]]
"""Resources to register by kind, such as ``{"models": [{"model_id": "echo", …}]}``."""

_TLS = ("tls_certfile", "tls_keyfile", "tls_cafile", "tls_config")
_REGISTERED = "registered_resources"


def read_base(path: Path) -> Document:
    """The base configuration of a user's file.

    Raises SdkError FILE_MISSING, FILE_UNREADABLE, YAML_INVALID and so on, with the line;
    DOCUMENT_INVALID when it is no mapping.
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
    """``base`` with resources to register added; one that is there already is not doubled.

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
    with writing(path, "the base configuration"):
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
