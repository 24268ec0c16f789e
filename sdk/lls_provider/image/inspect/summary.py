"""What an image says of itself: its manifest, configuration and labels, no layer read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lls_provider.image.compose import PREFIX
from lls_provider.image.image import ANNOTATION, Image
from lls_provider.image.transports.registry.referrers import LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lls_provider.image.image import JsonObject
    from lls_provider.image.manifest import Content

# our labels' names without their prefix, and what the document calls them
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


def inspection(
    content: Content, *, attached: Callable[[Image], bool | None] = lambda _image: None
) -> JsonObject:
    """An image, or an index with its images, as plain data.

    ``attached`` says whether a registry lists an SBOM of an image; None where no one could say.
    """
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
    """The image as plain data; ``provider`` is None where it carries no labels of ours."""
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
            for layer, title in zip(image.layers, titles(image), strict=True)
        ],
        "labels": image.labels,
    }


def _provider(labels: Mapping[str, str]) -> JsonObject | None:
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
    """A label's number; None for a foreign value."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else None


def titles(image: Image) -> list[str]:
    """What made each layer, from the history; empty where the history does not fit."""
    history = image.config.get("history")
    made = [
        str(it.get("created_by") or "")
        for it in (history if isinstance(history, list) else [])
        if isinstance(it, dict) and not it.get("empty_layer")
    ]
    return made if len(made) == len(image.layers) else [""] * len(image.layers)
