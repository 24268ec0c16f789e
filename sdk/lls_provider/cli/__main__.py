"""``python -m lls_provider.cli`` is the command ``lls-provider``."""

from lls_provider.cli import main

main()
