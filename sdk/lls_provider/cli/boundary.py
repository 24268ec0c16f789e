"""Writes results to stdout, progress and errors to stderr, and returns the exit status.

Everything passes through `show` or `show_document`, so that nothing a provider, an image or a
registry says reaches a terminal unescaped. `run` is the one place where an error becomes text and
an exit status.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import click

from lls_provider import __version__
from lls_provider.errors import Code, ExitStatus, SdkError, Where
from lls_provider.runtime.process.exit_guard import exit_process
from lls_provider.untrusted import CHARACTERS_LIMIT, escaped, one_line

if TYPE_CHECKING:
    from lls_provider.progress import Advance, Progress


EXIT_STATUSES = (
    "Exit status: 0 fine, 1 the thing checked is wrong, 2 bad usage, "
    "3 something is missing on this machine, 130 and 143 on signals."
)


def show(text: str, *, err: bool = False) -> None:
    """Write text, escaped, and a newline to stdout or stderr."""
    _write(escaped(text), err=err)


def show_document(document: object) -> None:
    """Write JSON to stdout in ASCII, with all other characters escaped."""
    import json  # --help needs no JSON

    _write(json.dumps(document, indent=2).replace("\x7f", "\\u007f"))


def console() -> Progress:
    """Return the progress display that suits stderr."""
    live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")
    return _Terminal() if live else _Plain()


class _Plain:
    """One line per step, with the same text as on a terminal."""

    def step(self, text: str, /) -> None:
        _say(one_line(text, CHARACTERS_LIMIT))

    def note(self, text: str, /) -> None:
        _say(f"  {one_line(text, CHARACTERS_LIMIT)}")

    def warn(self, text: str, /) -> None:
        _say(_warning(text))

    def task(self, label: str, total: int, /) -> AbstractContextManager[Advance]:  # noqa: ARG002
        return nullcontext(_ignore)


class _Terminal(_Plain):
    """Steps dimmed, warnings in yellow, a bar for the running task."""

    def step(self, text: str, /) -> None:
        _say(one_line(text, CHARACTERS_LIMIT), dim=True)

    def note(self, text: str, /) -> None:
        _say(f"  {one_line(text, CHARACTERS_LIMIT)}", dim=True)

    def warn(self, text: str, /) -> None:
        _say(_warning(text), fg="yellow")

    def task(self, label: str, total: int, /) -> AbstractContextManager[Advance]:
        return _bar(label, total)


@contextmanager
def _bar(label: str, total: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    bars = Progress(*columns, console=Console(stderr=True), transient=True)
    with bars:
        task = bars.add_task(escape(one_line(label)), total=total or None)
        yield lambda amount: bars.advance(task, amount)


def _say(text: str, *, dim: bool | None = None, fg: str | None = None) -> None:
    shown = escaped(text)
    # https://no-color.org: an empty value does not count
    plain = bool(os.environ.get("NO_COLOR")) or (dim, fg) == (None, None)
    _write(shown if plain else click.style(shown, dim=dim, fg=fg), err=True)


def _write(text: str, *, err: bool = False) -> None:
    stream = sys.stderr if err else sys.stdout
    # a character that the stream's encoding cannot represent must not end the command
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        click.echo(text.encode(encoding, "backslashreplace").decode(encoding), err=err)
    except BrokenPipeError:
        # the reader closed the pipe, as `| head` does; continue, so that the status is correct
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _warning(text: str) -> str:
    # the messages of contract section 6 already begin with the word
    return text if text.startswith("WARNING") else f"WARNING: {text}"


def _ignore(_amount: int) -> None:
    return None


DEBUG = "LLS_PROVIDER_DEBUG"
_FULL = (errno.ENOSPC, errno.EDQUOT)


def run(command: click.Command, argv: Sequence[str]) -> int:
    """Run ``command`` and return its exit status; never raises."""
    from lls_provider.runtime.process.signals import StoppedBySignal, stop_signals

    try:
        with stop_signals():
            result = command.main(
                list(argv), prog_name="lls-provider", standalone_mode=False, obj=tuple(argv)
            )
        return result if isinstance(result, int) else ExitStatus.OK
    except StoppedBySignal as stopped:
        show(f"lls-provider: stopped by {_signal(stopped.status)}", err=True)
        return stopped.status
    except click.exceptions.NoArgsIsHelpError as error:
        show(error.format_message(), err=True)
        return ExitStatus.USAGE
    except click.UsageError as error:
        return _show(usage_error(error))
    except click.ClickException as error:
        return _show(_usage(error.format_message(), ""))
    except (click.Abort, KeyboardInterrupt):
        return ExitStatus.INTERRUPTED
    except SdkError as error:
        return _show(error)
    except SystemExit as error:
        if not _is_clicks(error):
            return exit_process(error)
        if not _reader_has_gone():
            return _show(internal_error(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))))
        _drop_output()
        return ExitStatus.OK
    except OSError as error:
        shown_error = full_error(error) if error.errno in _FULL else internal_error(error)
        return _show(shown_error, cause=error)
    except Exception as error:  # noqa: BLE001 - users never see a traceback of ours
        return _show(internal_error(error), cause=error)


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


def _show(error: SdkError, cause: BaseException | None = None) -> int:
    if os.environ.get(DEBUG):
        show("".join(traceback.format_exception(cause or error)), err=True)
    show(error.render(), err=True)
    return error.status


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
