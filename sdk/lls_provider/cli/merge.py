"""``lls-provider merge``: the runtime's own command."""

from lls_provider.cli.passthrough import RuntimeCommand

command = RuntimeCommand("merge")
