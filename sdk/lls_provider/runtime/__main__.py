"""The entry point of the zipapp, and of ``python -m lls_provider.runtime``.

Light on purpose: whether there is anything to do is decided before anything heavy is imported.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and end the process with its status."""
    from lls_provider.runtime.arguments import main as run

    status = 1
    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:  # before or after our handlers were in place
        status = 130
    except OSError:
        # whoever read our output is gone; the status still counts
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


if __name__ == "__main__":
    main()
