"""``lls-provider merge``: the runtime's own command."""

from lls_provider.cli.passthrough import runtime_command

command = runtime_command("merge")
