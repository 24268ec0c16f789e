"""The runtime's commands: their arguments go to the one parser in `runtime`, as they are."""

from __future__ import annotations

import click


def runtime_command(name: str) -> click.Command:
    """The command ``name`` of the runtime; its options and its help are the runtime's."""

    @click.command(
        name,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "help_option_names": []},
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def command(arguments: tuple[str, ...]) -> int:
        from lls_provider.runtime.arguments import main

        return main([name, *arguments], prog="lls-provider")

    return command
