"""Starts the command line: of the zipapp (`start`), and of ``-m lls_provider.runtime``.

Light on purpose: whether there is anything to do is decided before anything heavy is imported.
The zipapp also avoids what is slow in a zipapp alone. Measured by benchmarks/tricks.py, on a rerun
with nothing to do: without the importer it takes 1.09 times as long, without `os._exit` 1.08 times,
with an import of typing 1.09 times.
"""

from __future__ import annotations

import os
import sys
from zipimport import zipimporter

TYPE_CHECKING = False  # importing typing would slow the fast path down (benchmarks/tricks.py)
if TYPE_CHECKING:
    from typing import NoReturn, TextIO


def start() -> NoReturn:
    """Run the command line of the zipapp and end the process with its status."""
    _compile_once()  # imports nothing: what ends the process from here on is noticed
    from lls_provider.runtime.process.exit_guard import guarded, termination_log_argument

    leave = os._exit  # before a third-party module may replace it
    # everything is written by then; freeing what was imported only takes time
    leave(guarded(main, termination_log_argument(sys.argv)))


def main() -> int:
    """Run the command line; returns its status, with everything written."""
    import signal

    # nothing is written yet; `signals.stop_signals` takes over before anything is
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    from lls_provider.runtime.cli.arguments import main as run

    status = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        _flush(stream)
    return status


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


def _end(number: int, _frame: object) -> None:
    """End with the status that a shell reports; without a handler, PID 1 ignores the signal."""
    os._exit(128 + number)


def _flush(stream: TextIO | None) -> None:
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
