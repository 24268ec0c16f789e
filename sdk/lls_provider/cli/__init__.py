"""The command line: one file a command, imported only when that command is run.

Nothing is imported here that someone's module could shadow (`exit_guard`).
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # importing typing would be one of a stranger's first chances
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
