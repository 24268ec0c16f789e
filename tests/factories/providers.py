"""What a provider consists of: its spec's source, its metadata, its bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from tests.factories.wheels import module_of, wheel_name

from lls_provider.bundle.bundle import Bundle
from lls_provider.contract.models import BuildTarget, ProviderPackage

MakeBundle = Callable[..., Bundle]

METADATA_FILE = "lls-provider-spec.yaml"

# what a provider.py needs at the least to be one
NO_SPECS = "def get_provider_spec():\n    return []\n"

_PROVIDER = """\
class Spec:
    provider_type = "{provider_type}"
    api = "{api}"
    module = "{module}.provider"
    config_class = "{module}.provider.Config"


class Config:
    pass


async def get_adapter_impl(config, deps):
    return None


def get_provider_spec():
    return Spec()
"""


def provider_source(
    name: str = "acme-echo", *, provider_type: str = "", api: str = "inference"
) -> str:
    """A provider.py that needs no server's package: spec, config class and factory."""
    kind = provider_type or f"remote::{name}"
    return _PROVIDER.format(provider_type=kind, api=api, module=module_of(name))


def build_target(machine: str = "x86_64") -> BuildTarget:
    return BuildTarget("cp312", (f"manylinux_2_28_{machine}",), machine)


def provider_package(name: str = "acme-echo", **changes: Any) -> ProviderPackage:
    """What a build knows of a provider before its wheels have a place."""
    values: dict[str, Any] = {
        "name": name,
        "version": "1.0.0",
        "vendor": "Acme",
        "description": None,
        "maintainer": None,
        "package_name": module_of(name),
        "provider_type": f"remote::{name}",
        "api": "inference",
        "wheel_path": "",
    }
    return ProviderPackage(**values | changes)


def provider_document(
    name: str = "acme-echo", *, wheel: str = "", version: str = "1.0.0", **spec: Any
) -> dict[str, Any]:
    """A provider's metadata file, written out by hand; ``spec`` replaces or adds fields."""
    return {
        "apiVersion": "llamastack.io/v1alpha1",
        "kind": "ProviderPackage",
        "metadata": {"name": name, "version": version, "vendor": "Acme"},
        "spec": {
            "packageName": module_of(name),
            "providerType": f"remote::{name}",
            "api": "inference",
            "wheelPath": f"/lls-provider/packages/{wheel or wheel_name(name)}",
            **spec,
        },
    }


def manifest_document(root: Path, **changes: Any) -> dict[str, Any]:
    """The manifest that a bundle's files need, written out by hand."""
    files = {
        path.relative_to(root).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size": path.stat().st_size,
        }
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    return {
        "format": 1,
        "files": files,
        "target": {"python_tag": "cp312", "platforms": [], "machine": "x86_64"},
        "provided": {},
        "distributions": [],
        "overrides": [],
        "sdk": "0.1.0",
        "installed_size": 1,
    } | changes


def write_bundle(
    root: Path,
    wheels: Iterable[Path],
    document: Mapping[str, Any],
    manifest: Mapping[str, Any] | None = None,
) -> Path:
    """A bundle made by hand; with a manifest if there is a mapping of what it says besides."""
    packages = root / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    for wheel in wheels:
        if wheel.parent != packages:
            (packages / wheel.name).write_bytes(wheel.read_bytes())
    (root / METADATA_FILE).write_text(yaml.safe_dump(dict(document)))
    if manifest is not None:
        text = json.dumps(manifest_document(root, **manifest), indent=1, sort_keys=True)
        (root / "manifest.json").write_text(text + "\n")
    return root
