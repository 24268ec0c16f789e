"""``lls-provider init``: adopts a provider's project that exists."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lls_provider.cli.asking import asker, somebody_answers
from lls_provider.cli.boundary import EXIT_STATUSES, console, show, show_result
from lls_provider.cli.next_commands import next_commands
from lls_provider.cli.options import (
    completed_by,
    distribution_option,
    dry_run_option,
    index_options,
    indexes_of,
    output_options,
    python_option,
)
from lls_provider.untrusted import one_line

if TYPE_CHECKING:
    from lls_provider.bundle.static_spec import StaticSpec
    from lls_provider.project.adopt import AdoptedProject
    from lls_provider.project.discovery import DiscoveryOptions


@click.command(
    "init",
    epilog="Example: lls-provider init acme-echo --dry-run\n\n" + EXIT_STATUSES,
)
@click.argument("path", required=False, type=click.Path(path_type=Path))
@dry_run_option("Show the table, write nothing.")
@click.option(
    "--static", is_flag=True, help="Read the provider's source only: build and run nothing."
)
@click.option("--module", help="The importable package that holds provider.py.")
@click.option("--api", help="The API that it implements.", shell_complete=completed_by("apis"))
@click.option("--provider-type", help="Which of its types, remote::… or inline::….")
@click.option("--vendor", help="The organisation that makes it.")
@distribution_option(
    "A server to try it beside (repeatable); those that load it are written.  [default: the "
    "supported servers that its code imports]"
)
@python_option("The Python to run the servers on.")
@index_options
@output_options()
def command(
    *,
    path: Path | None,
    dry_run: bool,
    static: bool,
    module: str | None,
    api: str | None,
    provider_type: str | None,
    vendor: str | None,
    distributions: tuple[str, ...],
    python: str | None,
    **options: object,
) -> None:
    """Write [tool.lls-provider] for the project at PATH (default: here), which has none yet.

    The project's wheel is built and its get_provider_spec() is called beside each server that it
    is for; what cannot be run is read from the source. Only the end of pyproject.toml changes.
    What could not be found out is said.
    """
    from lls_provider.bundle.published import SpecFlags
    from lls_provider.wheels.uv_settings import using

    with using(indexes_of(options)):
        found = _options(
            flags=SpecFlags(module, api, provider_type),
            distributions=distributions,
            python=python,
            static=static,
        )
        adopted = _adopted(path or Path(), found, vendor=vendor, dry=dry_run)
    show_result("init/1", adopted.to_document, lambda: describe(adopted))


def _options(*, insecure: bool = False, **values: Any) -> DiscoveryOptions:
    from lls_provider.image.inspect.distribution import load_distributions
    from lls_provider.project.discovery import DiscoveryOptions

    load = functools.partial(load_distributions, insecure=insecure)
    return DiscoveryOptions(choose=_choose if somebody_answers() else None, load=load, **values)


def _adopted(
    path: Path, options: DiscoveryOptions, *, vendor: str | None = None, dry: bool = False
) -> AdoptedProject:
    from lls_provider.project.adopt import adopt_project

    return adopt_project(path, options, vendor=vendor, dry=dry, progress=console())


def offer(path: Path, servers: Sequence[str] = (), *, insecure: bool = False) -> None:
    """Ask whether to adopt a project that has no table yet; nothing where nobody can answer.

    Raises what `adopt_project` raises.
    """
    if not somebody_answers():
        return
    from lls_provider.project.pyproject import load_pyproject
    from lls_provider.project.settings import TableMissing, missing_table

    missing = missing_table(path, load_pyproject(path))
    if missing is None or not isinstance(missing.detail, TableMissing):
        return
    show(f"{path} has no [tool.lls-provider]: `lls-provider init` finds what to write.", err=True)
    if click.confirm("Run it now", default=True, err=True):
        options = _options(distributions=tuple(servers), insecure=insecure)
        show(describe(_adopted(path, options)), err=True)


def _choose(specs: Sequence[StaticSpec]) -> StaticSpec:
    """Ask which of several providers the image carries."""
    from lls_provider.project.answers import Question

    named = {one_line(f"{it.api} {it.provider_type} ({it.module})"): it for it in specs}
    question = Question(
        "provider",
        "the one that the image carries",
        next(iter(named)),
        dict.fromkeys(named, ""),
        instead="Name it with --module, --api or --provider-type.",
    )
    return named[asker()(question)]


def describe(adopted: AdoptedProject) -> str:
    """Return the table, where its values come from, and what is not known, as text."""
    did = "Would write" if adopted.dry else "Wrote"
    lines = [f"{did} into {adopted.path / 'pyproject.toml'}:", ""]
    lines += [f"  {line}" for line in adopted.table.rstrip("\n").splitlines()]
    lines += ["", "From:"]
    lines += [f"  {it.key}: {one_line(it.how)}" for it in adopted.settings]
    if adopted.notes:
        lines += ["", "Not known, or to be checked:"]
        lines += [f"  - {one_line(note)}" for note in adopted.notes]
    if not adopted.dry:
        lines += ["", "Next:"]
        lines += [f"  {it}" for it in next_commands(adopted.path, "check", "build", "up")]
    return "\n".join(lines)
