"""What is deployed: the providers in their order, and how each gets its configuration.

The order is that of the contract: API sections as section 1 lists them, then as the file has them,
so that a Pod rendered here and one made by an operator from the custom resource install alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lls_provider.contract.document import dump, load, read_bytes
from lls_provider.contract.limits import CONFIGURATION, document_limits
from lls_provider.contract.models import init_container
from lls_provider.errors import Code, SdkError
from lls_provider.operations.phase_commands import fits_argument, holds_secret, in_order
from lls_provider.operations.provider_file import ObjectReference, require_providers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lls_provider.deploy.render.images import (
        DeployedImages,
        ProviderImageFacts,
        ServerImageFacts,
    )
    from lls_provider.deploy.render.manifest_text import Manifest
    from lls_provider.operations.provider_file import ProviderEntry, ProviderFile, ServerEntry

CONFIG_MAP_LIMIT = 1 << 20
"""Bytes that Kubernetes lets a ConfigMap or a Secret hold."""

BASE_KEY = "run.yaml"
_CONFIG_KEY = "config.yaml"


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
        return init_container(self.provider_id)


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
    require_providers(file)
    name = file.server.name
    paired = in_order(zip(file.providers, images.providers, strict=True), lambda pair: pair[1].api)
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
