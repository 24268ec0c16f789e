"""Runs a command: the one place where an error becomes text, or JSON, and an exit status.

It also names what every command needs of `output` and `console`.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import click

from lls_provider import __version__
from lls_provider.cli.output import (
    JSON,
    CommandOutput,
    current,
    named,
    prepare_streams,
    show,
    show_document,
    show_prose,
    show_result,
)
from lls_provider.errors import Code, ExitStatus, SdkError, Where
from lls_provider.runtime.process.exit_guard import exit_process

if TYPE_CHECKING:
    from lls_provider.progress import Progress

__all__ = ["EXIT_STATUSES", "console", "current", "run", "show", "show_document", "show_result"]

EXIT_STATUSES = (
    "Exit status: 0 fine, 1 the thing checked is wrong, 2 bad usage, "
    "3 something is missing on this machine, 130 and 143 on signals."
)


def console(waiting: str = "") -> Progress:
    """The progress display of this run; see `lls_provider.cli.console.console`."""
    from lls_provider.cli.console import console as make  # --help shows no progress

    return make(waiting)


_COMPLETE = "_LLS_PROVIDER_COMPLETE"  # shells.VARIABLE, which --help does not load
DEBUG = "LLS_PROVIDER_DEBUG"
_FULL = (errno.ENOSPC, errno.EDQUOT)


def run(command: click.Command, argv: Sequence[str]) -> int:
    """Run ``command`` and return its exit status; never raises."""
    if question := os.environ.get(_COMPLETE):
        return _complete(command, question)
    output = CommandOutput(tuple(argv))
    prepare_streams(os.environ)
    try:
        return _run(command, argv, output)
    finally:
        output.close()


def _complete(command: click.Command, question: str) -> int:
    """Answer a shell; an error must not appear in the middle of its line."""
    from lls_provider.cli.shells import answer

    try:
        return answer(command, question)
    except Exception:  # noqa: BLE001 - as said
        return ExitStatus.WRONG


def _run(command: click.Command, argv: Sequence[str], output: CommandOutput) -> int:
    from lls_provider.runtime.process.signals import StoppedBySignal, stop_signals

    try:
        with stop_signals():
            result = command.main(
                list(argv), prog_name="lls-provider", standalone_mode=False, obj=output
            )
        return result if isinstance(result, int) else ExitStatus.OK
    except StoppedBySignal as stopped:
        output.close()
        show(f"lls-provider: stopped by {_signal(stopped.status)}", err=True)
        return stopped.status
    except click.exceptions.NoArgsIsHelpError as error:
        show(error.format_message(), err=True)
        return ExitStatus.USAGE
    except click.UsageError as error:
        from lls_provider.runtime.cli.suggestions import asks_for_json

        if asks_for_json(argv):  # click may not have come as far as --format
            output.form = JSON
        return _show(usage_error(error), output)
    except click.ClickException as error:
        return _show(_usage(error.format_message(), ""), output)
    except (click.Abort, KeyboardInterrupt):
        return ExitStatus.INTERRUPTED
    except SdkError as error:
        return _show(error, output)
    except SystemExit as error:
        if not _is_clicks(error):
            return exit_process(error)
        if not _reader_has_gone():
            broken = BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
            return _show(internal_error(broken), output)
        _drop_output()
        return ExitStatus.OK
    except OSError as error:
        shown_error = full_error(error) if error.errno in _FULL else internal_error(error)
        return _show(shown_error, output, cause=error)
    except Exception as error:  # noqa: BLE001 - users never see a traceback of ours
        return _show(internal_error(error), output, cause=error)


def _is_clicks(error: SystemExit) -> bool:
    """Whether click raised this, which it does only for a broken pipe."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).parent == Path(click.__file__).parent


def _reader_has_gone() -> bool:
    """Whether the reader of click's own output closed the pipe, as `--help | head` does.

    Any other broken pipe is a network connection: `show` handles its own.
    """
    poll = select.poll()
    for descriptor in (1, 2):
        poll.register(descriptor, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def usage_error(error: click.UsageError) -> SdkError:
    """Return click's error about the command line as an SdkError."""
    path = error.ctx.command_path if error.ctx else "lls-provider"
    return _usage(error.format_message(), path)


def full_error(error: OSError) -> SdkError:
    """Return the error for a full disk that no caller handles, such as a redirected stdout's."""
    _drop_output()
    return SdkError(
        Code.NO_SPACE,
        f"No space left to write {error.filename or 'the output'}",
        why=error.strerror or "",
        where=Where(file=error.filename),
        resolution="Free space on that file system or write to another one.",
    )


def internal_error(error: BaseException) -> SdkError:
    """Return the error for an unexpected exception, which asks for a bug report."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"\nin {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    return SdkError(
        Code.INTERNAL,
        "A fault of lls-provider itself",
        why=f"{type(error).__name__}: {error}{place}\nlls-provider {__version__}, "
        f"Python {sys.version.split()[0]}",
        resolution=f"Please report it with this text. {DEBUG}=1 shows the traceback.",
    )


def _show(error: SdkError, output: CommandOutput, cause: BaseException | None = None) -> int:
    """Write the error as text to stderr, and as JSON to stdout if nothing else is there."""
    output.close()
    if os.environ.get(DEBUG):
        show("".join(traceback.format_exception(cause or error)), err=True)
    show_prose(error.render(), err=True)
    if output.is_json and not output.documents:
        show_document(named("error/1", error_document(error)))
    return error.status


def error_document(error: SdkError) -> dict[str, object]:
    """An error in the JSON form, with its exit status and the message that people read."""
    return {
        "exit_status": int(error.status),
        "error": error.to_result(),
    }


def _drop_output() -> None:
    """Discard what stdout still buffers, so that Python reports no error at exit."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(message: str, path: str) -> SdkError:
    what, _, why = message.rstrip(".").partition("\n")
    return SdkError(
        Code.USAGE,
        what.rstrip("."),
        why=dedent(why),
        resolution=f"Run '{path or 'lls-provider'} --help' for the options and an example.",
    )


def _signal(status: ExitStatus) -> str:
    return "SIGTERM" if status == ExitStatus.TERMINATED else "SIGINT"
