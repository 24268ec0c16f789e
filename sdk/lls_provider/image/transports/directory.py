"""Writes the ``/lls-provider`` tree of images as directories, for tools that make images.

A Containerfile copies it; scanners read the SBOM in it. Commands read such a directory as a bundle.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.image.bundle_image import require_empty, unpack
from lls_provider.image.image import Image
from lls_provider.system.files import output_directory

if TYPE_CHECKING:
    from lls_provider.image.manifest import Content


@dataclass(frozen=True, slots=True)
class BundleDirectory:
    """A directory for the bundle of an image; for several one below it each, as ``linux-arm64``."""

    path: Path

    def __str__(self) -> str:
        return f"bundle:{self.path}"

    def write(self, content: Content) -> str:
        """Write the bundles; returns the digest of ``content``. Raises what `unpack` raises."""
        if isinstance(content, Image):
            unpack(content, self.path)
            return content.digest
        require_empty(self.path)
        with output_directory(self.path, "the bundles") as staging:
            for image in content.images:
                unpack(image, staging / str(image.platform).replace("/", "-"))
        return content.digest
