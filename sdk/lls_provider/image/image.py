"""The image as a value: a configuration and layers, described before any of their bytes is read.

Names (media types, annotations, platforms such as ``linux/amd64``) are those of the OCI
specifications. A transport reads a layer as a stream; the digest of the stream is kept, so a large
layer is read once. The tar headers and the hashes of the files determine a layer's bytes
(`LayerTree.fingerprint`), so with known hashes the digest comes from the cache. A stream is still
compared with it, and a wrong entry is removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.tar import CHUNK, LayerTree
from lls_provider.image.transports.registry.reference import is_digest
from lls_provider.system.cache import keep
from lls_provider.system.cache_sections import cache_section

_OCI = "application/vnd.oci.image"
_DOCKER = "application/vnd.docker"

MANIFEST_TYPE = f"{_OCI}.manifest.v1+json"
INDEX_TYPE = f"{_OCI}.index.v1+json"
CONFIG_TYPE = f"{_OCI}.config.v1+json"
LAYER_TYPE = f"{_OCI}.layer.v1.tar"
# the configuration of an artifact without one
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"

# the types that are read; layouts converted from Docker's format keep its types
INDEX_TYPES = (INDEX_TYPE, f"{_DOCKER}.distribution.manifest.list.v2+json")
MANIFEST_TYPES = (MANIFEST_TYPE, f"{_DOCKER}.distribution.manifest.v2+json")
CONFIG_TYPES = (CONFIG_TYPE, f"{_DOCKER}.container.image.v1+json")
PLAIN_LAYER_TYPES = (LAYER_TYPE, f"{_DOCKER}.image.rootfs.diff.tar")
GZIP_LAYER_TYPES = (f"{LAYER_TYPE}+gzip", f"{_DOCKER}.image.rootfs.diff.tar.gzip")
ZSTD_LAYER_TYPES = (f"{LAYER_TYPE}+zstd", f"{_DOCKER}.image.rootfs.diff.tar.zstd")

LAYOUT_FILE = "oci-layout"
LAYOUT_VERSION = "1.0.0"
INDEX_FILE = "index.json"
BLOBS = "blobs"

# a file that hides the content of its directory in lower layers
OPAQUE = ".wh..wh..opq"

ANNOTATION = "org.opencontainers.image"
REF_NAME = f"{ANNOTATION}.ref.name"


# from the names of `uname -m`, which wheels use, to those of Go, which images use
_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "i686": "386",
    "armv7l": "arm",
}
_MACHINES = {architecture: machine for machine, architecture in _ARCHITECTURES.items()}
# what other tools accept for the same platform
_SAME = {"arm64/v8": "arm64", "arm/v7": "arm"}
_TEXT = re.compile(r"linux/([a-z0-9_]+(?:/v[0-9]+)?)")


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """An architecture and an operating system."""

    architecture: str
    os: str = "linux"
    variant: str = ""

    def __str__(self) -> str:
        parts = (self.os, self.architecture, self.variant)
        return "/".join(part for part in parts if part)

    def to_document(self) -> dict[str, str]:
        """The platform object of an index."""
        document = {"architecture": self.architecture, "os": self.os}
        return document | ({"variant": self.variant} if self.variant else {})

    @property
    def machine(self) -> str:
        """The machine in the tags of wheels: ``aarch64`` of ``linux/arm64``."""
        return _MACHINES.get(self.architecture, self.architecture)

    def runs(self, other: Platform) -> bool:
        """Whether an image for ``other`` runs on this platform; variants are not compared."""
        return (self.os, self.architecture) == (other.os, other.architecture)


def platform_of(machine: str) -> Platform:
    """Return the platform of a wheel's machine: ``linux/arm64`` for ``aarch64``."""
    return Platform(_ARCHITECTURES.get(machine, machine))


def this_platform() -> Platform:
    """Return the platform of this machine."""
    return platform_of(os.uname().machine)


def parse_platforms(texts: Sequence[str]) -> tuple[Platform, ...]:
    """Return the platforms that ``texts`` name, unique and sorted; by default this machine's.

    Raises SdkError USAGE for a platform without wheels.
    """
    return tuple(sorted({_parsed(text) for text in texts})) or (this_platform(),)


