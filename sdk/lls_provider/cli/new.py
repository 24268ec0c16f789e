"""``lls-provider new``: scaffold a provider project."""

from __future__ import annotations

from pathlib import Path

import click

from lls_provider.cli import EXIT_STATUSES


@click.command(
    "new",
    epilog="Example: lls-provider new acme-echo --no-input api=inference kind=remote\n\n"
    + EXIT_STATUSES,
)
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.argument("answers", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--no-input", is_flag=True, help="Ask nothing: defaults for what is not given.")
def command(directory: Path | None, answers: tuple[str, ...], no_input: bool) -> None:
    """Scaffold a provider project in DIR.

    Without --no-input every answer is asked for. The answers: name, api, kind (remote or
    inline), vendor, description, maintainer, license and sdk (the requirement that installs this
    SDK in the project's CI); known pairs of kind and api are remote
    inference, inline safety and inline file_processors.
    """
    from lls_provider.project.answers import parse_answers
    from lls_provider.project.scaffold import new

    if directory is not None and "=" in str(directory) and not directory.exists():
        directory, answers = None, (str(directory), *answers)
    made = new(directory, parse_answers(answers), interactive=not no_input)
    click.echo(f"Made {made.path}\n")
    click.echo("Next:")
    for line in ("test", "check", "up"):
        option = " --check" if line == "up" else ""
        click.echo(f"  lls-provider {line} {made.path}{option}")
