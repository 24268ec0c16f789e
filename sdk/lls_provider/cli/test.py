"""``lls-provider test``: runs a project's tests in the environment of its distribution."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lls_provider.cli.boundary import EXIT_STATUSES, console, current, show_document
from lls_provider.cli.options import output_options, python_option, server_option
from lls_provider.cli.output import named


@click.command(
    "test",
    epilog="Example: lls-provider test acme-echo --distribution 'ogx==1.5.0' -- -k spec\n\n"
    + EXIT_STATUSES,
)
@click.argument("path", default=".", type=click.Path(path_type=Path))
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED, metavar="[-- PYTEST_ARGS]...")
@server_option("--distribution", what="The server to test against.  [default: the project's first]")
@python_option("The Python to test on.")
@output_options()
def command(
    path: Path, pytest_args: tuple[str, ...], distribution: str | None, python: str | None
) -> None:
    """Run the tests of the project at PATH in an environment of its distribution.

    The environment holds the server's packages, the provider with its dependencies, and
    pytest; it is temporary.
    """
    from lls_provider.image.inspect.distribution import load_distributions
    from lls_provider.project.settings import read_settings
    from lls_provider.project.tests import run_tests

    settings = read_settings(path)
    run_tests(
        settings,
        distribution=distribution,
        load=load_distributions,
        python=python,
        arguments=pytest_args,
        # pytest writes to the terminal itself; with --format json stdout is for the result
        stdout=sys.stderr.fileno() if current().is_json else None,
        before_tests=current().close,
        progress=console(),
    )
    if current().is_json:
        show_document(named("test/1", {"project": settings.name, "ok": True}))