def _parsed(text: str) -> Platform:
    match = _TEXT.fullmatch(text)
    name = match[1] if match else ""
    name = _ARCHITECTURES.get(name, _SAME.get(name, name))
    if name not in _MACHINES:
        raise SdkError(
            Code.USAGE,
            f"{text!r:.100} is not a platform that images are built for",
            why=f"They are: {', '.join(f'linux/{it}' for it in _MACHINES)}.",
            resolution="Name one of these, such as linux/arm64.",
        )
    return Platform(name)


def recall_digest(fingerprint: str) -> str:
    """Return the layer digest of a tree with this fingerprint; empty if it is unknown.

    Measured by benchmarks/tricks.py: without it a locked build of 92 packages takes 1.10 times as
    long.
    """
    try:
        text = _place(fingerprint).read_text("ascii")
    except (OSError, ValueError):
        return ""
    return text if is_digest(text) else ""


def remember_digest(fingerprint: str, digest: str) -> None:
    """Store a digest, if the cache is writable."""
    with contextlib.suppress(SdkError):
        keep(_place(fingerprint), digest.encode("ascii"))


def forget_digest(fingerprint: str) -> None:
    """Remove a digest that proved wrong."""
    with contextlib.suppress(OSError):
        _place(fingerprint).unlink(missing_ok=True)


def _place(fingerprint: str) -> Path:
    return cache_section("layers") / fingerprint


JsonObject = dict[str, Any]


