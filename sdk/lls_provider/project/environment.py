"""An environment to run a project in: the server's packages and the provider's own wheel."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lls_provider.project.bundle import build_own_wheel, requirement

if TYPE_CHECKING:
    from lls_provider.progress import Progress
    from lls_provider.project.settings import Settings
    from lls_provider.wheels.distribution import Distribution
    from lls_provider.wheels.environment import Environment


@contextlib.contextmanager
def provider_environment(
    settings: Settings,
    distribution: Distribution,
    *,
    extra: Sequence[str] = (),
    progress: Progress,
) -> Iterator[Environment]:
    """A temporary environment of ``distribution`` with the project's wheel and ``extra``.

    A wheel, not the source tree: what runs is what an image would carry. With
    ``[tool.uv.sources]`` uv builds it anew, since only the folder has them. Raises SdkError as
    building and resolving do.
    """
    from lls_provider.project.sources import uv_sources
    from lls_provider.wheels.build import scratch
    from lls_provider.wheels.environment import layered_environment

    sources = uv_sources(settings.root, settings.pyproject.data)
    with scratch("own-wheel") as folder:
        wheel = build_own_wheel(settings, folder, distribution.interpreter, progress)
        with layered_environment(
            distribution,
            [requirement(wheel, settings.root if sources else None), *extra],
            doing=f"installing {settings.name} beside {distribution.label}",
            base=settings.root,
            progress=progress,
        ) as environment:
            yield environment
