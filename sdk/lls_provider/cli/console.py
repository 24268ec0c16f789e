"""Progress on stderr: live bars on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lls_provider.progress import Advance, Progress


def console() -> Progress:
    """The progress for this process's stderr."""
    live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")
    return _Terminal() if live else _Plain()


class _Plain:
    """One line a step, the same text as on a terminal."""

    def step(self, text: str, /) -> None:
        _say(text)

    def note(self, text: str, /) -> None:
        _say(f"  {text}")

    def warn(self, text: str, /) -> None:
        _say(_warning(text))

    def task(self, label: str, total: int, /) -> AbstractContextManager[Advance]:  # noqa: ARG002
        return nullcontext(_ignore)


class _Terminal(_Plain):
    """Steps dimmed, warnings yellow, one bar for a running task."""

    def step(self, text: str, /) -> None:
        _say(_styled(text, dim=True))

    def note(self, text: str, /) -> None:
        _say(_styled(f"  {text}", dim=True))

    def warn(self, text: str, /) -> None:
        _say(_styled(_warning(text), fg="yellow"))

    def task(self, label: str, total: int, /) -> AbstractContextManager[Advance]:
        return _bar(label, total)


@contextmanager
def _bar(label: str, total: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    bars = Progress(*columns, console=Console(stderr=True), transient=True)
    with bars:
        task = bars.add_task(label, total=total or None)
        yield lambda amount: bars.advance(task, amount)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _styled(text: str, *, dim: bool | None = None, fg: str | None = None) -> str:
    # https://no-color.org: an empty value does not count
    return text if os.environ.get("NO_COLOR") else click.style(text, dim=dim, fg=fg)


def _warning(text: str) -> str:
    # the layouts of the contract (section 6) begin with the word themselves
    return text if text.startswith("WARNING") else f"WARNING: {text}"


def _ignore(_amount: int) -> None:
    return None
