"""What a bundle is built for and of, whether of a project or of a published package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lls_provider.bundle.trial import Trial
    from lls_provider.wheels.distribution import Distribution


@dataclass(frozen=True, slots=True)
class BundleOptions:
    """The options of a build that say what goes into a bundle.

    ``distributions`` are what to resolve against; without one every dependency goes into the
    bundle, and so does what ``bundle`` names. ``python`` wins over the project's. The lock of
    the closure is written to ``lock``; from the one at ``locked`` it is built without resolving.
    With a ``trial`` the provider is loaded beside each distribution before it is assembled.
    """

    distributions: Sequence[str | Distribution] = ()
    python: str | None = None
    overrides: tuple[str, ...] = ()
    bundle: tuple[str, ...] = ()
    lock: Path | None = None
    locked: Path | None = None
    trial: Trial | None = None
