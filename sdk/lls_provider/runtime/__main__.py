"""The command line of the zipapp, which `bootstrap` starts, and of ``-m lls_provider.runtime``.

Light on purpose: whether there is anything to do is decided before anything heavy is imported.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # importing typing would slow the fast path down (benchmarks/tricks.py)
if TYPE_CHECKING:
    from typing import TextIO


def main() -> int:
    """Run the command line; returns its status, with everything written."""
    # nothing was written yet; `signals.stop_signals` takes over before anything is
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    from lls_provider.runtime.cli.arguments import main as run

    status = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        _settle(stream)
    return status


def _end(number: int, _frame: object) -> None:
    """End as a shell would say it; without a handler, PID 1 of a container is sent no signal."""
    os._exit(128 + number)


def _settle(stream: TextIO | None) -> None:
    """Write what is left; a reader that is gone must not change the exit status."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    from lls_provider.runtime.process.exit_guard import guarded, termination_log_argument

    sys.exit(guarded(main, termination_log_argument(sys.argv)))
