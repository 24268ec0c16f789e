"""``lls-provider install``: the runtime's own command."""

from lls_provider.cli.passthrough import RuntimeCommand

command = RuntimeCommand("install")
