"""``lls-provider preflight``: the runtime's own command."""

from lls_provider.cli.passthrough import runtime_command

command = runtime_command("preflight")
