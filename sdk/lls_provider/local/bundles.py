"""The bundle of a target, wherever it comes from: built, unpacked or there already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.bundle.machines import on_this_machine
from lls_provider.image.distribution import load_distributions
from lls_provider.image.places import read_image
from lls_provider.image.unpack import unpack
from lls_provider.local.target import Kind, Target
from lls_provider.progress import SILENT, Progress

if TYPE_CHECKING:
    from lls_provider.wheels.distribution import Distribution


def bundle_of(
    target: Target,
    folder: Path,
    *,
    distributions: Sequence[Distribution] = (),
    python: str | None = None,
    insecure: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """The root of a target's bundle; what has to be made for it is made at ``folder``.

    A project is built against ``distributions``, else against those that its settings name.
    Raises what building, reading and unpacking raise.
    """
    if target.kind is Kind.BUNDLE:
        return target.path.resolve()
    if target.kind is Kind.IMAGE:
        return unpack(read_image(target.text, insecure=insecure, progress=progress), folder)
    from lls_provider.bundle.options import BundleOptions
    from lls_provider.project.bundle import bundle_project  # resolving and building are heavy
    from lls_provider.project.settings import read_settings

    settings = read_settings(target.path)
    beside = distributions or load_distributions(
        settings.distributions,
        python=python or settings.python,
        at_least=settings.lowest_python,
        insecure=insecure,
        progress=progress,
    )
    (bundle,) = bundle_project(
        settings, on_this_machine(folder), BundleOptions(beside, python), progress=progress
    )
    return bundle.root
