"""Ends a process with status 0 only if its work was done, whatever it imports.

A third-party module may be first on Python's path (PYTHONPATH) and end the process. So this module
imports nothing that could be that module until it is certain that something went wrong.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # importing typing would slow the fast path down (benchmarks/tricks.py)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

_exit = os._exit
TERMINATION_LOG = "/dev/termination-log"
_ERROR_FILE = "LLS_PROVIDER_ERROR_FILE"  # messages.ERROR_FILE, which cannot be imported here
_ENVIRONMENT = 3  # of errors.ExitStatus, as is the status for SIGINT
_INTERRUPTED = 130
_HARMLESS = "_sitebuiltins"  # defines the function exit()


def guarded(work: Callable[[], int], log: str = "") -> int:
    """Return the status of ``work``; if anything else ends the process, its status is 3.

    A message then goes to stderr and to the termination log ``log``.
    """
    process = os.getpid()

    def leave(status: int) -> None:
        """Replace `os._exit`, which would end the process with 0 before the work is done."""
        if status == 0 and os.getpid() == process:
            frame = sys._getframe(1)  # noqa: SLF001 - inspect may be the module that shadows
            place = (frame.f_code.co_filename, frame.f_lineno)
            status = _report("os._exit(0) was called there", place, log)
        _exit(status)

    before, os._exit = os._exit, leave  # type: ignore[assignment]
    try:
        return work()
    except SystemExit as error:
        return exit_process(error, log)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the commands catch their own
        why = f"{type(error).__name__}: {_text(error)}"
        return _report(why, _place(error.__traceback__), log, what="lls-provider cannot be started")
    finally:
        os._exit = before


def exit_process(error: SystemExit, log: str = "") -> int:
    """Report that a module which is not ours ended the process; returns the exit status for it."""
    raised = "SystemExit" if error.code is None else f"SystemExit({_text(error.code)})"
    return _report(f"{raised} was raised there", _place(error.__traceback__), log)


def _text(value: object) -> str:
    try:
        return repr(value)[:200]
    except BaseException:  # noqa: BLE001 - an untrusted object
        return "..."


def _place(trace: TracebackType | None) -> tuple[str, int] | None:
    found = None
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if _HARMLESS not in file:
            found = (file, trace.tb_lineno)
        trace = trace.tb_next
    return found


def _report(
    why: str,
    place: tuple[str, int] | None,
    log: str,
    *,
    what: str = "A module that is not ours ended the process",
) -> int:
    why += ". The work was not done."
    variable = os.environ.get("PYTHONPATH")
    resolution = "Remove that module from where Python looks for modules"
    if variable:
        resolution += f", or unset PYTHONPATH (it is {variable[:500]})"
    resolution += "."
    try:
        from lls_provider.errors import Code, SdkError, Where

        where = Where(file=place[0], line=place[1]) if place else Where()
        error = SdkError(Code.PROCESS_ENDED, what, why=why, where=where, resolution=resolution)
        message = error.render()
        if path := os.environ.get(_ERROR_FILE):
            from lls_provider.runtime.messages import write_error_file

            write_error_file(error, path)
    except BaseException:  # noqa: BLE001 - the module may break this, too
        file = f"File: {place[0]}:{place[1]}\n\n" if place else ""
        message = f"ERROR: {what}\n\n{file}{why}\n\nResolution: {resolution}"
    data = "".join(
        it if it.isprintable() or it == "\n" else ascii(it)[1:-1] for it in message + "\n"
    ).encode("utf-8", "backslashreplace")
    for descriptor in (2, _opened(log)):
        if descriptor is not None:
            try:
                os.write(descriptor, data[:4096])
            except OSError:
                continue
    return _ENVIRONMENT


def termination_log_argument(argv: Sequence[str]) -> str:
    """The termination log, from arguments that are not parsed yet."""
    flag = "--termination-log"
    log = ""
    for word, after in zip(argv, [*argv, ""][1:], strict=True):
        if word == flag:
            log = after
        elif word.startswith(f"{flag}="):
            log = word.removeprefix(f"{flag}=")
    return log or TERMINATION_LOG


def _opened(log: str) -> int | None:
    """A descriptor of the termination log if it exists; it stays open until the process ends."""
    try:
        return os.open(log, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
