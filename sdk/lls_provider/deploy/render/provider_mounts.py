"""How providers' images and configurations reach a container: mounts, volumes, LLS_PROVIDERS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lls_provider.contract.names import IMAGE_ROOT
from lls_provider.operations.phase_commands import argument

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lls_provider.deploy.render.manifest_text import Manifest
    from lls_provider.deploy.render.plan import DeployedProvider
    from lls_provider.operations.provider_file import ObjectReference

PROVIDER_CONFIGS = "/etc/lls-provider"
IMAGE_VOLUMES = "/var/lib/lls-provider"
"""Below it each provider's image is mounted, when images are volumes."""


def mount(name: str, path: str, *, read_only: bool = False) -> Manifest:
    """A mount of a container."""
    entry: Manifest = {"name": name, "mountPath": path}
    return {**entry, "readOnly": True} if read_only else entry


def config_path(provider: DeployedProvider, mounted: ObjectReference) -> str:
    """Where the configuration of a provider is mounted."""
    return f"{PROVIDER_CONFIGS}/{provider.provider_id}/{mounted.key}"


def image_source(provider: DeployedProvider) -> str:
    """The bundle in a provider's image that is mounted."""
    return f"{IMAGE_VOLUMES}/{provider.provider_id}{IMAGE_ROOT}"


def image_mount(provider: DeployedProvider) -> Manifest:
    """The mount of a provider's image."""
    return mount(
        f"image-{provider.provider_id}", f"{IMAGE_VOLUMES}/{provider.provider_id}", read_only=True
    )


def config_mounts(providers: Iterable[DeployedProvider]) -> list[Manifest]:
    """The mounts of the configurations that are in Secrets and ConfigMaps."""
    return [
        mount(
            f"config-{provider.provider_id}",
            f"{PROVIDER_CONFIGS}/{provider.provider_id}",
            read_only=True,
        )
        for provider in providers
        if provider.mounted is not None
    ]


def image_volume(provider: DeployedProvider) -> Manifest:
    """A provider's image as a volume (Kubernetes 1.35; 1.31 with its feature gate)."""
    return {
        "name": f"image-{provider.provider_id}",
        "image": {
            "reference": provider.image.reference,
            "pullPolicy": provider.entry.pull_policy,
        },
    }


def config_volumes(providers: Iterable[DeployedProvider]) -> list[Manifest]:
    """The Secrets and ConfigMaps with providers' configurations, as volumes."""
    return [
        {"name": f"config-{provider.provider_id}", **_volume(provider.mounted)}
        for provider in providers
        if provider.mounted is not None
    ]


def _volume(reference: ObjectReference) -> Manifest:
    items = [{"key": reference.key, "path": reference.key}]
    if reference.kind == "secret":
        return {"secret": {"secretName": reference.name, "items": items}}
    return {"configMap": {"name": reference.name, "items": items}}


def provider_list(providers: Iterable[DeployedProvider], container: str = "") -> str:
    """The variable LLS_PROVIDERS: what the runtime is told of mounted images, on a line each.

    ``container`` is the init container that installs them, empty for the server's own.
    """
    entries = []
    for provider in providers:
        entry = {
            "id": provider.provider_id,
            "api": provider.api,
            "image": provider.image.reference,
            "source": image_source(provider),
        }
        if container:
            entry["container"] = container
        if provider.mounted is not None:
            entry["config_file"] = config_path(provider, provider.mounted)
        elif provider.config is not None:
            entry["config"] = argument(provider.config)
        entries.append(json.dumps(entry, ensure_ascii=False))
    return escaped_value("[\n" + ",\n".join(entries) + "\n]")


def escaped_value(text: str) -> str:
    """A text that Kubernetes reads as it is in a variable's value: ``$(`` and ``$$`` are syntax."""
    result = []
    for index, character in enumerate(text):
        following = text[index + 1 : index + 2]
        result.append("$$" if character == "$" and following in ("$", "(") else character)
    return "".join(result)
