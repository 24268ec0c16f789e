"""The command ``lls-provider`` itself: its listing; a command is imported when it is requested."""

from __future__ import annotations

import importlib

import click

from lls_provider import __version__
from lls_provider.cli.boundary import EXIT_STATUSES

# The texts of the listing are here, so that --help imports no command.
COMMANDS: dict[str, str] = {
    "new": "Scaffold a provider project.",
    "check": "Check projects, bundles and images against every rule of the contract.",
    "test": "Run a project's own tests in its distribution's environment.",
    "build": "Build a provider into an image.",
    "push": "Push an image that is built already into registries.",
    "inspect": "Show what an image says of itself, without reading its layers.",
    "compat": "Report whether providers will live together, before they are deployed.",
    "up": "Run all five phases here, with the real server.",
    "install": "Install a provider onto the volume (phase 1, in the Pod).",
    "merge": "Merge external providers into the configuration (phase 3, in the Pod).",
    "preflight": "Check that every provider will load (phase 4, in the Pod).",
}


class CommandTable(click.Group):
    """The commands by name, each loaded from its module when it is requested."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order of a provider's life, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command's module; its attribute ``command`` is the command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"lls_provider.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The listing, from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command if there is none of that name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"There is no command '{args[0]}'.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.command(
    cls=CommandTable,
    epilog=f"Example: lls-provider new acme-echo && lls-provider up acme-echo --check\n\n"
    f"{EXIT_STATUSES}",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "--version", message="lls-provider %(version)s")
def group() -> None:
    """Package Llama Stack (OGX) providers as images and install them into a running Pod."""
