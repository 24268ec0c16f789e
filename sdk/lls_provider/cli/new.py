"""``lls-provider new``: scaffolds a provider project."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from lls_provider.cli.boundary import EXIT_STATUSES, console, show
from lls_provider.project.scaffold import ANSWERS, KINDS, parse_answers

_PAIRS = ", ".join(f"{kind} {api}" for api, kind in KINDS.items())
# \b keeps click from folding the list into a paragraph
_HELP = f"""Scaffold a provider project in DIR (default: a directory of the provider's name).

Each answer that is not given as KEY=VALUE is asked for; with --no-input it takes its default.
There are templates for {_PAIRS}.

\b
The answers:
""" + "\n".join(f"  {key:12} {text}" for key, text in ANSWERS.items())


@click.command(
    "new",
    help=_HELP,
    epilog="Example: lls-provider new acme-echo --no-input api=inference kind=remote\n\n"
    + EXIT_STATUSES,
)
@click.argument("directory", required=False, type=click.Path(path_type=Path), metavar="[DIR]")
@click.argument("answers", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--no-input", is_flag=True, help="Ask nothing: defaults for what is not given.")
def command(directory: Path | None, answers: tuple[str, ...], no_input: bool) -> None:
    """Make the project and show the commands to run next."""
    from lls_provider.project.scaffold import scaffold

    if directory is not None and "=" in str(directory) and not directory.exists():
        directory, answers = None, (str(directory), *answers)
    made = scaffold(directory, parse_answers(answers), interactive=not no_input, progress=console())
    show(f"Made {made.path}\n")
    show("Next:")
    for arguments in (["test"], ["check"], ["up", "--check"]):
        show(f"  {shlex.join(['lls-provider', *arguments, str(made.path)])}")
