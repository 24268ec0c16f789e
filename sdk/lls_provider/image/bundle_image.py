"""The image of a bundle: `compose` makes it, `unpack` gets the bundle back from it.

The layers are base | runtime | dependency wheels | metadata | provider. Files that change rarely
come first, so a change in the provider's code changes only the last layer. The metadata names every
wheel, so with many of them it is larger than the provider's own wheel.

An image to unpack is untrusted. Only regular files and directories are created, all below the
destination, and links in the tree are refused, so no entry can reach outside. Layers are streamed,
and their digests are verified while reading. The base of an image of this SDK is not read: our
first layer hides its content.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from lls_provider.contract.names import IMAGE_ROOT, SBOM_FILE, ZIPAPP_FILE
from lls_provider.errors import Code, SdkError, Where
from lls_provider.image import layer_reader
from lls_provider.image.image import (
    ANNOTATION,
    OPAQUE,
    Image,
    Layer,
    Platform,
    TreeLayer,
    layer_titles,
    platform_of,
)
from lls_provider.image.layer_reader import LayerEntries, LayerEntry, Parts
from lls_provider.image.tar import CHUNK, LayerFile, LayerTree
from lls_provider.system.files import output_directory
from lls_provider.wheels.reproducible import source_date_epoch, timestamp

if TYPE_CHECKING:
    from lls_provider.bundle.bundle import Bundle

USER = "1001"
ENTRYPOINT = ("python3", "-I", "-S", f"{IMAGE_ROOT}/{ZIPAPP_FILE}", "install")
PREFIX = "io.llamastack.provider"
MADE_BY = "lls-provider: "  # in the history, before the title of a layer of this SDK
# podman sets no PATH when an image's configuration has none, and then finds no python3
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ROOT = IMAGE_ROOT[1:]
_NAME_LIMIT = 255
_DEPTH_LIMIT = 32
_REBUILD = "Rebuild the image; `lls-provider build` writes regular files and directories only."


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


@dataclass(frozen=True, slots=True)
class UnpackLimits(layer_reader.LayerLimits):
    """The limits beyond which an image is refused as hostile."""

    paths: int = 20_000  # files and directories in /lls-provider
    content: int = 64 << 30  # bytes of the files in /lls-provider


DEFAULT_LIMITS = UnpackLimits()


def unpack(image: Image, destination: Path, *, limits: UnpackLimits = DEFAULT_LIMITS) -> Path:
    """Write the image's ``/lls-provider`` tree as ``destination`` and return it.

    ``destination`` must be missing or empty; it appears when it is complete. Whiteouts of later
    layers are honoured; layers that ours hide are not read. Raises SdkError METADATA_MISSING when
    the image has no /lls-provider, IMAGE_INVALID for damaged layers and for links, devices, paths
    with ``..`` or too much content, TARGET_EXISTS, NO_SPACE, OUTPUT_UNWRITABLE.
    """
    require_empty(destination)
    with output_directory(destination, "the unpacked image") as staging:
        walk = LayerEntries(image, "The image cannot be unpacked", _REBUILD, limits)
        tree = _Tree(staging, limits, walk)
        if not _read_layers(image, tree, base_length(image)):
            tree.remove(())
            _read_layers(image, tree, 0)
        if () not in tree.owners:
            raise SdkError(
                Code.METADATA_MISSING,
                f"Missing {IMAGE_ROOT}/lls-provider-spec.yaml in the image",
                why=f"No layer has a directory {IMAGE_ROOT}: this is not a provider image "
                "(contract section 1).",
                resolution="Name an image that `lls-provider build` made, or build one.",
            )
    return destination


def require_empty(destination: Path) -> None:
    """Raise SdkError TARGET_EXISTS unless ``destination`` is missing or an empty directory."""
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise SdkError(
            Code.TARGET_EXISTS,
            f"{destination} exists and is not empty",
            where=Where(file=str(destination)),
            resolution="Choose another directory, or remove this one first.",
        )


def base_length(image: Image) -> int:
    """Return the number of the base's layers, from the history of this SDK's images; else 0."""
    ours = [number for number, it in enumerate(layer_titles(image)) if it.startswith(MADE_BY)]
    return ours[0] if ours else 0


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


def _read_layers(image: Image, tree: _Tree, first: int) -> bool:
    """Read the layers from ``first`` on; return False if that one does not hide the earlier ones.

    Whatever the history says, a base is skipped only if all of it is hidden.
    """
    for number in range(first, len(image.layers)):
        for entry in tree.walk.of_layer(number):
            _take(entry, tree)
        if first and number == first and not tree.hides_lower:
            return False
    return True


@dataclass(slots=True)
class _Tree:
    """The tree that the layers so far make, with the layer of every path."""

    root: Path
    limits: UnpackLimits
    walk: LayerEntries
    owners: dict[Parts, int] = field(default_factory=dict)
    content: int = 0
    hides_lower: bool = False  # a layer so far hides everything of lower layers

    @property
    def layer(self) -> int:
        return self.walk.layer

    def refuse(self, why: str) -> NoReturn:
        self.walk.refuse(why)

    def path(self, parts: Parts) -> Path:
        return self.root.joinpath(*parts)

    def make_directory(self, parts: Parts) -> None:
        """Make a directory and its parents; they replace files."""
        for length in range(len(parts) + 1):
            above = parts[:length]
            if above and not self.path(above).is_dir():
                self.remove(above)
                self.path(above).mkdir()
            self._claim(above)

    def file(self, parts: Parts, chunks: Iterator[bytes], executable: bool) -> None:
        """Write a regular file; it replaces what exists."""
        if not parts:
            self.refuse(f"{IMAGE_ROOT} is not a directory")
        self.make_directory(parts[:-1])
        if parts in self.owners:
            self.remove(parts)
        self._claim(parts)
        mode = 0o777 if executable else 0o666
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(self.path(parts), flags, mode), "wb", buffering=0) as stream:
            for chunk in chunks:
                self.content += len(chunk)
                if self.content > self.limits.content:
                    self.refuse(f"{IMAGE_ROOT} holds more than {self.limits.content:,} bytes")
                view = memoryview(chunk)
                while view:
                    view = view[stream.write(view) :]

    def _claim(self, parts: Parts) -> None:
        self.owners[parts] = self.layer
        if len(self.owners) > self.limits.paths:
            self.refuse(f"{IMAGE_ROOT} holds more than {self.limits.paths:,} paths")

    def remove(self, parts: Parts, *, only_below: bool = False) -> None:
        """Remove a path and everything below it, from any layer."""
        for known in [it for it in self.owners if it[: len(parts)] == parts]:
            if not (only_below and known == parts):
                del self.owners[known]
        path = self.path(parts)
        if path.is_dir():
            for child in path.iterdir() if only_below or not parts else [path]:
                shutil.rmtree(child) if child.is_dir() else child.unlink()
        elif not only_below:
            path.unlink(missing_ok=True)

    def whiteout(self, parts: Parts, *, below: bool) -> None:
        """Remove what lower layers have at ``parts`` (``below``: only under it)."""
        if not any(
            owner == self.layer and known[: len(parts)] == parts
            for known, owner in self.owners.items()
        ):
            self.remove(parts, only_below=below)
            return
        # this layer has already written something there: remove the lower layers' paths one by one
        deepest_first = sorted(self.owners, key=len, reverse=True)
        for known in deepest_first:
            older = self.owners[known] < self.layer
            if known[: len(parts)] == parts and older and not (below and known == parts):
                path = self.path(known)
                path.rmdir() if path.is_dir() else path.unlink()
                del self.owners[known]


def _take(entry: LayerEntry, tree: _Tree) -> None:
    member, parts = entry.member, entry.parts
    if not parts:
        return
    if (whiteout := entry.whiteout()) is not None:
        if whiteout.parts == () or whiteout.parts[0] == _ROOT:
            inside = whiteout.parts[1:]
            tree.hides_lower |= whiteout.below and whiteout.parts == (_ROOT,)
            if inside and inside[-1] in {"", ".", ".."}:
                tree.refuse(f"{entry.shown} is not a valid whiteout")
            tree.whiteout(inside, below=whiteout.below and bool(whiteout.parts))
        return
    if ".." in parts and _ROOT in parts:
        tree.refuse(f"{entry.shown} has '..' in its path")
    if parts[0] != _ROOT:
        return
    inside = parts[1:]
    too_long = any(len(os.fsencode(part)) > _NAME_LIMIT for part in inside)
    if too_long or len(inside) > _DEPTH_LIMIT or "\0" in member.name:
        tree.refuse(f"{entry.shown} has a name that cannot be a file's")
    if member.isdir():
        tree.make_directory(inside)
    elif member.islnk():
        _hard_link(entry, inside, tree)
    elif member.isreg():
        tree.file(inside, entry.chunks(), bool(member.mode & 0o111))
    else:
        kind = "a symbolic link" if member.issym() else "neither a file nor a directory"
        tree.refuse(f"{entry.shown} is {kind}")


def _hard_link(entry: LayerEntry, inside: Parts, tree: _Tree) -> None:
    """Copy the file that a hard link in the tree refers to; refuse any other link."""
    target = entry.link
    known = target[1:]
    if target[:1] != (_ROOT,) or known not in tree.owners or not tree.path(known).is_file():
        tree.refuse(f"{entry.shown} is a hard link to something outside {IMAGE_ROOT}")
    if known == inside:
        return
    with tree.path(known).open("rb") as source:
        executable = bool(os.fstat(source.fileno()).st_mode & 0o111)
        tree.file(inside, iter(lambda: source.read(CHUNK), b""), executable)
