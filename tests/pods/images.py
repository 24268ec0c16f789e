"""Images for the Pods, in the registry of the tests: servers, and providers of the real build."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.engines import distribution
from tests.factories.providers import manifest_document

from lls_provider.bundle.bundle import read_bundle
from lls_provider.contract.models import BundleManifest, read_manifest
from lls_provider.contract.names import BundleTree
from lls_provider.image.bundle_image import compose, unpack
from lls_provider.image.transports.layout import read_layout
from lls_provider.image.transports.transport import find_image
from lls_provider.operations.images import push

if TYPE_CHECKING:
    from tests.engines.distribution import ServerLine

    from lls_provider.image.image import Image

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
SAMPLES = Path(__file__).parents[2] / "samples"


@dataclass(frozen=True, slots=True)
class Images:
    """References in the registry of the tests; each image is made once."""

    registry: str
    cli: Cli
    base: Path
    folder: Path
    made: dict[str, str] = field(default_factory=dict)

    def server(self, line: ServerLine, *, config: str | None = None, name: str = "default") -> str:
        """The image of a server with a configuration, by default its own."""
        self.bare_server(line)  # its layers are then in the registry already

        def write() -> Image:
            layout = self.folder / f"{line.name}-{name}"
            below = self.folder / line.name
            return read_layout(distribution.write_configured(layout, below, line, config=config))

        return self._once(f"distribution/{line.name}:{name}", write)

    def bare_server(self, line: ServerLine) -> str:
        """The image of a server without a configuration."""
        layout = self.folder / line.name
        return self._once(
            f"distribution/{line.name}:bare",
            lambda: read_layout(
                distribution.write_distribution(layout, self.base, line, bare=True)
            ),
        )

    def sample(self, name: str) -> str:
        """The image of a sample, by the real build."""
        return self.project(SAMPLES / name, f"acme/{name}:1")

    def data(self, name: str) -> str:
        """The data image of a sample, which holds files only."""
        return self.project(SAMPLES / name, f"data/{name}:1", base="scratch")

    def project(self, project: Path, name: str, *, base: str | None = None) -> str:
        """The image of a project, by the real build."""
        reference = f"{self.registry}/{name}"
        if name not in self.made:
            output = f"docker://{reference}"
            done = self.cli(
                "build", project, "--base", base or f"oci:{self.base}", "--output", output
            )
            assert done.returncode == 0, done.stderr
            self.made[name] = reference
        return reference

    def changed(self, of: str, name: str, change: Callable[[BundleTree], None]) -> str:
        """An image that `build` would refuse to make: the bundle of ``of`` with a change."""

        def make() -> Image:
            tree = BundleTree(unpack(self._image(of), self.folder / name.replace(":", "-")))
            manifest = read_manifest(tree.manifest)
            tree.manifest.unlink()
            change(tree)
            _rewrite(tree, manifest)
            return compose(read_bundle(tree.root), read_layout(self.base))

        return self._once(name, make)

    def without_metadata(self, of: str, name: str) -> str:
        """An image that has wheels and the installer, and no metadata."""

        def make() -> Image:
            tree = BundleTree(unpack(self._image(of), self.folder / name.replace(":", "-")))
            image = compose(read_bundle(tree.root), read_layout(self.base))
            history = [it for it in image.config["history"] if "metadata" not in str(it)]
            layers = tuple(it for it in image.layers if it.title != "metadata")
            return replace(image, config={**image.config, "history": history}, layers=layers)

        return self._once(name, make)

    def _image(self, reference: str) -> Image:
        return find_image(f"docker://{reference}", insecure=True).image()

    def _once(self, name: str, make: Callable[[], Image]) -> str:
        reference = f"{self.registry}/{name}"
        if name not in self.made:
            push(make(), reference, insecure=True)
            self.made[name] = reference
        return reference


def copied(sample: str, folder: Path, *changes: tuple[str, str, str]) -> Path:
    """A copy of a sample, with texts replaced: the file, the old text, the new one."""
    project = folder / sample
    shutil.copytree(SAMPLES / sample, project)
    for name, old, new in changes:
        path = project / name
        text = path.read_text("utf-8")
        assert old in text, (name, old)
        path.write_text(text.replace(old, new), "utf-8")
    return project


def _rewrite(tree: BundleTree, before: BundleManifest) -> None:
    """Write the manifest for the files that are there now."""
    described = {**before.to_document(), "files": manifest_document(tree.root)["files"]}
    tree.manifest.write_text(json.dumps(described))
