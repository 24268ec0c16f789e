"""Where the zipapp starts: what costs time in a zipapp alone is done without.

Measured by benchmarks/tricks.py, on a rerun with nothing to do: without the importer it takes 1.09
times as long, without `os._exit` 1.08 times, with an import of typing 1.09 times.
"""

from __future__ import annotations

import os
import sys
from zipimport import zipimporter

TYPE_CHECKING = False  # importing typing would slow the fast path down (benchmarks/tricks.py)
if TYPE_CHECKING:
    from typing import NoReturn


def start() -> NoReturn:
    """Run the command line and end the process with its status."""
    _compile_once()  # imports nothing: what ends the process from here on is noticed
    from lls_provider.runtime.process.exit_guard import guarded, termination_log_argument

    leave = os._exit  # before a third-party module may replace it
    # all is written by then; freeing what was imported takes time for nothing
    leave(guarded(_main, termination_log_argument(sys.argv)))


def _main() -> int:
    from lls_provider.runtime.__main__ import main

    return main()


def _compile_once() -> None:
    """Import from here on without compiling each module twice."""
    sys.path_hooks.insert(0, _Importer)
    for path in [it for it in sys.path_importer_cache if it.startswith(sys.path[0])]:
        del sys.path_importer_cache[path]


class _Importer(zipimporter):
    """zipimport compiles a module to learn its file's name, and once more to run it."""

    def get_filename(self, fullname: str) -> str:
        """The name of a module's file in the archive, from the archive's directory."""
        end = "/__init__.py" if self.is_package(fullname) else ".py"
        return f"{self.archive}/{self.prefix}{fullname.rpartition('.')[2]}{end}"
