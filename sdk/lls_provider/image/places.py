"""Where images come from and go to, as the command line writes it: ``scratch``, ``oci:DIR``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError
from lls_provider.image.layout import (
    DEFAULT_TAG,
    parse_reference,
    read_layout,
    writable_target,
    write_layout,
)

if TYPE_CHECKING:
    from lls_provider.image.model import Image, Platform

SCRATCH = "scratch"
_OCI = "oci:"


@dataclass(frozen=True, slots=True)
class Output:
    """An OCI layout to write, and the tag of the image in it."""

    directory: Path
    tag: str

    def __str__(self) -> str:
        return f"{_OCI}{self.directory}" + ("" if self.tag == DEFAULT_TAG else f":{self.tag}")

    def write(self, image: Image) -> str:
        """Write ``image`` there; gives its digest. Raises what `write_layout` raises."""
        return write_layout(image, self.directory, tag=self.tag)


def parse_output(text: str) -> Output:
    """``oci:DIR[:TAG]``, refused before any work when it cannot be written.

    Raises SdkError USAGE for another kind of place, TARGET_EXISTS.
    """
    if not text.startswith(_OCI) or text == _OCI:
        raise _unknown("--output", text, "oci:DIR, such as oci:build/image")
    directory, tag = parse_reference(text)
    writable_target(directory)
    return Output(directory, tag or DEFAULT_TAG)


def read_base(text: str, platform: Platform | None = None) -> Image | None:
    """The base image that ``--base`` names; None for ``scratch``.

    ``platform`` chooses where a layout holds several. Raises SdkError USAGE for another kind of
    place, and what `read_layout` raises.
    """
    if text == SCRATCH:
        return None
    if not text.startswith(_OCI) or text == _OCI:
        raise _unknown("--base", text, "scratch or oci:DIR[:TAG]")
    directory, tag = parse_reference(text)
    return read_layout(directory, tag, platform=platform)


def _unknown(option: str, text: str, known: str) -> SdkError:
    return SdkError(
        Code.USAGE,
        f"{option} {text!r:.200} is no place this version knows",
        why=f"It takes {known}.",
        resolution="For an image elsewhere, copy it with skopeo: "
        "`skopeo copy docker://REF oci:DIR` or the other way round.",
    )
