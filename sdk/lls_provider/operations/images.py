"""Pushes an image that is built already; reads what an image says of itself without its layers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lls_provider.operations.values import Written, several
from lls_provider.progress import SILENT, Progress

if TYPE_CHECKING:
    from lls_provider.image.image import Image


_REGISTRY = "docker://"


@dataclass(frozen=True, slots=True)
class PushResult:
    """The tags that were pushed, in the order in which they were named."""

    outputs: tuple[Written, ...]

    def to_document(self) -> dict[str, Any]:
        """The result as plain data, for ``--format json``."""
        return {"outputs": [written.to_document() for written in self.outputs]}


def push(
    image: str | os.PathLike[str] | Image,
    references: str | Sequence[str],
    *,
    insecure: bool = False,
    progress: Progress = SILENT,
) -> PushResult:
    """Push an image or an index, byte for byte, to each of ``references``.

    ``image`` is named as `inspect` takes it, or is a value that was read. Credentials are those of
    ``podman login``, ``docker login`` and ``skopeo login``; ``insecure`` does without verified TLS.
    Raises SdkError: USAGE for a name that cannot be read, IMAGE_MISSING, REGISTRY_DENIED,
    REGISTRY_FAILED, NETWORK and what reading the image raises. A tag whose push failed stays as
    it was.
    """
    from lls_provider.image.image import Image
    from lls_provider.image.transports.registry import transfer
    from lls_provider.image.transports.registry.reference import tagged
    from lls_provider.image.transports.transport import find_image

    targets = [tagged(text.removeprefix(_REGISTRY)) for text in several(references)]
    content = (
        image
        if isinstance(image, Image)
        else find_image(os.fspath(image), insecure=insecure, progress=progress).whole()
    )
    written = []
    for target in targets:
        progress.step(f"pushing to {target}")
        digest = transfer.push(content, target, insecure=insecure, progress=progress)
        written.append(Written(f"{_REGISTRY}{target}", digest))
    return PushResult(tuple(written))


@dataclass(frozen=True, slots=True)
class Inspection:
    """An image, or all images of an index, and what they say of themselves.

    ``name`` is how it was named, ``digest`` that of the image or of the index. ``facts`` are
    plain data, with a mapping for each image of an index below ``images``.
    """

    name: str
    digest: str
    images: tuple[Image, ...]
    facts: Mapping[str, Any] = field(repr=False)

    @property
    def is_provider(self) -> bool:
        """Whether an image carries the labels of a provider."""
        described = self.facts.get("images", [self.facts])
        return any(image["provider"] for image in described)

    def to_document(self) -> dict[str, Any]:
        """The result as plain data, for ``--format json``."""
        return {"image": self.name, **self.facts}


def inspect(
    image: str | os.PathLike[str],
    *,
    platform: str | None = None,
    insecure: bool = False,
    progress: Progress = SILENT,
) -> Inspection:
    """Read what ``image`` says of itself; of an index the image for ``platform``, or all.

    It is named as ``[docker://]REF``, ``docker-daemon:REF``, ``oci:DIR[:TAG]``,
    ``oci-archive:FILE[:TAG]``, ``docker-archive:FILE[:NAME]`` or by the path of a layout or an
    archive. Raises SdkError: USAGE for a name or a platform that cannot be read, IMAGE_MISSING,
    IMAGE_INVALID, REGISTRY_DENIED, REGISTRY_FAILED, DAEMON_FAILED or NETWORK.
    """
    from lls_provider.image.image import parse_platforms
    from lls_provider.image.inspect.summary import inspection
    from lls_provider.image.manifest import Index
    from lls_provider.image.transports.registry.transfer import sbom_attached
    from lls_provider.image.transports.transport import find_image

    name = os.fspath(image)
    wanted = parse_platforms([platform])[0] if platform else None
    found = find_image(name, insecure=insecure, progress=progress)
    content = found.image(wanted) if wanted else found.whole()
    images = content.images if isinstance(content, Index) else (content,)
    facts = inspection(content, attached=sbom_attached)
    return Inspection(name, content.digest, images, facts)
