"""An OCI layout written by hand, whose texts a test chooses."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def write_layout(layout: Path, config: dict[str, Any], **manifest: object) -> Path:
    """A layout with one small layer; ``config`` and ``manifest`` are what stands there besides."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        media_type = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    layer = put(bytes(10240), "layer.v1.tar")
    rootfs = {"type": "layers", "diff_ids": [layer["digest"]]}
    document = {"architecture": "amd64", "os": "linux", "rootfs": rootfs, **config}
    described = put(json.dumps(document).encode(), "config.v1+json")
    image = {"schemaVersion": 2, "config": described, "layers": [layer], **manifest}
    listed = put(json.dumps(image).encode(), "manifest.v1+json")
    index = {"schemaVersion": 2, "manifests": [listed]}
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return layout
