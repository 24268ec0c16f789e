"""The JSON documents of an image, which are somebody else's: each value checked when it is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.media import INDEX_TYPES, MANIFEST_TYPES
from lls_provider.image.model import JsonObject, sha256
from lls_provider.image.platforms import Platform
from lls_provider.image.reference import is_digest


@dataclass(frozen=True, slots=True)
class Source:
    """What an error says of where a document or a blob comes from."""

    name: str  # such as ``index.json``
    where: Where
    what: str = "The image layout is damaged or not supported"
    resolution: str = "Write the image again, or copy it anew with `skopeo copy`."

    def refuse(self, why: str) -> NoReturn:
        """Raise SdkError IMAGE_INVALID."""
        raise SdkError(
            Code.IMAGE_INVALID,
            self.what,
            why=f"{self.name}: {why}.",
            where=self.where,
            resolution=self.resolution,
        )


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob as a document describes it."""

    digest: str
    size: int
    media_type: str
    annotations: JsonObject
    platform: Platform | None

    @property
    def is_manifest(self) -> bool:
        """Whether it describes a manifest or an index, which registries keep apart from blobs."""
        return self.media_type in (*MANIFEST_TYPES, *INDEX_TYPES)

    def below(self, index: Descriptor) -> Descriptor:
        """As an entry of the index that ``index`` describes: it inherits annotations."""
        return replace(self, annotations={**index.annotations, **self.annotations})

    def verify(self, data: bytes, source: Source) -> None:
        """Refuse bytes that are not the ones described."""
        if len(data) != self.size:
            source.refuse(f"it has {len(data):,} bytes, its descriptor says {self.size:,}")
        if sha256(data) != self.digest:
            source.refuse(f"its content does not have the digest of its name, but {sha256(data)}")


@dataclass(frozen=True, slots=True)
class Document:
    """The exact bytes of a document, and where they come from."""

    data: bytes
    source: Source

    def refuse(self, why: str) -> NoReturn:
        """Raise SdkError IMAGE_INVALID naming the document."""
        self.source.refuse(why)

    def parse(self) -> JsonObject:
        """The JSON object that it is."""
        try:
            value = json.loads(self.data)
        except (ValueError, RecursionError) as error:
            self.refuse(f"it is no JSON: {error}")
        if not isinstance(value, dict):
            self.refuse("it is no JSON object")
        return value

    def descriptor(self, value: Any, name: str) -> Descriptor:
        """The descriptor ``value``, which the document calls ``name``."""
        if not isinstance(value, dict):
            self.refuse(f"{name} is no descriptor")
        digest, size, media_type = (value.get(key) for key in ("digest", "size", "mediaType"))
        if not isinstance(digest, str) or not is_digest(digest):
            self.refuse(f"{name}.digest is no sha256 digest: {str(digest)[:100]!r}")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            self.refuse(f"{name}.size is no size: {str(size)[:100]!r}")
        if not isinstance(media_type, str):
            self.refuse(f"{name}.mediaType is missing")
        platform = value.get("platform")
        return Descriptor(
            digest,
            size,
            media_type,
            self.strings(value.get("annotations"), f"{name}.annotations"),
            self.platform(platform) if isinstance(platform, dict) else None,
        )

    def platform(self, value: JsonObject) -> Platform:
        """The platform that an index entry or a configuration tells."""
        fields = [value.get(key, "") for key in ("architecture", "os", "variant")]
        architecture, system, variant = (it if isinstance(it, str) else "" for it in fields)
        if not architecture or not system:
            self.refuse("it does not tell its architecture and os")
        return Platform(architecture, system, variant)

    def diff_ids(self, config: JsonObject) -> list[str]:
        """The digests of the uncompressed layers, from a configuration."""
        rootfs = config.get("rootfs")
        diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if not isinstance(diff_ids, list) or not all(
            isinstance(it, str) and is_digest(it) for it in diff_ids
        ):
            self.refuse("rootfs.diff_ids is no list of sha256 digests")
        return diff_ids

    def check_runtime_config(self, config: JsonObject) -> None:
        """Refuse parts that we read or keep and that have another type than specified."""
        runtime = config.get("config")
        if runtime is None:
            return
        if not isinstance(runtime, dict):
            self.refuse("config is no object")
        self.strings(runtime.get("Labels"), "config.Labels")
        for key in ("Entrypoint", "Cmd", "Env"):
            value = runtime.get(key)
            if value is not None and not _string_list(value):
                self.refuse(f"config.{key} is no list of strings")

    def strings(self, value: Any, name: str) -> dict[str, Any]:
        """A map of strings, empty where there is none."""
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(_strings_only(list(value.values()))):
            self.refuse(f"{name} is no map of strings")
        return value


def _string_list(value: Any) -> bool:
    return isinstance(value, list) and all(_strings_only(value))


def _strings_only(values: list[Any]) -> Iterator[bool]:
    return (isinstance(value, str) for value in values)
