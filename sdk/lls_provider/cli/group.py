"""The command ``lls-provider``: the list of its commands, each imported only when it runs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import click

from lls_provider import __version__
from lls_provider.cli.boundary import EXIT_STATUSES
from lls_provider.cli.command_group import SuggestingGroup

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# The descriptions are here so that --help imports no command.
COMMANDS: dict[str, str] = {
    "new": "Scaffold a provider project.",
    "init": "Adopt a provider's project that exists: write its settings.",
    "check": "Check projects, bundles and images against every rule of the contract.",
    "test": "Run a project's own tests in its distribution's environment.",
    "build": "Build a provider into an image.",
    "push": "Push an image that is built already into registries.",
    "inspect": "Show what an image says of itself, without reading its layers.",
    "compat": "Report whether providers will live together, before they are deployed.",
    "up": "Run all five phases here, with the real server.",
    "render": "Render a provider file as Kubernetes manifests.",
    "diagnose": "Report why the providers of a Pod do not start, and what to do.",
    "conformance": "Check any implementation of the contract, by its vectors.",
    "doctor": "Show what this machine has and lacks for each command.",
    "cache": "Show what is cached on this machine, and free it.",
    "completion": "Show the script that completes commands in bash, zsh or fish.",
    "install": "Install a provider onto the volume (phase 1, in the Pod).",
    "install-all": "Install several providers whose images are mounted (phase 1, in the Pod).",
    "extract": "Copy the distribution's configuration (phase 2, in the Pod).",
    "merge": "Merge external providers into the configuration (phase 3, in the Pod).",
    "preflight": "Check that every provider will load (phase 4, in the Pod).",
    "start": "Run all phases in one container, then the server (in the Pod).",
}
_RUNTIME_COMMANDS = ("install", "install-all", "extract", "merge", "preflight", "start")


class CommandTable(SuggestingGroup):
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

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Complete the commands from `COMMANDS`; click would import each of them."""
        from click.shell_completion import CompletionItem

        names = [name for name in COMMANDS if name.startswith(incomplete)]
        if names or not incomplete.startswith("-"):
            return [CompletionItem(name, help=COMMANDS[name]) for name in names]
        return click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands from `COMMANDS`."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


class RuntimeCommand(click.Command):
    """A command of the runtime. Its options and its help are defined in `runtime.cli`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments unparsed: click's parser would drop a ``--``."""
        ctx.args = args
        return []

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:  # noqa: ARG002
        """Complete the options, which stand in the help."""
        from click.shell_completion import CompletionItem

        from lls_provider.runtime.cli.arguments import make_parser
        from lls_provider.runtime.cli.suggestions import options_in

        found = options_in(make_parser().help_of_commands()[self.name or ""])
        return [CompletionItem(name) for name in found if name.startswith(incomplete or "--")]

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
