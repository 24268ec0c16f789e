"""``lls-provider new``: scaffolds a provider project."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lls_provider.cli.boundary import EXIT_STATUSES, console, show_result
from lls_provider.cli.next_commands import next_commands
from lls_provider.cli.options import completed_by, dry_run_option, output_options
from lls_provider.project.answers import ANSWERS, UNASKED, parse_answers
from lls_provider.project.template_apis import template_apis
from lls_provider.untrusted import one_line

if TYPE_CHECKING:
    from lls_provider.project.scaffold import ScaffoldedProject
    from lls_provider.project.update import ProjectUpdate


_HELP = """Scaffold a provider project in DIR (default: a directory of the provider's name).

With --update DIR (default: here) is a project that this command made: what a later template
changes is merged into it with git.

An answer that is not given as KEY=VALUE is asked for, with the arrow keys where there is a
terminal; with --no-input it takes its default. Some are never asked for.
"""


class _Command(click.Command):
    """The command whose help lists the answers and the APIs of the template."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the description, then the two lists."""
        super().format_help_text(ctx, formatter)
        with formatter.section("Answers"):
            formatter.write_dl([it for it in ANSWERS.items() if it[0] not in UNASKED])
        with formatter.section("Answers that are never asked for"):
            formatter.write_dl([it for it in ANSWERS.items() if it[0] in UNASKED])
        with formatter.section("APIs, each with remote and inline implementations"):
            formatter.write_dl([(name, it.explanation) for name, it in template_apis().items()])


@click.command(
    "new",
    cls=_Command,
    help=_HELP,
    epilog="Example: lls-provider new acme-echo --no-input api=inference kind=remote\n\n"
    + EXIT_STATUSES,
)
@click.argument("directory", required=False, type=click.Path(path_type=Path), metavar="[DIR]")
@click.argument(
    "answers", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=completed_by("answers")
)
@click.option("--no-input", is_flag=True, help="Ask nothing: defaults for what is not given.")
@click.option(
    "--update",
    is_flag=True,
    help="Merge the current template into the project in DIR, which has to be committed.",
)
@dry_run_option("Show the files that would be made or, with --update, changed; write nothing.")
@output_options()
def command(
    directory: Path | None, answers: tuple[str, ...], no_input: bool, update: bool, dry_run: bool
) -> None:
    """Make the project and show the commands to run next, or update one."""
    from lls_provider.cli.asking import asker
    from lls_provider.project.scaffold import scaffold

    if directory is not None and _is_answer(str(directory)) and not directory.exists():
        directory, answers = None, (str(directory), *answers)
    if update:
        _update(directory or Path(), answers, no_input=no_input, dry_run=dry_run)
        return
    made = scaffold(
        directory,
        parse_answers(answers),
        ask=None if no_input else asker(),
        dry=dry_run,
        progress=console(),
    )
    commands = next_commands(made.path, "test", "check", "build", "up")
    show_result(
        "new/1",
        lambda: {**made.to_document(), "next": [] if dry_run else commands},
        lambda: "\n".join(_made(made, commands)),
        verbatim=True,  # commands to copy
    )


def _is_answer(text: str) -> bool:
    key, equals, _ = text.partition("=")
    return bool(equals) and "/" not in key


def _made(made: ScaffoldedProject, commands: list[str]) -> Iterator[str]:
    if made.dry:
        yield f"Would make {made.path}:"
        yield from (f"  {file}" for file in made.files)
    else:
        yield f"Made {made.path}\n"
        yield "Next:"
        yield from (f"  {line}" for line in commands)


def _update(directory: Path, answers: tuple[str, ...], *, no_input: bool, dry_run: bool) -> None:
    from lls_provider.cli.asking import asker
    from lls_provider.project.update import update_project

    result = update_project(
        directory,
        parse_answers(answers),
        ask=None if no_input else asker(),
        dry=dry_run,
        progress=console(),
    )
    show_result("new-update/1", result.to_document, lambda: describe(result), verbatim=True)
    if (error := result.conflict_error()) is not None:
        raise error


def describe(result: ProjectUpdate) -> str:
    """Return what an update did, or would do, as text."""
    if result.merge is None or not result.merge.files:
        return f"{result.path} has version {result.after} of the template already."
    lines = []
    if result.dry:
        lines += [result.merge.diff.rstrip("\n"), ""]
    did = "Would update" if result.dry else "Updated"
    lines.append(f"{did} {result.path} from version {result.before} to {result.after}:")
    lines += [f"  {kind:8} {one_line(path)}" for path, kind in result.merge.files.items()]
    lines += [f"The template no longer asks for {name}." for name in result.dropped]
    if not result.dry:
        git = ["git", "-C", str(result.path)]
        if not result.merge.conflicts:
            lines += ["", "Next:", f"  {shlex.join([*git, 'diff', 'HEAD'])}"]
            lines.append(f"  {shlex.join([*git, 'commit'])}")
        undo = [*git, "restore", "--source=HEAD", "--staged", "--worktree", "."]
        lines.append(f"Undo it with: {shlex.join(undo)}")
    return "\n".join(lines)
