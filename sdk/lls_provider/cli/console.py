"""What the command line shows: results on stdout; progress on stderr, live on a terminal.

Everything passes through `show` or `show_document`, so that nothing a provider, an image or a
registry says reaches a terminal as it is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import click

from lls_provider.untrusted import CHARACTERS_LIMIT, escaped, one_line

if TYPE_CHECKING:
    from lls_provider.progress import Advance, Progress

EXIT_STATUSES = (
    "Exit status: 0 fine, 1 the thing checked is wrong, 2 bad usage, "
    "3 this machine lacks something, 130 and 143 on signals."
)


def show(text: str, *, err: bool = False) -> None:
    """Write text that may quote somebody, and a line's end, to stdout or stderr."""
    _write(escaped(text), err=err)


def show_document(document: object) -> None:
    """Write JSON to stdout, in ASCII: every other character stands there as its escape."""
    import json  # the listing of the commands needs none

    _write(json.dumps(document, indent=2).replace("\x7f", "\\u007f"))


def console() -> Progress:
    """The progress for this process's stderr."""
    live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")
    return _Terminal() if live else _Plain()


class _Plain:
    """One line a step, the same text as on a terminal."""

    def step(self, text: str, /) -> None:
        _say(one_line(text, CHARACTERS_LIMIT))

    def note(self, text: str, /) -> None:
        _say(f"  {one_line(text, CHARACTERS_LIMIT)}")

    def warn(self, text: str, /) -> None:
        _say(_warning(text))

    def task(self, label: str, total: int, /) -> AbstractContextManager[Advance]:  # noqa: ARG002
        return nullcontext(_ignore)


class _Terminal(_Plain):
    """Steps dimmed, warnings yellow, one bar for a running task."""

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
    # a character that the stream's encoding lacks must not end the work
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        click.echo(text.encode(encoding, "backslashreplace").decode(encoding), err=err)
    except BrokenPipeError:
        # the reader has gone, as `| head` does: the work goes on, so that the status stays true
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _warning(text: str) -> str:
    # the layouts of the contract (section 6) begin with the word themselves
    return text if text.startswith("WARNING") else f"WARNING: {text}"


def _ignore(_amount: int) -> None:
    return None
