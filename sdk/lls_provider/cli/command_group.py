"""A group of commands that suggests the nearest name for one that does not exist."""

from __future__ import annotations

import click

from lls_provider.errors import nearest_word


class SuggestingGroup(click.Group):
    """A group whose error about an unknown command names the one that was probably meant."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands with their whole first sentences: click would cut them."""
        rows = [(name, it.get_short_help_str(1000)) for name, it in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; suggest the nearest name for one that does not exist."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            meant = nearest_word(args[0], known)
            hint = f" Did you mean '{meant}'?" if meant else ""
            raise click.UsageError(f"There is no command '{args[0]}'.{hint}", ctx)
        return super().resolve_command(ctx, args)
