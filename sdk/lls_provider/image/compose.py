"""Makes the image of a bundle: base | runtime | dependency wheels | metadata | provider.

Files that change rarely come first, so a change in the provider's code changes only the last layer.
The metadata names every wheel, so with many of them it is larger than the provider's own wheel.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lls_provider.contract.names import IMAGE_ROOT, SBOM_FILE, ZIPAPP_FILE
from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.image import (
    ANNOTATION,
    OPAQUE,
    Image,
    Layer,
    Platform,
    TreeLayer,
    platform_of,
)
from lls_provider.image.tar import LayerFile, LayerTree
from lls_provider.wheels.reproducible import source_date_epoch, timestamp

if TYPE_CHECKING:
    from lls_provider.bundle.bundle import Bundle


USER = "1001"
ENTRYPOINT = ("python3", "-I", "-S", f"{IMAGE_ROOT}/{ZIPAPP_FILE}", "install")
PREFIX = "io.llamastack.provider"
MADE_BY = "lls-provider: "  # in the history, before the title of a layer of this SDK
# podman sets no PATH when an image's configuration has none, and then finds no python3
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def compose(bundle: Bundle, base: Image | None = None, *, base_name: str = "") -> Image:
    """Return the image of ``bundle`` on ``base``; without a base a data image (contract section 1).

    ``base_name`` is the base's name in a registry, so that tools can detect a newer base. No wheel
    is read: layers are described here and streamed later. Raises SdkError IMAGE_INVALID when the
    base is for another platform than the bundle, USAGE when SOURCE_DATE_EPOCH is not a number.
    """
    platform = _platform(bundle, base)
    epoch = source_date_epoch()
    ours = _layers(bundle, epoch, hiding=base is not None)
    created = timestamp(epoch)
    labels = _labels(bundle)
    config: dict[str, Any] = {
        "architecture": platform.architecture,
        "os": platform.os,
        "created": created,
        "config": _runtime_config(base, labels),
        "history": [
            *_base_history(base),
            *({"created": created, "created_by": f"{MADE_BY}{it.title}"} for it in ours),
        ],
    }
    if platform.variant:
        config["variant"] = platform.variant
    annotations = {name: value for name, value in labels.items() if name.startswith(ANNOTATION)}
    annotations[f"{ANNOTATION}.created"] = created
    if base is not None:
        annotations[f"{ANNOTATION}.base.digest"] = base.digest
        if base_name:
            annotations[f"{ANNOTATION}.base.name"] = base_name
    return Image(config, (*_base_layers(base), *ours), annotations, platform)


def _platform(bundle: Bundle, base: Image | None) -> Platform:
    manifest = bundle.manifest
    wanted = platform_of(manifest.target.machine) if manifest and manifest.target.machine else None
    if base is None:
        if wanted is None:
            raise SdkError(
                Code.BUNDLE_INVALID,
                "The bundle does not say which machine it is for",
                why="It has no manifest.json, so the image's platform is unknown.",
                where=Where(file=str(bundle.tree.manifest)),
                resolution="Name a base with --base; the image then gets the base's platform.",
            )
        return wanted
    if wanted is not None and (wanted.os, wanted.architecture) != (
        base.platform.os,
        base.platform.architecture,
    ):
        raise SdkError(
            Code.IMAGE_INVALID,
            f"The base image is for {base.platform}, the bundle for {wanted}",
            why="The base's Python could not run on the machine that the wheels were chosen for.",
            resolution=f"Choose a base for {wanted}, or build for {base.platform}.",
        )
    return base.platform


def _layers(bundle: Bundle, epoch: int, *, hiding: bool) -> tuple[Layer, ...]:
    """Return the layers of the bundle; the first can hide the base's directory of the same path.

    Every wheel below ``packages`` is installed, so a wheel of the base would be installed too.
    """
    tree, root = bundle.tree, bundle.root
    # hashing a few small files is as quick as a cache
    wheels = _entries(root, bundle.dependencies, bundle.hashes)
    metadata = _entries(root, [tree.spec, tree.fragment, tree.sbom])
    provider = _entries(root, [tree.manifest, tree.config_schema, bundle.own_wheel])
    # a time that changes with each commit would give unchanged files new layers
    groups = (
        ("runtime", _entries(root, [tree.zipapp]), 0),
        ("dependency wheels", wheels, 0),
        ("metadata", metadata, 0),
        ("provider", provider, epoch),
    )
    layers: list[Layer] = []
    for title, entries, mtime in groups:
        if entries and hiding and not layers:
            entries.append(LayerFile(f"{IMAGE_ROOT[1:]}/{OPAQUE}", Path(os.devnull), 0))
        if entries:
            layers.append(TreeLayer(LayerTree.of(entries, mtime), title))
    return tuple(layers)


def _entries(
    root: Path, paths: Iterable[Path], hashes: Mapping[str, str] = MappingProxyType({})
) -> list[LayerFile]:
    """Return the files that exist, with the hashes that are known."""
    entries = []
    for path in filter(Path.is_file, paths):
        place = path.relative_to(root).as_posix()
        mode = 0o755 if path.name == ZIPAPP_FILE else 0o644
        name, size = f"{IMAGE_ROOT[1:]}/{place}", path.stat().st_size
        entries.append(LayerFile(name, path, size, mode, hashes.get(place, "")))
    return entries


def _runtime_config(base: Image | None, labels: dict[str, str]) -> dict[str, Any]:
    config: dict[str, Any] = dict(base.config.get("config") or {}) if base is not None else {}
    # what the base starts or exposes does not apply to an installer
    for key in ("Cmd", "ExposedPorts", "Healthcheck", "OnBuild", "StopSignal", "Volumes"):
        config.pop(key, None)
    inherited = base.labels if base is not None else {}
    config["Labels"] = {
        **{name: value for name, value in inherited.items() if not name.startswith(ANNOTATION)},
        **labels,
    }
    config["User"] = USER
    config["WorkingDir"] = "/"
    if base is not None:
        config["Entrypoint"] = list(ENTRYPOINT)
        environment = list(config.get("Env") or [])
        if not any(variable.startswith("PATH=") for variable in environment):
            environment.append(_PATH)
        config["Env"] = environment
    return config


def _labels(bundle: Bundle) -> dict[str, str]:
    """Return the labels that `inspect` shows without reading a layer."""
    metadata, manifest = bundle.metadata, bundle.manifest
    labels = {
        f"{ANNOTATION}.title": metadata.name,
        f"{ANNOTATION}.version": metadata.version,
        f"{ANNOTATION}.vendor": metadata.vendor,
        f"{ANNOTATION}.description": metadata.description,
        f"{ANNOTATION}.authors": metadata.maintainer,
        f"{PREFIX}.id": bundle.provider_id,
        f"{PREFIX}.name": metadata.name,
        f"{PREFIX}.version": metadata.version,
        f"{PREFIX}.vendor": metadata.vendor,
        f"{PREFIX}.api": metadata.api,
        f"{PREFIX}.type": metadata.provider_type,
        f"{PREFIX}.module": metadata.package_name,
        f"{PREFIX}.wheels": str(len(bundle.wheels)),
    }
    if manifest is not None:
        labels |= {
            f"{PREFIX}.target.python": manifest.target.python_tag,
            f"{PREFIX}.target.machine": manifest.target.machine,
            f"{PREFIX}.distributions": ",".join(manifest.distributions),
            f"{PREFIX}.installed-size": str(manifest.installed_size),
            f"{PREFIX}.sdk": manifest.sdk,
        }
        if SBOM_FILE in manifest.files:
            labels[f"{PREFIX}.sbom"] = f"sha256:{manifest.files[SBOM_FILE].sha256}"
    return {name: value for name, value in labels.items() if value}


def _base_layers(base: Image | None) -> tuple[Layer, ...]:
    return base.layers if base is not None else ()


def _base_history(base: Image | None) -> list[Any]:
    if base is None:
        return []
    history = base.config.get("history")
    if isinstance(history, list) and history:
        return history
    # a history must have an entry for every layer: add one per layer of a base without history
    return [{"created_by": "base"} for _ in base.layers]
