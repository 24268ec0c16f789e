"""The runtime's commands: their arguments go to the one parser in `runtime`, as they are."""

from __future__ import annotations

import click


class RuntimeCommand(click.Command):
    """A command of the runtime; its options and its help are the runtime's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words as they are: click's own parser would drop a ``--``."""
        ctx.args = args
        return []

    def invoke(self, ctx: click.Context) -> int:
        """Hand the words on and return the exit status."""
        from lls_provider.runtime.cli.arguments import main

        return main([self.name or "", *ctx.args], prog="lls-provider")
