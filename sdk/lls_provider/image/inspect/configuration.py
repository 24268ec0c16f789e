"""The configuration of a distribution, read from the layers of its image; nothing is executed."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError
from lls_provider.image.inspect.file_system import cached_facts, read_filesystem
from lls_provider.runtime.extract import candidates

if TYPE_CHECKING:
    from lls_provider.image.image import Image
    from lls_provider.image.layer_reader import Parts

_PASSES = 3  # a known path may be a link to a file elsewhere, which the next pass keeps


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file of an image: its path in a container, and what is in it."""

    path: str
    data: bytes


def image_configuration(image: Image, given: str | None = None) -> ImageFile:
    """Return what ``extract`` would copy in a container of ``image`` (contract section 2, phase 2).

    ``given`` is the path to take; what is at a known path is cached by the image's digest. Raises
    SdkError FILE_MISSING naming every path that was tried, and what reading the layers raises.
    """
    tried = candidates(image_variables(image), given)
    found = _look(image, tried) if given is not None else _cached(image, tried)
    if found is None:
        paths = "\n".join(f"  {path}" for path in tried)
        raise SdkError(
            Code.FILE_MISSING,
            "The distribution's image has no configuration "
            + ("at a known path" if given is None else f"at {given}"),
            why=f"Tried:\n{paths}",
            resolution="Name a configuration with --base-config FILE, or with 'config' of 'server' "
            "in the provider file.",
        )
    return found


def _cached(image: Image, tried: Sequence[str]) -> ImageFile | None:
    return cached_facts(
        image,
        "configurations",
        lambda: _look(image, tried),
        dump=lambda seen: (
            {}
            if seen is None
            else {"path": seen.path, "data": base64.b64encode(seen.data).decode()}
        ),
        load=lambda seen: (
            ImageFile(str(seen["path"]), base64.b64decode(seen["data"])) if seen else None
        ),
    )


def image_variables(image: Image) -> dict[str, str]:
    """The environment that the image sets."""
    variables = (image.config.get("config") or {}).get("Env") or ()
    found = dict(text.partition("=")[::2] for text in variables)
    return {name: str(value) for name, value in found.items()}


def _look(image: Image, tried: Sequence[str]) -> ImageFile | None:
    wanted = {_parts(path) for path in tried}
    for _ in range(_PASSES):
        files = read_filesystem(image, whole=wanted)
        resolved = {files.resolve(_parts(path)) for path in tried}
        if resolved <= wanted:
            break
        wanted |= resolved
    for path in tried:
        content = files.content(_parts(path))
        if content is not None:
            return ImageFile(path, content)
    return None


def _parts(path: str) -> Parts:
    return tuple(it for it in path.split("/") if it not in {"", "."})
