"""Where images come from and go to, as the command line writes it, in skopeo's words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lls_provider.errors import Code, SdkError
from lls_provider.image import archive, reference
from lls_provider.image.layout import (
    DEFAULT_TAG,
    parse_reference,
    read_layout,
    writable_target,
    write_layout,
)
from lls_provider.image.registry.pull import pull
from lls_provider.image.registry.push import RegistryTag
from lls_provider.progress import SILENT

if TYPE_CHECKING:
    from lls_provider.image.model import Image, Platform
    from lls_provider.progress import Progress

SCRATCH = "scratch"
_OCI = "oci:"
_OCI_ARCHIVE = "oci-archive:"
_DOCKER_ARCHIVE = "docker-archive:"
_REGISTRY = "docker://"
_OUTPUTS = (
    "docker://REGISTRY/NAME[:TAG], oci:DIR[:TAG], oci-archive:FILE[:TAG] or "
    "docker-archive:FILE[:NAME[:TAG]]"
)


class Output(Protocol):
    """A place that an image goes to; its text is what the command line takes."""

    def write(self, image: Image) -> str:
        """Write ``image`` there, whole or not at all; gives the digest that it is known by."""
        ...


@dataclass(frozen=True, slots=True)
class OciLayout:
    """An OCI layout to write, and the tag of the image in it."""

    directory: Path
    tag: str

    def __str__(self) -> str:
        return f"{_OCI}{self.directory}" + ("" if self.tag == DEFAULT_TAG else f":{self.tag}")

    def write(self, image: Image) -> str:
        """Write ``image`` there; gives its digest. Raises what `write_layout` raises."""
        return write_layout(image, self.directory, tag=self.tag)


def parse_output(text: str, *, insecure: bool = False, progress: Progress = SILENT) -> Output:
    """The place that ``--output`` names, refused before any work when it cannot be written.

    ``insecure`` does without TLS in a registry. Raises SdkError USAGE for another kind of place,
    TARGET_EXISTS.
    """
    if text.startswith(_REGISTRY):
        return RegistryTag(reference.tagged(text.removeprefix(_REGISTRY)), insecure, progress)
    kind, colon, place = text.partition(":")
    prefix = kind + colon
    if place and prefix == _OCI:
        directory, tag = parse_reference(place)
        writable_target(directory)
        return OciLayout(directory, tag or DEFAULT_TAG)
    if place and prefix == _OCI_ARCHIVE:
        path, tag = parse_reference(place)
        archive.writable_target(path)
        return archive.OciArchive(path, tag or DEFAULT_TAG)
    if place and prefix == _DOCKER_ARCHIVE:
        file, _, name = place.partition(":")  # as skopeo reads it: a path there has no colon
        archive.writable_target(Path(file))
        return archive.DockerArchive(Path(file), reference.tagged(name) if name else None)
    raise _unknown("--output", text, _OUTPUTS)


def read_base(
    text: str,
    platform: Platform | None = None,
    *,
    insecure: bool = False,
    progress: Progress = SILENT,
) -> Image | None:
    """The base image that ``--base`` names; None for ``scratch``.

    ``platform`` chooses where there are several. Raises SdkError USAGE for another kind of
    place, and what `read_layout` and `pull` raise.
    """
    if text == SCRATCH:
        return None
    if text.startswith(_REGISTRY):
        base = reference.parse(text.removeprefix(_REGISTRY))
        return pull(base, platform=platform, insecure=insecure, progress=progress)
    if not text.startswith(_OCI) or text == _OCI:
        raise _unknown("--base", text, "scratch, docker://REGISTRY/NAME[:TAG] or oci:DIR[:TAG]")
    directory, tag = parse_reference(text)
    return read_layout(directory, tag, platform=platform)


def read_image(
    text: str,
    platform: Platform | None = None,
    *,
    insecure: bool = False,
    progress: Progress = SILENT,
) -> Image:
    """The image that an argument names: a layout (``oci:DIR[:TAG]``, DIR) or a reference.

    Its layers are not read. Raises what `read_layout` and `pull` raise, and SdkError USAGE for a
    text that is neither a layout here nor a reference.
    """
    directory, tag = parse_reference(text)
    if text.startswith((_OCI, ".", "/")) or directory.is_dir():
        return read_layout(directory, tag, platform=platform, verify=False)
    named = reference.parse(text.removeprefix(_REGISTRY))
    return pull(named, platform=platform, insecure=insecure, progress=progress)


def _unknown(option: str, text: str, known: str) -> SdkError:
    return SdkError(
        Code.USAGE,
        f"{option} {text!r:.200} is no place this version knows",
        why=f"It takes {known}.",
        resolution="For an image elsewhere, copy it with skopeo: "
        "`skopeo copy SOURCE oci:DIR` or the other way round.",
    )
