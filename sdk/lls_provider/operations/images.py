"""Pushes a finished image, and inspects one: its manifest, configuration and labels, no layers.

`Written` and `several` serve the other operations too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lls_provider.bundle.image_names import REGISTRY
from lls_provider.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from lls_provider.image.image import Image, JsonObject
    from lls_provider.image.manifest import Content

# label names without their prefix, with the key in the document
_TEXTS = {
    "id": "provider_id",
    "name": "name",
    "version": "version",
    "vendor": "vendor",
    "api": "api",
    "type": "provider_type",
    "module": "module",
    "target.python": "python_tag",
    "target.machine": "machine",
    "sdk": "sdk",
}
_NUMBERS = {"wheels": "wheels", "installed-size": "installed_size"}


@dataclass(frozen=True, slots=True)
class Written:
    """An output that an image was written to, and its digest there.

    ``to_send`` are the bytes of layers that a push would send, if it was only tried.
    """

    output: str
    digest: str
    to_send: int | None = None

    def to_document(self) -> dict[str, Any]:
        """Return the output as plain data, for ``--format json``."""
        sizes = {} if self.to_send is None else {"to_send": self.to_send}
        return {"output": self.output, "digest": self.digest, **sizes}


@dataclass(frozen=True, slots=True)
class PushResult:
    """The pushed tags, in the order of the arguments."""

    outputs: tuple[Written, ...]
    dry_run: bool = False

    def to_document(self) -> dict[str, Any]:
        """The result as plain data, for ``--format json``."""
        return {
            "dry_run": self.dry_run,
            "outputs": [written.to_document() for written in self.outputs],
        }


def push(
    image: str | os.PathLike[str] | Image,
    references: str | Sequence[str],
    *,
    dry_run: bool = False,
    insecure: bool = False,
    progress: Progress = SILENT,
) -> PushResult:
    """Push an image or an index, byte for byte, to each of ``references``.

    ``image`` is a name as `inspect` takes it, or an image that was read. Credentials are those of
    ``podman login``, ``docker login`` and ``skopeo login``; ``insecure`` accepts registries without
    verified TLS. With ``dry_run`` the registries are only asked what they lack. Raises SdkError:
    USAGE for an invalid name, IMAGE_MISSING, REGISTRY_DENIED, REGISTRY_FAILED, NETWORK and what
    reading the image raises. A tag whose push failed stays as it was.
    """
    from lls_provider.image.image import Image
    from lls_provider.image.transports.registry import preview, transfer
    from lls_provider.image.transports.registry.reference import tagged
    from lls_provider.image.transports.transport import find_image

    targets = [tagged(text.removeprefix(REGISTRY)) for text in several(references)]
    content = (
        image
        if isinstance(image, Image)
        else find_image(os.fspath(image), insecure=insecure, progress=progress).whole()
    )
    written = []
    for target in targets:
        if dry_run:
            progress.step(f"asking {target.registry} which layers it has")
            lacking = preview.bytes_to_push(content, target, insecure=insecure, progress=progress)
            written.append(Written(f"{REGISTRY}{target}", content.digest, lacking))
            continue
        progress.step(f"pushing to {target}")
        digest = transfer.push(content, target, insecure=insecure, progress=progress)
        written.append(Written(f"{REGISTRY}{target}", digest))
    return PushResult(tuple(written), dry_run)


@dataclass(frozen=True, slots=True)
class Inspection:
    """An image, or all images of an index, with the facts of their documents.

    ``name`` is the name that was given, ``digest`` that of the image or the index. ``facts`` are
    plain data; those of an index have a mapping for each image under ``images``.
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
    """Read the manifest, configuration and labels of ``image``.

    Of an index, the image for ``platform`` is read, or all are. An image is named as
    ``[docker://]REF``, ``docker-daemon:REF``, ``oci:DIR[:TAG]``, ``oci-archive:FILE[:TAG]``,
    ``docker-archive:FILE[:NAME]`` or by the path of a layout or an archive. Raises SdkError: USAGE
    for an invalid name or platform, IMAGE_MISSING, IMAGE_INVALID, REGISTRY_DENIED, REGISTRY_FAILED,
    DAEMON_FAILED or NETWORK.
    """
    from lls_provider.image.image import parse_platforms
    from lls_provider.image.manifest import Index
    from lls_provider.image.transports.registry.transfer import sbom_attached
    from lls_provider.image.transports.transport import find_image

    name = os.fspath(image)
    wanted = parse_platforms([platform])[0] if platform else None
    found = find_image(name, insecure=insecure, progress=progress)
    content = found.image(wanted) if wanted else found.whole()
    images = content.images if isinstance(content, Index) else (content,)
    facts = image_facts(content, attached=sbom_attached)
    return Inspection(name, content.digest, images, facts)


def several(
    values: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> tuple[str, ...]:
    """Return one value or several as a tuple; a string is one value, not its characters."""
    if isinstance(values, (str, os.PathLike)):
        return (os.fspath(values),)
    return tuple(os.fspath(value) for value in values)


def image_facts(
    content: Content, *, attached: Callable[[Image], bool | None] = lambda _image: None
) -> JsonObject:
    """Return an image, or an index with its images, as plain data.

    ``attached`` returns whether a registry lists an SBOM of an image; None if that is unknown.
    """
    from lls_provider.image.image import Image

    if isinstance(content, Image):
        return _image(content, attached(content))
    images = content.images
    return {
        "digest": content.digest,
        "media_type": content.media_type,
        "kind": "index",
        "platforms": [str(image.platform) for image in images],
        "images": [_image(image, attached(image)) for image in images],
    }


def _image(image: Image, attached: bool | None) -> JsonObject:
    """Return an image as plain data; ``provider`` is None if it has no provider labels."""
    from lls_provider.image.image import ANNOTATION, layer_titles
    from lls_provider.image.transports.registry.transfer import LABEL

    runtime = image.config.get("config") or {}
    return {
        "digest": image.digest,
        "media_type": image.media_type,
        "platform": str(image.platform),
        "kind": "runnable" if image.command else "data",
        "command": list(image.command),
        "user": str(runtime.get("User") or ""),
        "created": str(image.config.get("created") or ""),
        "base": image.annotations.get(f"{ANNOTATION}.base.digest"),
        "base_name": image.annotations.get(f"{ANNOTATION}.base.name"),
        "size": image.size,
        "provider": _provider(image.labels),
        "sbom": {"digest": image.labels.get(LABEL), "attached": attached},
        "layers": [
            {
                "digest": layer.digest,
                "size": layer.size,
                "media_type": layer.media_type,
                "title": title,
            }
            for layer, title in zip(image.layers, layer_titles(image), strict=True)
        ],
        "labels": image.labels,
    }


def _provider(labels: Mapping[str, str]) -> JsonObject | None:
    from lls_provider.image.bundle_image import PREFIX

    own = {
        name.removeprefix(f"{PREFIX}."): value
        for name, value in labels.items()
        if name.startswith(f"{PREFIX}.")
    }
    if not own:
        return None
    provider: JsonObject = {key: own.get(name) for name, key in _TEXTS.items()}
    provider |= {key: _number(own.get(name)) for name, key in _NUMBERS.items()}
    provider["distributions"] = [it for it in own.get("distributions", "").split(",") if it]
    return provider


def _number(text: str | None) -> int | None:
    """Return the number in a label; None for any other value."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else None
