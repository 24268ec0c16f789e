"""Reads an image out of an OCI layout. The layout is somebody else's: everything is checked."""

from __future__ import annotations

import json
import os
import platform as host
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.media import (
    BLOBS,
    CONFIG_TYPES,
    GZIP_LAYER_TYPES,
    INDEX_FILE,
    INDEX_TYPES,
    LAYOUT_FILE,
    LAYOUT_VERSION,
    MANIFEST_TYPES,
    PLAIN_LAYER_TYPES,
    REF_NAME,
    ZSTD_LAYER_TYPE,
)
from lls_provider.image.model import (
    BlobLayer,
    Image,
    JsonObject,
    Platform,
    platform_of,
    sha256,
)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Documents of real images have kilobytes; registries stop at 4 MiB.
_DOCUMENT_LIMIT = 4 << 20
_LAYER_LIMIT = 1000
_NESTING_LIMIT = 4
_REWRITE = "Write the image again, or copy it anew with `skopeo copy`."


@dataclass(frozen=True, slots=True)
class _Descriptor:
    digest: str
    size: int
    media_type: str
    annotations: JsonObject
    platform: Platform | None


def read_layout(
    directory: Path,
    tag: str | None = None,
    *,
    platform: Platform | None = None,
    verify: bool = True,
) -> Image:
    """The image in the OCI layout ``directory``.

    When there are several, ``tag`` and ``platform`` choose (else this machine's platform).
    With ``verify`` every layer is read once and compared with its digest; without, that
    happens when its bytes are read. Raises SdkError FILE_MISSING when there is no layout,
    IMAGE_INVALID naming the file for everything that is wrong in it.
    """
    reader = _Reader(directory)
    reader.check_marker()
    chosen = reader.choose(tag, platform)
    image = reader.image(chosen)
    if verify:
        for layer in image.layers:
            for _ in layer.chunks():
                pass
    return image


