"""The one image value: a configuration and layers, described before a byte of them is read.

Sinks ask a layer for its stream; what a stream's digest turns out to be is
remembered, so that a large layer is read once: hashed while it is written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lls_provider.errors import Code, SdkError, Where
from lls_provider.image import known
from lls_provider.image.media import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE
from lls_provider.image.tar import CHUNK, Tree

if TYPE_CHECKING:
    from lls_provider.image.platforms import Platform

JsonObject = dict[str, Any]


class Layer(Protocol):
    """A layer: its stored form (``digest``, ``size``) and its tar stream's (``diff_id``)."""

    @property
    def digest(self) -> str:
        """``sha256:…`` of the stored bytes; may read them all when nothing has yet."""
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
        """What the layer holds, for the history: ``dependency wheels``."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """The stored bytes; raises SdkError when they are not what was described."""
        ...


@dataclass(slots=True)
class TreeLayer:
    """A layer of ours: a plain tar of files that lie on this machine."""

    tree: Tree
    title: str
    media_type: str = LAYER_TYPE
    _digest: str = field(default="", init=False)
    _size: int = field(default=0, init=False)  # it takes a header of each file, and many ask
    _fingerprint: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._fingerprint = self.tree.fingerprint

    @property
    def size(self) -> int:
        """The length of the tar, from the sizes of its files."""
        self._size = self._size or self.tree.size
        return self._size

    @property
    def digest(self) -> str:
        """The digest; reads the files unless they were streamed before, or are known."""
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
        """The tar. Raises SdkError HASH_MISMATCH when it is not what it was the last time.

        Where that is not known, each file is compared whose hash was taken.
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
                known.forget(self._fingerprint)
            raise SdkError(
                Code.HASH_MISMATCH,
                f"The {self.title} changed while the image was written",
                why=f"The layer's digest was {self._digest} and is now {found}.",
                resolution="Build again and leave the bundle's files alone meanwhile.",
            )
        self._digest = found
        if unknown:
            known.remember(self._fingerprint, found)

    def _recall(self) -> None:
        if not self._digest and self._fingerprint:
            self._digest = known.recall(self._fingerprint)


@dataclass(frozen=True, slots=True)
class BlobLayer:
    """A layer that lies in a file, byte for byte as a manifest describes it.

    In an archive it begins at ``offset``; what follows its ``size`` bytes is not its own.
    """

    path: Path
    digest: str
    size: int
    media_type: str
    diff_id: str
    title: str = ""
    offset: int = 0

    def chunks(self) -> Iterator[bytes]:
        """The stored bytes. Raises SdkError IMAGE_INVALID when size or digest is not theirs."""
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

    ``config`` is the OCI image configuration without ``rootfs``, which follows from the
    layers. ``raw_manifest`` and ``raw_config`` are the exact bytes of an image that was read,
    None for one that was composed.
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
        """What a container starts (Entrypoint, then Cmd), empty for a data image."""
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
        """The manifest's media type; an image that was read keeps its own."""
        if self.raw_manifest is None:
            return MANIFEST_TYPE
        return str(json.loads(self.raw_manifest).get("mediaType") or MANIFEST_TYPE)

    @property
    def digest(self) -> str:
        """The manifest's digest, by which a registry knows the image."""
        return sha256(self.manifest_bytes())


def canonical(document: Mapping[str, Any] | list[JsonObject]) -> bytes:
    """JSON as we write it: sorted keys, no spaces, UTF-8, so that equal values are equal bytes."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8")


def sha256(data: bytes) -> str:
    """The OCI digest of ``data``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def descriptor(media_type: str, data: bytes) -> JsonObject:
    """The OCI descriptor of a blob."""
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}
