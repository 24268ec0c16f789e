"""``lls-provider preflight``: the runtime's own command."""

from lls_provider.cli.passthrough import RuntimeCommand

command = RuntimeCommand("preflight")
