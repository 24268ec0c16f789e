"""Checks projects, bundles and images against the contract, and providers against each other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lls_provider.errors import SdkError
from lls_provider.operations.images import several
from lls_provider.progress import SILENT, Progress
from lls_provider.wheels.uv_settings import Indexes, using

if TYPE_CHECKING:
    from lls_provider.bundle.checks.report import Report
    from lls_provider.bundle.compat import Compatibility


def check(
    target: str | os.PathLike[str],
    *,
    distributions: str | Sequence[str] = (),
    python: str | None = None,
    platform: str | None = None,
    insecure: bool = False,
    indexes: Indexes = Indexes(),  # noqa: B008 - frozen
    progress: Progress = SILENT,
) -> Report:
    """Check a project, a bundle directory or an image, from this SDK or made by hand.

    The arguments are the options of ``lls-provider check``. Returns every finding; an error in the
    target is a finding, not an exception. Raises SdkError if it cannot be checked: USAGE for an
    invalid name or platform, FILE_MISSING, PROJECT_INVALID and what reading an image and preparing
    a distribution raise.
    """
    (report,) = check_each(
        [target],
        distributions=distributions,
        python=python,
        platform=platform,
        insecure=insecure,
        indexes=indexes,
        progress=progress,
    )
    return report


def check_each(
    targets: Sequence[str | os.PathLike[str]],
    *,
    distributions: str | Sequence[str] = (),
    python: str | None = None,
    platform: str | None = None,
    insecure: bool = False,
    indexes: Indexes = Indexes(),  # noqa: B008 - frozen
    progress: Progress = SILENT,
) -> list[Report]:
    """Check several targets; an invalid name is reported before any work.

    Raises what `check` raises.
    """
    from functools import partial

    from lls_provider.bundle.checks.bundle import check_bundle
    from lls_provider.image.check import check_place
    from lls_provider.image.image import parse_platforms
    from lls_provider.image.inspect.distribution import load_distributions
    from lls_provider.operations.targets import ProviderSource, SourceKind, resolve_source
    from lls_provider.project.check import check_project
    from lls_provider.runtime.preflight.probe_client import time_limit

    time_limit()
    wanted = parse_platforms([platform])[0] if platform else None
    found = [resolve_source(text) for text in several(targets)]

    def checked(target: ProviderSource) -> Report:
        if target.kind is SourceKind.PROJECT:
            return check_project(
                target.path,
                label=target.text,
                distributions=several(distributions),
                load_named=partial(load_distributions, insecure=insecure),
                python=python,
                progress=progress,
            )
        if target.kind is SourceKind.BUNDLE:
            return check_bundle(target.path, label=target.text)
        return check_place(target.text, wanted, insecure=insecure, progress=progress)

    with using(indexes):
        return [checked(target) for target in found]


def compat(
    targets: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    distributions: str | Sequence[str] = (),
    python: str | None = None,
    insecure: bool = False,
    indexes: Indexes = Indexes(),  # noqa: B008 - frozen
    progress: Progress = SILENT,
) -> Compatibility:
    """Report how the installer would treat ``targets``, installed one after the other.

    A target is a project, a bundle directory or an image; the arguments are the options of
    ``lls-provider compat``. The path of a provider file as the only target stands for its
    providers, in the order of its Pod, and for its server's image, unless ``distributions`` name
    others. A provider that would be refused is a verdict, not an exception. Raises SdkError if a
    target or a distribution cannot be read or built.
    """
    from lls_provider.bundle.bundle import read_bundle
    from lls_provider.bundle.compat import CompatBundle, compat_server, compatibility
    from lls_provider.image.inspect.distribution import load_distributions
    from lls_provider.operations.phase_commands import in_order
    from lls_provider.operations.targets import bundle_of, resolve_targets
    from lls_provider.runtime.preflight.probe_client import time_limit
    from lls_provider.system.cache import scratch

    time_limit()
    found = resolve_targets(several(targets))
    named = several(distributions)
    with using(indexes), scratch("targets") as directory:
        try:
            servers = load_distributions(
                named or found.server_images, python=python, insecure=insecure, progress=progress
            )
        except SdkError as error:
            raise error if named else found.located(error) from error
        bundles = [
            CompatBundle(
                target.label,
                bundle_of(
                    target,
                    directory / str(number),
                    distributions=servers,
                    python=python,
                    insecure=insecure,
                    progress=progress,
                ),
                *((target.entry.provider_id, target.entry.api) if target.entry else ()),
            )
            for number, target in enumerate(found.sources)
        ]
        if found.file is not None:
            bundles = in_order(bundles, lambda it: it.api or read_bundle(it.root).metadata.api)
        result = compatibility(bundles, compat_server(servers))
    entries = {it.entry.provider_id: it for it in found.sources if it.entry is not None}
    for verdict in result.verdicts:
        if verdict.error is not None and verdict.provider_id in entries:
            entries[verdict.provider_id].located(verdict.error)
    return result
