"""Options that several commands have, worded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def format_option(*machines: str) -> Decorator:
    """``--format``: ``text``, or one of the forms that ``machines`` names (default: json)."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(["text", *(machines or ("json",))]),
        default="text",
        show_default=True,
        help="How the result is written to stdout.",
    )


def distribution_option(what: str) -> Decorator:
    """``--distribution``, repeatable; ``what`` says what it is for."""
    return click.option(
        "--distribution",
        "distributions",
        multiple=True,
        metavar="REQUIREMENT|FILE|python:PATH",
        help=what,
    )


def python_option(what: str) -> Decorator:
    """``--python``: an interpreter; ``what`` says what it is for."""
    return click.option("--python", metavar="PATH|VERSION", help=what)


def platform_option(what: str, *, multiple: bool = False) -> Decorator:
    """``--platform``: what an image runs on; ``what`` says what it is for."""
    return click.option(
        "--platform",
        "platforms" if multiple else "platform",
        multiple=multiple,
        metavar="linux/ARCH",
        help=what,
    )


def insecure_option() -> Decorator:
    """``--insecure``: registries may do without TLS."""
    return click.option(
        "--insecure",
        is_flag=True,
        help="Accept registries without TLS, or with a certificate nobody vouches for.",
    )
