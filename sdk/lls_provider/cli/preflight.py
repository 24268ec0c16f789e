"""``lls-provider preflight``: the runtime's own command."""

from lls_provider.cli.runtime_commands import RuntimeCommand

command = RuntimeCommand("preflight")
