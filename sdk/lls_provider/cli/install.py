"""``lls-provider install``: the runtime's own command."""

from lls_provider.cli.runtime_commands import RuntimeCommand

command = RuntimeCommand("install")
