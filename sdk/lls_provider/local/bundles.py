"""The bundles of all targets: those of projects are built, those of images unpacked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.errors import SdkError
from lls_provider.image.bundle_image import unpack
from lls_provider.image.transports.layout import read_layout, write_layout
from lls_provider.local.plan import planned_provider
from lls_provider.operations.targets import SourceKind

if TYPE_CHECKING:
    from lls_provider.local.plan import InspectedSource, PlannedProvider
    from lls_provider.local.workspace import Workspace
    from lls_provider.progress import Progress
    from lls_provider.project.settings import Settings
    from lls_provider.wheels.distribution import Distribution

MeasuredPhase = Callable[[str, str], AbstractContextManager[None]]


class TargetBundles:
    """Makes bundles in a workspace; each is used again until it is forgotten.

    ``phase`` is the context of a phase: its name, and what it does.
    """

    def __init__(self, workspace: Workspace, phase: MeasuredPhase, progress: Progress) -> None:
        self._workspace = workspace
        self._phase = phase
        self._progress = progress
        self._made: dict[int, Path] = {}  # roots by the index of the target
        self._count = 0

    def forget(self, indexes: Collection[int] | None = None) -> None:
        """Make these bundles again when they are needed; without ``indexes`` all of them."""
        for index in list(self._made) if indexes is None else indexes:
            root = self._made.pop(index, None)
            # a bundle that is a target is the user's
            if root is not None and self._workspace.root in root.parents:
                shutil.rmtree(root, ignore_errors=True)

    def providers(
        self, sources: Sequence[InspectedSource], distribution: Distribution
    ) -> tuple[PlannedProvider, ...]:
        """Return the provider of each target, built for ``distribution``.

        Raises what building an image and unpacking it raise.
        """
        layouts: dict[int, Path] = {}
        projects = [
            (index, item.settings)
            for index, item in enumerate(sources)
            if item.settings is not None and index not in self._made
        ]
        if projects:
            names = ", ".join(settings.name for _, settings in projects)
            with self._phase("build", f"building {names}"):
                for index, settings in projects:
                    layouts[index] = self._built(settings, distribution)
        with self._phase("unpack", "unpacking"):
            for index, item in enumerate(sources):
                if index not in self._made:
                    self._made[index] = self._unpacked(item, layouts.get(index))
            return tuple(
                planned_provider(item, self._made[index]) for index, item in enumerate(sources)
            )

    def _built(self, settings: Settings, distribution: Distribution) -> Path:
        """Build the image of a project as an OCI layout."""
        # slow to import
        from lls_provider.bundle.bundle import BundleOptions
        from lls_provider.operations.build import make_images

        directory = self._directory("build")
        ((_, image),) = make_images(
            settings,
            directory / "bundle",
            BundleOptions([distribution]),
            {os.uname().machine: None},
            fitting=False,  # preflight checks it in the server's own environment
            progress=self._progress,
        )
        write_layout(image, directory / "layout")
        return directory / "layout"

    def _unpacked(self, source: InspectedSource, layout: Path | None) -> Path:
        if source.target.kind is SourceKind.BUNDLE:
            return source.target.path.resolve()
        image = source.image if layout is None else read_layout(layout)
        assert image is not None  # noqa: S101 - it is an image, or was built
        try:
            root = unpack(image, self._directory("image"))
        except SdkError as error:
            raise source.target.located(error) from error
        if layout is not None:
            shutil.rmtree(layout.parent, ignore_errors=True)
        return root

    def _directory(self, kind: str) -> Path:
        self._count += 1
        return self._workspace.make_directory(f"{kind}-{self._count}")
