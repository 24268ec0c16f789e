"""The SBOM of an image, found in its layer and made an artifact that refers to the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lls_provider.bundle.sbom import MEDIA_TYPE
from lls_provider.contract.paths import IMAGE_ROOT, SBOM_FILE
from lls_provider.image.compose import PREFIX
from lls_provider.image.media import (
    ANNOTATION,
    EMPTY,
    EMPTY_TYPE,
    MANIFEST_TYPE,
    PLAIN_LAYER_TYPES,
)
from lls_provider.image.model import TreeLayer, canonical, descriptor, sha256
from lls_provider.image.tar import find_member

if TYPE_CHECKING:
    from lls_provider.image.model import Image, JsonObject

LABEL = f"{PREFIX}.sbom"
_PLACE = f"{IMAGE_ROOT[1:]}/{SBOM_FILE}"
_LAYER = -2  # the metadata's: only the provider's own comes after it
_LIMIT = 16 << 20


@dataclass(frozen=True, slots=True)
class Artifact:
    """A document that refers to an image: its manifest and the blobs that this names."""

    type: str
    manifest: bytes
    blobs: tuple[bytes, ...]

    @property
    def described(self) -> JsonObject:
        """Its entry in a list of referrers."""
        return {**descriptor(MANIFEST_TYPE, self.manifest), "artifactType": self.type}


def read_sbom(image: Image) -> bytes | None:
    """The SBOM that ``image`` says it has, where we put it; None when it is not there.

    Raises what reading its layer raises.
    """
    told = image.labels.get(LABEL)
    if told is None or len(image.layers) < -_LAYER:
        return None
    layer = image.layers[_LAYER]
    data: bytes | None = None
    if isinstance(layer, TreeLayer):
        data = layer.tree.read(_PLACE)
    elif layer.media_type in PLAIN_LAYER_TYPES:
        data = find_member(layer.chunks(), _PLACE, limit=_LIMIT)
    return data if data is not None and sha256(data) == told else None


def sbom_artifact(image: Image) -> Artifact | None:
    """What attaches the SBOM to ``image``; equal images have equal artifacts."""
    data = read_sbom(image)
    if data is None:
        return None
    manifest: JsonObject = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": MEDIA_TYPE,
        "config": descriptor(EMPTY_TYPE, EMPTY),
        "layers": [
            {**descriptor(MEDIA_TYPE, data), "annotations": {f"{ANNOTATION}.title": SBOM_FILE}}
        ],
        "subject": descriptor(image.media_type, image.manifest_bytes()),
    }
    created = image.config.get("created")
    if isinstance(created, str):
        manifest["annotations"] = {f"{ANNOTATION}.created": created}
    return Artifact(MEDIA_TYPE, canonical(manifest), (EMPTY, data))
