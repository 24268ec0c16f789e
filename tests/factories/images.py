"""OCI layouts written by hand, as any tool or any attacker might write them."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import io
import json
import sys
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

MakeLayout = Callable[..., Path]
Members = Sequence[tuple[tarfile.TarInfo | str, bytes]]

OCI = "application/vnd.oci.image"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def put_blob(layout: Path, data: bytes, media_type: str) -> dict[str, Any]:
    """Write a blob; returns what refers to it."""
    digest = digest_of(data)
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    (blobs / digest.removeprefix("sha256:")).write_bytes(data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def write_image(
    layout: Path,
    layers: Iterable[bytes],
    config: Mapping[str, Any],
    *,
    compress: str = "",
    manifest: Mapping[str, object] | None = None,
) -> Path:
    """A layout of one image; ``config`` and ``manifest`` are what is there besides."""
    described, diff_ids = [], []
    for layer in layers:
        suffix = f"+{compress}" if compress else ""
        described.append(put_blob(layout, PACKERS[compress](layer), f"{OCI}.layer.v1.tar{suffix}"))
        diff_ids.append(digest_of(layer))
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    document = {"architecture": "amd64", "os": "linux", "rootfs": rootfs, **config}
    image = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": put_blob(layout, json.dumps(document).encode(), f"{OCI}.config.v1+json"),
        "layers": described,
        **(manifest or {}),
    }
    listed = put_blob(layout, json.dumps(image).encode(), f"{OCI}.manifest.v1+json")
    index = {"schemaVersion": 2, "manifests": [listed]}
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return layout


def write_small_image(layout: Path, config: Mapping[str, Any], **manifest: object) -> Path:
    """A layout with one small layer, whose texts a test chooses."""
    return write_image(layout, [bytes(10240)], config, manifest=manifest)


def tar_bytes(members: Members) -> bytes:
    """A tar of these members; what is named only is a file, or a directory if it ends with "/"."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            if info.isreg():
                if info.name.endswith("/"):
                    info.type = tarfile.DIRTYPE
                else:
                    info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zstd(data: bytes) -> bytes:
    """Packed by the library that the tests install."""
    library = importlib.import_module(
        "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    )
    packed: bytes = library.compress(data)
    return packed


PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": zstd,
}
