"""The base configuration of phase 2 on this machine.

A Pod takes it from the distribution's image or a ConfigMap (contract section 2). Here it is the
server line's smallest one, a file of the user's, or for a provider file that of the server's image.
It is changed to listen on this machine only, and the resources to register and the APIs that
preflight missed are added.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.contract.document import Document, dump, load, load_file
from lls_provider.contract.limits import CONFIGURATION, document_limits
from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.inspect.configuration import image_configuration, image_variables
from lls_provider.local.call import HOST
from lls_provider.operations.provider_file import located_in
from lls_provider.system.files import wrapping_write_errors

if TYPE_CHECKING:
    from lls_provider.image.image import Image
    from lls_provider.operations.provider_file import ServerEntry
    from lls_provider.project.settings import Settings
    from lls_provider.runtime.preflight.api_dependencies import Supply

Resources = Mapping[str, Sequence[Mapping[str, Any]]]
"""Resources to register by kind, such as ``{"models": [{"model_id": "echo", …}]}``."""

_VARIABLE = re.compile(r"\$\{env\.(\w+)")
_TLS = ("tls_certfile", "tls_keyfile", "tls_cafile", "tls_config")
_REGISTERED = "registered_resources"


def read_base(path: Path) -> Document:
    """Read the base configuration from a user's file.

    Raises SdkError FILE_MISSING, FILE_UNREADABLE, YAML_INVALID and so on, with the line;
    DOCUMENT_INVALID when it is not a mapping.
    """
    return _checked(load_file(path, limits=document_limits(CONFIGURATION)))


@dataclass(frozen=True, slots=True)
class ChosenBase:
    """A base configuration, None for the smallest one, and the image's variables that it names."""

    value: Mapping[str, Any] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


def chosen_base(path: Path | None, image: Image | None, entry: ServerEntry | None) -> ChosenBase:
    """Return the configuration of a file, else that in the layers of the server's image.

    ``entry`` names the image in a provider file. Raises what `read_base` and `image_configuration`
    raise, with the place in the provider file.
    """
    if path is not None:
        return ChosenBase(read_base(path).value)
    if image is None or entry is None:
        return ChosenBase()
    try:
        base = _base_of_image(image, entry.config_path).value
    except SdkError as error:
        raise located_in(error, entry.where).located(image=entry.image) from error
    return ChosenBase(base, named_variables(base, image))


def _base_of_image(image: Image, path: str | None) -> Document:
    found = image_configuration(image, path)
    return _checked(load(found.data, found.path, limits=document_limits(CONFIGURATION)))


def named_variables(base: object, image: Image) -> dict[str, str]:
    """Return the variables of the image that its configuration refers to (``${env.NAME}``).

    The others, such as PATH, are about the image's files.
    """
    names = set(_VARIABLE.findall(dump(base)))
    return {name: value for name, value in image_variables(image).items() if name in names}


def _checked(document: Document) -> Document:
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


def requested_resources(
    providers: Sequence[tuple[str, Settings | None]],
    given: Sequence[tuple[str, Mapping[str, Any]]],
) -> Resources:
    """Return the resources of all projects, then those of the command line.

    ``providers`` are IDs with the settings of their projects. A resource of the command line that
    names no provider belongs to the one provider, if it is alone.
    """
    groups: list[Resources] = [
        of_provider(settings.up.resources, provider_id)
        for provider_id, settings in providers
        if settings is not None
    ]
    for kind, resource in given:
        group = {kind: [resource]}
        groups.append(of_provider(group, providers[0][0]) if len(providers) == 1 else group)
    return joined(groups)


def write_base(config: Mapping[str, Any], path: Path) -> None:
    """Write ``base-config/run.yaml``. Raises SdkError NO_SPACE or OUTPUT_UNWRITABLE."""
    with wrapping_write_errors(path, "the base configuration"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dump(dict(config)), "utf-8")


def _wrong(document: Document, path: Sequence[str | int], why: str) -> SdkError:
    where = document.where(path) if path else Where(file=document.source)
    return SdkError(
        Code.DOCUMENT_INVALID,
        "The base configuration is not a server's configuration",
        why=why,
        where=where,
        resolution="Correct the file, or name another with --base-config FILE.",
    )
