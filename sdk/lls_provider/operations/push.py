"""Pushes an image that is built already into registries."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
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
    from lls_provider.image.transports.registry import push as registry
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
        digest = registry.push(content, target, insecure=insecure, progress=progress)
        written.append(Written(f"{_REGISTRY}{target}", digest))
    return PushResult(tuple(written))