class _Reader:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def check_marker(self) -> None:
        path = self.directory / LAYOUT_FILE
        if not path.is_file():
            raise SdkError(
                Code.FILE_MISSING,
                f"{self.directory} is no OCI layout",
                why=f"It has no file {LAYOUT_FILE}.",
                where=Where(file=str(path)),
                resolution="Name a layout as `lls-provider build --output oci:DIR` writes it.",
            )
        version = self._json(path, self._bytes(path)).get("imageLayoutVersion")
        if version != LAYOUT_VERSION:
            _refuse(path, f"imageLayoutVersion is {version!r}, not {LAYOUT_VERSION!r}")

    def choose(self, tag: str | None, platform: Platform | None) -> _Descriptor:
        """The one manifest that is meant."""
        path = self.directory / INDEX_FILE
        found = self._manifests(path, self._json(path, self._bytes(path)), 0)
        candidates = [it for it in found if tag is None or it.annotations.get(REF_NAME) == tag]
        if tag is not None and not candidates:
            tags = sorted({str(it.annotations.get(REF_NAME) or "(none)") for it in found})
            _refuse(path, f"there is no image tagged {tag!r}; the tags are: {', '.join(tags)}")
        if len(candidates) > 1:
            wanted = platform or platform_of(host.machine())
            candidates = [
                it
                for it in candidates
                if (actual := it.platform or self._config_platform(it))
                and (actual.os, actual.architecture) == (wanted.os, wanted.architecture)
            ]
            if len({it.digest for it in candidates}) > 1:
                _refuse(path, f"{len(candidates)} images for {wanted}; choose one by its tag")
            if not candidates:
                _refuse(path, f"none of the {len(found)} images is for {wanted}")
        if not candidates:
            _refuse(path, "the index lists no image")
        return candidates[0]

    def image(self, chosen: _Descriptor) -> Image:
        """The image behind a manifest's descriptor."""
        path, raw_manifest = self._blob(chosen)
        manifest = self._json(path, raw_manifest)
        described = self._descriptor(path, manifest.get("config"), "config")
        if described.media_type not in CONFIG_TYPES:
            _refuse(path, f"it is an artifact, no image: its config is {described.media_type}")
        layers = manifest.get("layers")
        if not isinstance(layers, list) or len(layers) > _LAYER_LIMIT:
            _refuse(path, f"layers is no list of at most {_LAYER_LIMIT} layers")
        config_path, raw_config = self._blob(described)
        config = self._json(config_path, raw_config)
        diff_ids = _diff_ids(config_path, config)
        if len(diff_ids) != len(layers):
            _refuse(
                config_path,
                f"rootfs.diff_ids has {len(diff_ids)} entries, the manifest {len(layers)} layers",
            )
        _check_runtime_config(config_path, config)
        return Image(
            {key: value for key, value in config.items() if key != "rootfs"},
            tuple(
                self._layer(path, value, diff_id, f"layers[{number}]")
                for number, (value, diff_id) in enumerate(zip(layers, diff_ids, strict=True))
            ),
            _strings(path, manifest.get("annotations"), "annotations"),
            _platform(config_path, config),
            raw_manifest=raw_manifest,
            raw_config=raw_config,
        )

    def _manifests(self, path: Path, index: JsonObject, depth: int) -> list[_Descriptor]:
        entries = index.get("manifests")
        if not isinstance(entries, list):
            _refuse(path, "manifests is no list")
        found: list[_Descriptor] = []
        for number, entry in enumerate(entries):
            described = self._descriptor(path, entry, f"manifests[{number}]")
            if described.media_type in INDEX_TYPES:
                if depth >= _NESTING_LIMIT:
                    _refuse(path, f"indexes are nested more than {_NESTING_LIMIT} deep")
                inner, data = self._blob(described)
                nested = self._manifests(inner, self._json(inner, data), depth + 1)
                found.extend(_inherit(described, it) for it in nested)
            elif described.media_type in MANIFEST_TYPES:
                # attestations that build tools put beside an image
                if described.platform is None or described.platform.os != "unknown":
                    found.append(described)
            else:
                _refuse(path, f"manifests[{number}] has an unknown type {described.media_type!r}")
        return found

    def _config_platform(self, manifest: _Descriptor) -> Platform:
        path, data = self._blob(manifest)
        described = self._descriptor(path, self._json(path, data).get("config"), "config")
        config_path, raw = self._blob(described)
        return _platform(config_path, self._json(config_path, raw))

    def _layer(self, path: Path, value: Any, diff_id: str, name: str) -> BlobLayer:
        described = self._descriptor(path, value, name)
        if described.media_type == ZSTD_LAYER_TYPE:
            raise SdkError(
                Code.IMAGE_INVALID,
                f"Layer {described.digest} is compressed with zstd, which is not supported",
                where=Where(file=str(path)),
                resolution="Convert the image: `skopeo copy --dest-compress-format gzip "
                "--dest-force-compress-format oci:OLD oci:NEW`.",
            )
        if described.media_type not in (*PLAIN_LAYER_TYPES, *GZIP_LAYER_TYPES):
            _refuse(path, f"{name} has an unknown type {described.media_type!r}")
        blob = self._blob_path(described)
        size = self._regular(blob).st_size
        if size != described.size:
            _refuse(blob, f"the layer has {size:,} bytes, the manifest says {described.size:,}")
        return BlobLayer(blob, described.digest, size, described.media_type, diff_id)

    def _descriptor(self, path: Path, value: Any, name: str) -> _Descriptor:
        if not isinstance(value, dict):
            _refuse(path, f"{name} is no descriptor")
        digest, size, media_type = (value.get(key) for key in ("digest", "size", "mediaType"))
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            _refuse(path, f"{name}.digest is no sha256 digest: {str(digest)[:100]!r}")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            _refuse(path, f"{name}.size is no size: {str(size)[:100]!r}")
        if not isinstance(media_type, str):
            _refuse(path, f"{name}.mediaType is missing")
        annotations = _strings(path, value.get("annotations"), f"{name}.annotations")
        platform = value.get("platform")
        return _Descriptor(
            digest,
            size,
            media_type,
            annotations,
            _platform(path, platform) if isinstance(platform, dict) else None,
        )

    def _blob_path(self, described: _Descriptor) -> Path:
        # the digest was matched against its pattern: it is no path
        return self.directory / BLOBS / "sha256" / described.digest.removeprefix("sha256:")

    def _blob(self, described: _Descriptor) -> tuple[Path, bytes]:
        path = self._blob_path(described)
        data = self._bytes(path)
        if len(data) != described.size:
            _refuse(path, f"it has {len(data):,} bytes, its descriptor says {described.size:,}")
        if sha256(data) != described.digest:
            _refuse(path, f"its content does not have the digest of its name, but {sha256(data)}")
        return path, data

    def _bytes(self, path: Path) -> bytes:
        if self._regular(path).st_size > _DOCUMENT_LIMIT:
            _refuse(path, f"it is larger than {_DOCUMENT_LIMIT:,} bytes")
        try:
            return path.read_bytes()
        except OSError as error:
            _refuse(path, f"it cannot be read: {error.strerror or error}")

    def _regular(self, path: Path) -> os.stat_result:
        try:
            status = path.stat()
        except OSError as error:
            _refuse(path, f"it is missing or cannot be read: {error.strerror or error}")
        if not stat.S_ISREG(status.st_mode):  # a named pipe would make us wait for ever
            _refuse(path, "it is no regular file")
        return status

    def _json(self, path: Path, data: bytes) -> JsonObject:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            _refuse(path, f"it is no JSON: {error}")
        if not isinstance(value, dict):
            _refuse(path, "it is no JSON object")
        return value


