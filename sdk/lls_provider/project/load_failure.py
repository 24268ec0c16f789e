"""Describes a project's provider that does not load, alike in `check`, `test` and `build`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lls_provider.errors import Code, Problem, SdkError
from lls_provider.project.places import in_source

if TYPE_CHECKING:
    from lls_provider.project.settings import Settings
    from lls_provider.runtime.preflight.probe_client import ProbeFailure
    from lls_provider.wheels.distribution import Distribution


def load_problem(settings: Settings, server: Distribution, failure: ProbeFailure) -> Problem:
    """The failure of a probe at its place in the project's source tree.

    A failure that no file of the project takes part in is at the setting ``module``.
    """
    from lls_provider.bundle.trial import load_resolution

    details, place = in_source(settings, failure.details)
    what = f"the provider does not load beside {server.label}: {failure.reason}"
    return Problem(
        Code.VALIDATION_FAILED,
        f"{what}\n{details}".rstrip(),
        place or settings.where("module"),
        load_resolution(failure, settings.module, server, (), published=False),
    )


@contextlib.contextmanager
def located_in_source(settings: Settings) -> Iterator[None]:
    """Move the error of a trial, if it is a provider that does not load, to the source tree."""
    from lls_provider.bundle.trial import LoadFailure

    try:
        yield
    except SdkError as error:
        if isinstance(error.detail, LoadFailure):
            error.why, place = in_source(settings, error.why)
            error.where = place or error.where
        raise
