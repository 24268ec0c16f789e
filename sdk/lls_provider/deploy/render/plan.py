"""What is deployed: the providers in their order, and how each gets its configuration.

The order is that of the contract: API sections as section 1 lists them, then as the file has them,
so that a Pod rendered here and one made by an operator from the custom resource install alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lls_provider.contract.document import dump, load, read_bytes
from lls_provider.contract.limits import CONFIGURATION, document_limits
from lls_provider.contract.models import INIT_CONTAINER_PREFIX
from lls_provider.contract.names import APIS
from lls_provider.deploy.provider_file import ObjectReference
from lls_provider.errors import Code, SdkError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lls_provider.deploy.provider_file import ProviderEntry, ProviderFile, ServerEntry
    from lls_provider.deploy.render.images import (
        DeployedImages,
        ProviderImageFacts,
        ServerImageFacts,
    )
    from lls_provider.deploy.render.manifest_text import Manifest

ARGUMENT_LIMIT = 2048
"""Characters of a configuration as an argument; a larger one is mounted from a ConfigMap."""

CONFIG_MAP_LIMIT = 1 << 20
"""Bytes that Kubernetes lets a ConfigMap or a Secret hold."""

BASE_KEY = "run.yaml"
_CONFIG_KEY = "config.yaml"
_SECRET_KEY = re.compile(
    r"passw(or)?d|passphrase|secret|token|api[-_]?key|credential|private[-_]?key|access[-_]?key",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"passw(or)?d|passphrase|secret", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{env\.[^}]*\}")  # the server replaces it when it starts
_USERINFO = re.compile(r"://[^/\s:@]*:[^/\s@]+@")


@dataclass(frozen=True, slots=True)
class DeployedProvider:
    """A provider at its place: ``config`` is inline, ``mounted`` in a Secret or a ConfigMap."""

    entry: ProviderEntry
    image: ProviderImageFacts
    order: int
    config: Mapping[str, Any] | None = None
    mounted: ObjectReference | None = None

    @property
    def provider_id(self) -> str:
        """The provider's ID."""
        return self.entry.provider_id

    @property
    def api(self) -> str:
        """The API that it serves."""
        return self.image.api

    @property
    def container_name(self) -> str:
        """The name of its init container (contract section 2)."""
        return INIT_CONTAINER_PREFIX + self.provider_id


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """All that a manifest is made of. ``objects`` are ConfigMaps and Secrets to be created.

    ``base`` is where the base configuration is, None when it is taken from the distribution.
    """

    server: ServerEntry
    server_image: ServerImageFacts | None
    providers: tuple[DeployedProvider, ...]
    pull_secrets: tuple[str, ...]
    base: ObjectReference | None
    objects: tuple[Manifest, ...]

    @property
    def image(self) -> str:
        """The server's image; empty when the file names none."""
        return self.server_image.reference if self.server_image is not None else ""

    @property
    def installed_sizes(self) -> list[int | None]:
        """The installed size of each provider, None where its image does not say it."""
        return [provider.image.installed_size for provider in self.providers]


def plan_deployment(file: ProviderFile, images: DeployedImages) -> DeploymentPlan:
    """Decide the order of the providers and how their configurations reach them.

    A configuration is an argument of the init container when it is small and no secret. A large one
    becomes a ConfigMap, one with a secret in it a Secret. Raises SdkError FIELD_MISSING when no
    provider is enabled, FIELD_VALUE for a configuration that no ConfigMap can hold, and what
    reading the base configuration raises.
    """
    if not file.providers:
        raise SdkError(
            Code.FIELD_MISSING,
            f"{file.source} has no provider that is enabled",
            why="There is nothing to install into the Pod.",
            resolution="Add an entry to 'providers', or remove 'enabled: false' from one.",
        )
    name = file.server.name
    position = {api: index for index, api in enumerate(APIS)}
    paired = sorted(
        zip(file.providers, images.providers, strict=True),
        key=lambda pair: position.get(pair[1].api, len(position)),
    )
    objects: list[Manifest] = []
    providers = []
    for order, (entry, image) in enumerate(paired):
        config, mounted = entry.config, entry.config_from
        if config is not None and not fits_argument(config):
            kind = "secret" if holds_secret(config) else "configMap"
            mounted = ObjectReference(kind, f"{name}-{entry.provider_id}-config", _CONFIG_KEY)
            objects.append(_object(mounted, dump(dict(config)), str(entry.where.file)))
            config = None
        providers.append(DeployedProvider(entry, image, order, config, mounted))
    base = file.server.config_map
    if file.server.config is not None:
        base = ObjectReference("configMap", f"{name}-base-config", BASE_KEY)
        objects.insert(0, _object(base, read_base(file.server.config), str(file.server.config)))
    return DeploymentPlan(
        file.server, images.server, tuple(providers), file.pull_secrets, base, tuple(objects)
    )


