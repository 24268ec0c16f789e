"""``lls-provider doctor``: what this machine has and lacks for each command."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

from lls_provider import __version__
from lls_provider.cli.boundary import EXIT_STATUSES, console, show_result
from lls_provider.cli.options import completed_by, output_options
from lls_provider.untrusted import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lls_provider.operations.doctor import CommandHealth, Health, Need

_MARKS = {"ok": "ok", "limited": "LIMITED", "lacking": "LACKING"}


@click.command(
    "doctor",
    epilog="Example: lls-provider doctor build up\n\n" + EXIT_STATUSES,
)
@click.argument(
    "commands", nargs=-1, metavar="[COMMAND]...", shell_complete=completed_by("needing_commands")
)
@output_options()
def command(commands: tuple[str, ...]) -> int:
    """Show what this machine has and lacks for each COMMAND (default: all).

    Looked for are a Python for servers, uv, an index that answers, logins to registries (without
    asking the registries), a container daemon, kubectl, git, the cache and temporary space. The
    exit status is 3 when a command lacks what it always needs.
    """
    from lls_provider.operations.doctor import doctor

    health = doctor(commands, progress=console())
    show_result(
        "doctor/1",
        lambda: {"version": __version__, **health.to_document()},
        lambda: "\n".join(_lines(health)),
    )
    return int(health.status)


def _lines(health: Health) -> Iterator[str]:
    yield f"lls-provider {__version__}"
    yield ""
    names = max(len(name) for name in _names(health))
    for need in health.needs:
        yield from _need_lines(need, names)
    yield ""
    for command in health.commands:
        yield f"  {command.name:{names}}  {_verdict(command)}"


def _names(health: Health) -> Iterator[str]:
    yield from (need.name for need in health.needs)
    yield from (command.name for command in health.commands)


def _need_lines(need: Need, width: int) -> Iterator[str]:
    yield f"  {need.name:{width}}  {_MARKS[need.state.value]:7}  {one_line(need.what)}"
    for line in need.why.splitlines():
        yield f"    {one_line(line)}"
    if need.resolution:
        yield textwrap.indent(f"Resolution: {need.resolution}", "    ")


def _verdict(command: CommandHealth) -> str:
    if command.lacks:
        return f"lacks {', '.join(command.lacks)}"
    if command.without:
        return f"partly: {'; '.join(command.partly())}"
    return "ready"