class Layer(Protocol):
    """A layer: its stored form (``digest``, ``size``) and its tar stream's (``diff_id``)."""

    @property
    def digest(self) -> str:
        """``sha256:…`` of the stored bytes; may read all of them the first time."""
        ...

    @property
    def size(self) -> int:
        """The number of stored bytes."""
        ...

    @property
    def media_type(self) -> str:
        """How the tar stream is stored."""
        ...

    @property
    def diff_id(self) -> str:
        """``sha256:…`` of the uncompressed tar stream."""
        ...

    @property
    def title(self) -> str:
        """The content of the layer, for the history: ``dependency wheels``."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """The stored bytes; raises SdkError when they are not what was described."""
        ...


@dataclass(slots=True)
class TreeLayer:
    """A layer of this SDK: a plain tar of files on this machine."""

    tree: LayerTree
    title: str
    media_type: str = LAYER_TYPE
    _digest: str = field(default="", init=False)
    _fingerprint: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._fingerprint = self.tree.fingerprint

    @property
    def size(self) -> int:
        """The length of the tar, from the sizes of its files."""
        return self.tree.size

    @property
    def digest(self) -> str:
        """The digest; reads the files unless they were streamed before or it is in the cache."""
        self._recall()
        if not self._digest:
            for _ in self.chunks():
                pass
        return self._digest

    @property
    def diff_id(self) -> str:
        """The digest: the tar is stored as it is."""
        return self.digest

    def chunks(self) -> Iterator[bytes]:
        """Yield the tar. Raises SdkError HASH_MISMATCH if it differs from the known digest.

        Without a known digest, each file with a known hash is compared.
        """
        self._recall()
        unknown = bool(self._fingerprint) and not self._digest
        hasher = hashlib.sha256()
        for chunk in self.tree.verified() if unknown else self.tree.chunks():
            hasher.update(chunk)
            yield chunk
        found = f"sha256:{hasher.hexdigest()}"
        if self._digest and found != self._digest:
            if self._fingerprint:
                forget_digest(self._fingerprint)
            raise SdkError(
                Code.HASH_MISMATCH,
                f"The {self.title} changed while the image was written",
                why=f"The layer's digest was {self._digest} and is now {found}.",
                resolution="Build again and leave the bundle's files alone meanwhile.",
            )
        self._digest = found
        if unknown:
            remember_digest(self._fingerprint, found)

    def _recall(self) -> None:
        if not self._digest and self._fingerprint:
            self._digest = recall_digest(self._fingerprint)


@dataclass(frozen=True, slots=True)
class BlobLayer:
    """A layer in a file, byte for byte as a manifest describes it.

    In an archive it begins at ``offset`` and has ``size`` bytes.
    """

    path: Path
    digest: str
    size: int
    media_type: str
    diff_id: str
    title: str = ""
    offset: int = 0

    def chunks(self) -> Iterator[bytes]:
        """Yield the stored bytes. Raises SdkError IMAGE_INVALID when size or digest differs."""
        hasher = hashlib.sha256()
        left = self.size
        try:
            with self.path.open("rb", buffering=0) as stream:
                stream.seek(self.offset)
                while left and (chunk := stream.read(min(CHUNK, left))):
                    left -= len(chunk)
                    hasher.update(chunk)
                    yield chunk
        except OSError as error:
            raise self._wrong(f"it cannot be read: {error.strerror or error}") from error
        if left:
            raise self._wrong(f"it has {self.size - left:,} bytes, not {self.size:,}")
        found = f"sha256:{hasher.hexdigest()}"
        if found != self.digest:
            raise self._wrong(f"its digest is {found}")

    def _wrong(self, why: str) -> SdkError:
        return SdkError(
            Code.IMAGE_INVALID,
            f"Layer {self.digest} is damaged",
            why=f"The file that holds it is not what the manifest describes: {why}.",
            where=Where(file=str(self.path)),
            resolution="Write or copy the image again; it is incomplete or was changed.",
        )


@dataclass(frozen=True, slots=True)
class Image:
    """An image of one platform.

    ``config`` is the OCI image configuration without ``rootfs``, which the layers determine.
    ``raw_manifest`` and ``raw_config`` are the exact bytes of an image that was read, None for one
    that was composed.
    """

    config: Mapping[str, Any]
    layers: tuple[Layer, ...]
    annotations: Mapping[str, str]
    platform: Platform
    raw_manifest: bytes | None = None
    raw_config: bytes | None = None

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the configuration."""
        labels = (self.config.get("config") or {}).get("Labels") or {}
        return {str(name): str(value) for name, value in labels.items()}

    @property
    def command(self) -> tuple[str, ...]:
        """The command of a container (Entrypoint, then Cmd); empty for a data image."""
        runtime = self.config.get("config") or {}
        return (*(runtime.get("Entrypoint") or ()), *(runtime.get("Cmd") or ()))

    @property
    def size(self) -> int:
        """The stored bytes of all layers."""
        return sum(layer.size for layer in self.layers)

    def documents(self) -> tuple[bytes, ...]:
        """The blobs beside the layers: the configuration; needs the layers' digests."""
        return (self.config_bytes(),)

    def config_bytes(self) -> bytes:
        """The configuration blob; needs the layers' digests."""
        if self.raw_config is not None:
            return self.raw_config
        rootfs = {"type": "layers", "diff_ids": [layer.diff_id for layer in self.layers]}
        return canonical({**self.config, "rootfs": rootfs})

    def manifest_bytes(self) -> bytes:
        """The manifest; needs the layers' digests."""
        if self.raw_manifest is not None:
            return self.raw_manifest
        manifest: JsonObject = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(CONFIG_TYPE, self.config_bytes()),
            "layers": [
                {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}
                for layer in self.layers
            ],
        }
        if self.annotations:
            manifest["annotations"] = dict(self.annotations)
        return canonical(manifest)

    @property
    def media_type(self) -> str:
        """The manifest's media type; an image that was read keeps its type."""
        if self.raw_manifest is None:
            return MANIFEST_TYPE
        return str(json.loads(self.raw_manifest).get("mediaType") or MANIFEST_TYPE)

    @property
    def digest(self) -> str:
        """The manifest's digest, which identifies the image in a registry."""
        return sha256(self.manifest_bytes())


def layer_titles(image: Image) -> list[str]:
    """The command that made each layer, from the history; empty if the history does not match."""
    history = image.config.get("history")
    made = [
        str(it.get("created_by") or "")
        for it in (history if isinstance(history, list) else [])
        if isinstance(it, dict) and not it.get("empty_layer")
    ]
    return made if len(made) == len(image.layers) else [""] * len(image.layers)


def canonical(document: Mapping[str, Any] | list[JsonObject]) -> bytes:
    """Return canonical JSON: sorted keys, no spaces, UTF-8, so equal values are equal bytes."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8")


def sha256(data: bytes) -> str:
    """Return the OCI digest of ``data``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def descriptor(media_type: str, data: bytes) -> JsonObject:
    """Return the OCI descriptor of a blob."""
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}