def _inherit(index: _Descriptor, manifest: _Descriptor) -> _Descriptor:
    return _Descriptor(
        manifest.digest,
        manifest.size,
        manifest.media_type,
        {**index.annotations, **manifest.annotations},
        manifest.platform,
    )


def _platform(path: Path, value: JsonObject) -> Platform:
    fields = [value.get(key, "") for key in ("architecture", "os", "variant")]
    architecture, system, variant = (field if isinstance(field, str) else "" for field in fields)
    if not architecture or not system:
        _refuse(path, "it does not tell its architecture and os")
    return Platform(architecture, system, variant)


def _diff_ids(path: Path, config: JsonObject) -> list[str]:
    rootfs = config.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or not all(
        isinstance(it, str) and _DIGEST.fullmatch(it) for it in diff_ids
    ):
        _refuse(path, "rootfs.diff_ids is no list of sha256 digests")
    return diff_ids


def _check_runtime_config(path: Path, config: JsonObject) -> None:
    """The parts that we read or keep have the types that the specification gives them."""
    runtime = config.get("config")
    if runtime is None:
        return
    if not isinstance(runtime, dict):
        _refuse(path, "config is no object")
    _strings(path, runtime.get("Labels"), "config.Labels")
    for key in ("Entrypoint", "Cmd", "Env"):
        value = runtime.get(key)
        if value is not None and not _string_list(value):
            _refuse(path, f"config.{key} is no list of strings")


def _string_list(value: Any) -> bool:
    return isinstance(value, list) and all(_strings_only(value))


def _strings_only(values: list[Any]) -> Iterator[bool]:
    return (isinstance(value, str) for value in values)


def _strings(path: Path, value: Any, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(_strings_only(list(value.values()))):
        _refuse(path, f"{name} is no map of strings")
    return value


def _refuse(path: Path, why: str) -> NoReturn:
    raise SdkError(
        Code.IMAGE_INVALID,
        "The image layout is damaged or not supported",
        why=f"{path.name}: {why}.",
        where=Where(file=str(path)),
        resolution=_REWRITE,
    )
