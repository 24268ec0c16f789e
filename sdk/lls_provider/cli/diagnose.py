"""``lls-provider diagnose``: what became of the providers of a Pod, why, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from lls_provider.cli.boundary import EXIT_STATUSES, console, show_result
from lls_provider.cli.options import output_options
from lls_provider.progress import counted
from lls_provider.untrusted import bounded, one_line

if TYPE_CHECKING:
    from lls_provider.deploy.pod_causes import Cause
    from lls_provider.deploy.pod_status import PhaseStatus, PodDiagnosis

_HEAD = ("PHASE", "PROVIDER", "STATUS", "CONTAINER")


@click.command(
    "diagnose",
    epilog="Example: lls-provider diagnose pod/my-server-0 -n llama\n\n" + EXIT_STATUSES,
)
@click.argument("target", metavar="TARGET")
@click.option("-n", "--namespace", metavar="NAME", help="The namespace of pod/NAME.")
@output_options()
def command(target: str, *, namespace: str | None) -> int:
    """Report the status of each provider of a Pod, with the cause and what to do.

    TARGET is pod/NAME, which is read through kubectl, a FILE with what kubectl get pod NAME -o json
    prints, or - for the same on stdin. Of a list, the Pods that install providers are reported.

    With --format json the result has externalProviders of the CR's status; of several Pods, the
    worst status of each provider. The exit status is 1 when something failed, or waits for
    something that has to be changed, and 0 when all is ready or still starting.
    """
    from lls_provider.deploy.diagnose import diagnose

    console(f"reading {target}")
    found = diagnose(target, namespace=namespace)
    show_result(
        "diagnose/1",
        lambda: {"externalProviders": found.to_document()},
        lambda: "\n\n".join(describe(it) for it in found.pods),
    )
    return int(found.status)


def describe(diagnosis: PodDiagnosis) -> str:
    """A table of the phases, then each cause with its resolution."""
    pod = diagnosis.pod
    place = f"{pod.namespace}/{pod.name}" if pod.namespace else pod.name
    node = f" on node {pod.node}" if pod.node else ""
    ends = ", being deleted" if pod.is_being_deleted else ""
    parts = [f"Pod {one_line(place)}{one_line(node)}: {one_line(pod.phase or 'Unknown')}{ends}"]
    parts.append(_table(diagnosis.phases))
    parts += ["\n".join(_explained("Pod", cause)) for cause in diagnosis.causes]
    for phase in diagnosis.phases:
        cause = phase.cause
        if cause is not None and (cause.is_failure or cause.resolution):
            about = f"{phase.name} {phase.provider_id}".strip()
            parts.append("\n".join(_explained(f"{about} (container {phase.container})", cause)))
    parts.append(_summary(diagnosis))
    return "\n\n".join(parts)


def _summary(diagnosis: PodDiagnosis) -> str:
    if diagnosis.status:
        return f"{counted(max(len(diagnosis.failures), 1), 'problem')} to solve."
    if diagnosis.is_ready:
        return "Every provider is installed, and the server is ready."
    if diagnosis.pod.is_being_deleted:
        return "The Pod is being deleted."
    return "The Pod is still starting."


def _explained(about: str, cause: Cause) -> Iterator[str]:
    """The paragraph of a cause; every line that someone else wrote is indented."""
    yield f"{one_line(about)}: {one_line(cause.reason)}"
    yield f"  {one_line(cause.what)}"
    for line in bounded(cause.details).split("\n"):
        if line.strip():
            yield f"    {line}"
    if cause.resolution:
        yield f"  Resolution: {one_line(cause.resolution)}"


def _table(phases: Sequence[PhaseStatus]) -> str:
    rows = [
        _HEAD,
        *(
            tuple(
                one_line(cell or "-") for cell in (it.name, it.provider_id, it.state, it.container)
            )
            for it in phases
        ),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