def read_base(path: Path) -> str:
    """The text of a base configuration, as it is written, once it is known to be YAML.

    Raises SdkError FILE_MISSING, FILE_UNREADABLE, YAML_INVALID, YAML_LIMIT or DUPLICATE_KEY with
    the line, FIELD_TYPE when it is not a mapping.
    """
    limits = document_limits(CONFIGURATION)
    data = read_bytes(path, str(path), limits=limits)
    document = load(data, str(path), limits=limits)
    if not isinstance(document.value, dict):
        raise SdkError(
            Code.FIELD_TYPE,
            "The base configuration is not a mapping",
            where=document.where(),
            resolution="Name the configuration of a server, such as the distribution's run.yaml.",
        )
    return data.decode("utf-8-sig")


def fits_argument(config: Mapping[str, Any]) -> bool:
    """Whether a configuration may be an argument of a container.

    Arguments are shown by `kubectl describe` and are limited in size; Kubernetes replaces ``$(``
    and ``$$`` in them, which a file keeps.
    """
    text = argument(config)
    return (
        len(text) <= ARGUMENT_LIMIT
        and "$$" not in text
        and "$(" not in text
        and not (holds_secret(config))
    )


def argument(config: Mapping[str, Any]) -> str:
    """A configuration as the argument of ``--config``."""
    return json.dumps(config, ensure_ascii=False, separators=(",", ":"), default=str)


def holds_secret(value: Any, key: str = "") -> bool:
    """Whether a configuration has a password, a token or a login in a URL, written out.

    A reference such as ``${env.TOKEN}`` is none: the server replaces it.
    """
    if isinstance(value, Mapping):
        return any(holds_secret(item, str(name)) for name, item in value.items())
    if isinstance(value, (list, tuple, set)):
        return any(holds_secret(item, key) for item in value)
    if not isinstance(value, (str, bytes, int)) or isinstance(value, bool):
        return False
    text = _REFERENCE.sub("", value.decode("latin-1") if isinstance(value, bytes) else str(value))
    # max_tokens: 512 is no secret, password: 1234 is one
    secret = _PASSWORD if isinstance(value, int) else _SECRET_KEY
    return bool(text) and bool(secret.search(key) or _USERINFO.search(text))


def _object(reference: ObjectReference, text: str, source: str) -> Manifest:
    if len(text.encode()) >= CONFIG_MAP_LIMIT:
        raise SdkError(
            Code.FIELD_VALUE,
            f"A configuration of {source} is larger than 1 MiB",
            why="Kubernetes lets no ConfigMap or Secret hold more.",
            resolution="Make it smaller, or mount it by other means and name the file with the "
            "arguments of the server.",
        )
    secret = reference.kind == "secret"
    return {
        "apiVersion": "v1",
        "kind": "Secret" if secret else "ConfigMap",
        "metadata": {"name": reference.name},
        ("stringData" if secret else "data"): {reference.key: text},
    }


def missing(plan: DeploymentPlan, what: str, key: str, resolution: str) -> SdkError:
    """The error of a target that needs what the file's ``server`` does not say."""
    return SdkError(
        Code.FIELD_MISSING,
        what,
        why=f"The provider file has no 'server.{key}'.",
        where=plan.server.where,
        resolution=resolution,
    )


def names(providers: Iterable[DeployedProvider]) -> Sequence[str]:
    """The IDs, in their order."""
    return [provider.provider_id for provider in providers]
