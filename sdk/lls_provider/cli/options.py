"""The options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lls_provider.wheels.uv_settings import Indexes

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
DISTRIBUTION = "REQUIREMENT|FILE|python:PATH|profile:NAME|IMAGE"


def format_option(*machines: str) -> Decorator:
    """``--format``: ``text``, or one of the formats in ``machines`` (default: json)."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(["text", *(machines or ("json",))]),
        default="text",
        show_default=True,
        help="How the result is written to stdout.",
    )


def distribution_option(what: str) -> Decorator:
    """``--distribution``, repeatable; ``what`` is its help text."""
    return click.option(
        "--distribution",
        "distributions",
        multiple=True,
        metavar=DISTRIBUTION,
        help=what,
    )


def python_option(what: str) -> Decorator:
    """``--python``: an interpreter; ``what`` is its help text."""
    return click.option("--python", metavar="PATH|VERSION", help=what)


def platform_option(what: str, *, multiple: bool = False) -> Decorator:
    """``--platform``: what an image runs on; ``what`` is its help text."""
    return click.option(
        "--platform",
        "platforms" if multiple else "platform",
        multiple=multiple,
        metavar="linux/ARCH",
        help=what,
    )


def insecure_option() -> Decorator:
    """``--insecure``: accept registries without verified TLS."""
    return click.option(
        "--insecure",
        is_flag=True,
        help="Accept registries without TLS, or with an unverified certificate.",
    )


def index_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--default-index``, ``--index``, ``--find-links`` and ``--offline``: see `indexes_of`."""
    for option in (
        click.option(
            "--offline",
            is_flag=True,
            help="Use no index: only what is in the caches.  [env: UV_OFFLINE]",
        ),
        click.option(
            "--find-links",
            multiple=True,
            metavar="DIR|URL",
            help="A directory or page with wheels, in addition to the indexes (repeatable).  "
            "[env: UV_FIND_LINKS]",
        ),
        click.option(
            "--index",
            multiple=True,
            metavar="[NAME=]URL",
            help="An index that is searched before the default one (repeatable).  [env: UV_INDEX]",
        ),
        click.option(
            "--default-index",
            metavar="[NAME=]URL",
            help="The index in place of PyPI.  [env: UV_DEFAULT_INDEX]",
        ),
    ):
        function = option(function)
    return function


def indexes_of(options: dict[str, Any]) -> Indexes:
    """Return the value of `index_options`, removed from ``options``."""
    from lls_provider.wheels.uv_settings import Indexes

    names = ("default_index", "index", "find_links", "offline")
    return Indexes(**{name: options.pop(name) for name in names})


def lock_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--lock``, ``--locked`` and ``--lock-file``."""
    for option in (
        click.option(
            "--lock-file",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="The lock.  [default: pylock.toml of the project, with --package here]",
        ),
        click.option(
            "--locked",
            is_flag=True,
            help="Build from the lock alone; fail if it no longer matches the project.",
        ),
        click.option(
            "--lock",
            is_flag=True,
            help="Write a lock (PEP 751): what was resolved, with hashes, for every platform.",
        ),
    ):
        function = option(function)
    return function
