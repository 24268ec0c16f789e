"""The command ``lls-provider``: the list of its commands, each imported only when it runs."""

from __future__ import annotations

import importlib

import click

from lls_provider import __version__
from lls_provider.cli.boundary import EXIT_STATUSES

# The descriptions are here so that --help imports no command.
COMMANDS: dict[str, str] = {
    "new": "Scaffold a provider project.",
    "check": "Check projects, bundles and images against every rule of the contract.",
    "test": "Run a project's own tests in its distribution's environment.",
    "build": "Build a provider into an image.",
    "push": "Push an image that is built already into registries.",
    "inspect": "Show what an image says of itself, without reading its layers.",
    "compat": "Report whether providers will live together, before they are deployed.",
    "up": "Run all five phases here, with the real server.",
    "render": "Render a provider file as Kubernetes manifests.",
    "diagnose": "Report why the providers of a Pod do not start, and what to do.",
    "install": "Install a provider onto the volume (phase 1, in the Pod).",
    "install-all": "Install several providers whose images are mounted (phase 1, in the Pod).",
    "extract": "Copy the distribution's configuration (phase 2, in the Pod).",
    "merge": "Merge external providers into the configuration (phase 3, in the Pod).",
    "preflight": "Check that every provider will load (phase 4, in the Pod).",
    "start": "Run all phases in one container, then the server (in the Pod).",
}
_RUNTIME_COMMANDS = ("install", "install-all", "extract", "merge", "preflight", "start")


class CommandTable(click.Group):
    """The commands by name; each is loaded from its module when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """List the commands in the order in which an author uses them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return the attribute ``command`` of the command's module."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in _RUNTIME_COMMANDS:
            return RuntimeCommand(cmd_name)
        module = importlib.import_module(f"lls_provider.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands from `COMMANDS`."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest name for a command that does not exist."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"There is no command '{args[0]}'.{hint}", ctx)
        return super().resolve_command(ctx, args)


class RuntimeCommand(click.Command):
    """A command of the runtime. Its options and its help are defined in `runtime.cli`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments unparsed: click's parser would drop a ``--``."""
        ctx.args = args
        return []

    def invoke(self, ctx: click.Context) -> int:
        """Run the runtime's own command line and return its exit status."""
        from lls_provider.runtime.cli.arguments import main

        return main([self.name or "", *ctx.args], prog="lls-provider")


@click.command(
    cls=CommandTable,
    epilog=f"Example: lls-provider new acme-echo && lls-provider up acme-echo --check\n\n"
    f"{EXIT_STATUSES}",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "--version", message="lls-provider %(version)s")
def group() -> None:
    """Package Llama Stack (OGX) providers as images and install them into a running Pod."""
