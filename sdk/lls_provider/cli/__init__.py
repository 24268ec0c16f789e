"""The command line: one module per command, imported only when that command runs.

This module imports nothing that a module on PYTHONPATH could shadow (`exit_guard`).
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing imports modules that PYTHONPATH could shadow
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """The entry point of the command ``lls-provider``."""
    from lls_provider.runtime.process.exit_guard import guarded

    status = guarded(lambda: _run(list(sys.argv[1:] if argv is None else argv)))
    sys.exit(status)


def _run(argv: list[str]) -> int:
    from lls_provider.cli.boundary import run
    from lls_provider.cli.group import group

    return run(group, argv)
