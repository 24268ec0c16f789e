"""The command line: one file a command, imported only when that command is run.

Nothing is imported here that somebody's module could stand in front of (`runtime.ending`).
"""

from __future__ import annotations

import gc
import sys

TYPE_CHECKING = False  # importing typing would be one of a stranger's first chances
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

EXIT_STATUSES = (
    "Exit status: 0 fine, 1 the thing checked is wrong, 2 bad usage, "
    "3 this machine lacks something, 130 and 143 on signals."
)

# The listing's texts stand here, so that --help imports no command.
COMMANDS: dict[str, str] = {
    "new": "Scaffold a provider project.",
    "check": "Check projects, bundles and images against every rule of the contract.",
    "test": "Run a project's own tests in its distribution's environment.",
    "build": "Build a provider into an image.",
    "push": "Push an image that is built already into registries.",
    "inspect": "Show what an image says of itself, without reading its layers.",
    "compat": "Tell whether providers will live together, before they are deployed.",
    "up": "Run all five phases here, with the real server.",
    "install": "Install a provider onto the volume (phase 1, in the Pod).",
    "merge": "Merge external providers into the configuration (phase 3, in the Pod).",
    "preflight": "Check that every provider will load (phase 4, in the Pod).",
}


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """The entry point of the command ``lls-provider``."""
    from lls_provider.runtime.ending import guarded

    status = guarded(lambda: _run(list(sys.argv[1:] if argv is None else argv)))
    gc.freeze()  # an exit would look for cycles in all that a large closure has left behind
    sys.exit(status)


def _run(argv: list[str]) -> int:
    from lls_provider.cli.boundary import run
    from lls_provider.cli.group import group

    return run(group, argv)
