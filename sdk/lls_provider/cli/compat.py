"""``lls-provider compat``: reports whether providers can be installed together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from lls_provider.cli.boundary import EXIT_STATUSES, console, show_result
from lls_provider.cli.options import (
    distribution_option,
    insecure_option,
    output_options,
    python_option,
    targets_argument,
)

if TYPE_CHECKING:
    from lls_provider.bundle.compat import Compatibility, ProviderRow, Verdict

_HEAD = ("PROVIDER", "PACKAGE", "VERSION", "RESULT")


@click.command(
    "compat",
    epilog="Example: lls-provider compat acme-echo oci:build/image --distribution ogx==1.5.0\n\n"
    + EXIT_STATUSES,
)
@targets_argument()
@distribution_option(
    "A server to install them for (repeatable).  [default: the image in the provider file, "
    "or what each target was made for]"
)
@python_option("The Python of the distribution.")
@insecure_option()
@output_options()
def command(
    targets: tuple[str, ...],
    *,
    distributions: tuple[str, ...],
    python: str | None,
    insecure: bool,
) -> int:
    """Report how the installer would treat TARGETs, installed one after the other.

    A TARGET is a project, a bundle directory or an image: docker://REF, docker-daemon:REF,
    oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]. Give them in the order of
    the CR. One that would be refused is left out when those after it are judged. The only TARGET
    may be a provider file (.yaml or .yml): its providers are taken, in the order of the Pod.
    """
    from lls_provider.operations.check import compat

    result = compat(
        targets,
        distributions=distributions,
        python=python,
        insecure=insecure,
        progress=console(f"comparing {' '.join(targets)}"),
    )
    show_result("compat/1", result.to_document, lambda: describe(result))
    return int(result.status)


def describe(result: Compatibility) -> str:
    """Return a table of what happens to each package, then every warning and refusal."""
    rows = [_HEAD, *(row for verdict in result.verdicts for row in _rows(verdict))]
    parts = [_table(rows)]
    for verdict in result.verdicts:
        parts += [f"WARNING: {verdict.target}: {warning}" for warning in verdict.warnings]
        if verdict.error is not None:
            parts.append(verdict.error.render())
    refused = [verdict for verdict in result.verdicts if verdict.error is not None]
    where = f" on {result.server}" if result.server else ""
    if refused:
        names = ", ".join(verdict.provider_id for verdict in refused)
        parts.append(f"They do not live together{where}: refused {names}.")
    else:
        parts.append(f"They live together{where}.")
    return "\n\n".join(parts)


def _rows(verdict: Verdict) -> Iterator[tuple[str, ...]]:
    if verdict.error is not None:
        yield verdict.provider_id, "-", "-", f"refused: {verdict.error.what}"
    for row in verdict.rows:
        yield verdict.provider_id, row.name, row.version, _result(row)


def _result(row: ProviderRow) -> str:
    if row.action == "keep" and row.installed == row.version:
        return "there already"
    return {
        "install": "installed",
        "keep": f"not installed, {row.installed} stays",
        "replace": f"replaces {row.installed}",
    }[row.action]


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(lines)
