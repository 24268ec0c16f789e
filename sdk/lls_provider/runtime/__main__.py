"""The command line of the zipapp (`zipped` starts it), and of ``python -m lls_provider.runtime``.

Light on purpose: whether there is anything to do is decided before anything heavy is imported.
"""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False  # importing typing for it would cost the fast path a quarter of its time
if TYPE_CHECKING:
    from typing import TextIO


def main() -> int:
    """Run the command line; gives its status, with everything written."""
    from lls_provider.runtime.arguments import main as run

    # what a short process makes lives to its end: looking for garbage took a quarter of the plan
    gc.disable()
    try:
        status = run(sys.argv[1:])
    except KeyboardInterrupt:  # before or after our handlers were in place
        status = 130
    for stream in (sys.stdout, sys.stderr):
        _settle(stream)
    return status


def _settle(stream: TextIO | None) -> None:
    """Write what is left; a reader that is gone must not change the exit status."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
