"""``lls-provider completion``: the script that completes commands in a shell."""

from __future__ import annotations

import click

from lls_provider.cli.boundary import EXIT_STATUSES, show_result
from lls_provider.cli.options import Choice, output_options
from lls_provider.cli.shells import SHELLS, script


@click.command(
    "completion",
    epilog="Example: lls-provider completion bash > "
    "~/.local/share/bash-completion/completions/lls-provider\n\n" + EXIT_STATUSES,
)
@click.argument("shell", metavar="SHELL", type=Choice(tuple(SHELLS)))
@output_options()
def command(shell: str) -> None:
    """Show the script that completes the commands, options and values in SHELL.

    \b
    bash (4.4 or later), for this session:
      source <(lls-provider completion bash)
    zsh, in ~/.zshrc after compinit:
      source <(lls-provider completion zsh)
    fish, in ~/.config/fish/config.fish:
      lls-provider completion fish | source
    """
    text = script(shell)
    document = {"shell": shell, "script": text}
    show_result("completion/1", lambda: document, lambda: text.rstrip("\n"), verbatim=True)
