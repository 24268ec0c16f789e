"""Compares providers before they meet in a Pod: what the installer would say of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lls_provider.operations.values import several
from lls_provider.progress import SILENT, Progress
from lls_provider.wheels.indexes import Indexes, using

if TYPE_CHECKING:
    from lls_provider.bundle.compat import Compatibility


def compat(
    targets: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    distributions: str | Sequence[str] = (),
    python: str | None = None,
    insecure: bool = False,
    indexes: Indexes = Indexes(),  # noqa: B008 - frozen
    progress: Progress = SILENT,
) -> Compatibility:
    """What the installer would say of ``targets``, installed one after the other.

    A target is a project, a bundle directory or an image; the arguments are the options of
    ``lls-provider compat``. A provider that would be refused is a verdict, not an exception.
    Raises SdkError where a target or a distribution cannot be read or built.
    """
    from lls_provider.bundle.compat import compat_server, compatibility
    from lls_provider.image.inspect.distribution import load_distributions
    from lls_provider.operations.targets import bundle_of, resolve_source
    from lls_provider.runtime.preflight.probe_client import time_limit
    from lls_provider.system.temporary import scratch

    time_limit()
    found = [resolve_source(text) for text in several(targets)]
    with using(indexes), scratch("targets") as folder:
        servers = load_distributions(
            several(distributions), python=python, insecure=insecure, progress=progress
        )
        bundles = [
            (
                target.text,
                bundle_of(
                    target,
                    folder / str(number),
                    distributions=servers,
                    python=python,
                    insecure=insecure,
                    progress=progress,
                ),
            )
            for number, target in enumerate(found)
        ]
        return compatibility(bundles, compat_server(servers))
