"""The options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lls_provider.cli.output import JSON, TEXT, CommandOutput, Verbosity
from lls_provider.errors import nearest_word

if TYPE_CHECKING:
    from lls_provider.wheels.uv_settings import Indexes

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
_SERVER_FORMS = (
    "It is a requirement such as 'ogx==1.5.0', a FILE of requirements, python:PATH, "
    "profile:NAME or an image."
)


def output_options(*machines: str) -> Decorator:
    """``--format``, ``--quiet`` and ``--verbose``, which every command has.

    ``machines`` are the formats besides text (default: json). They set the run's
    `CommandOutput`, and are no arguments of the command's function.
    """
    options = (
        click.option(
            "--format",
            type=Choice([TEXT, *(machines or (JSON,))]),
            default=TEXT,
            show_default=True,
            is_eager=True,
            expose_value=False,
            callback=_set_form,
            help="How the result is written to stdout.",
        ),
        click.option(
            "-q",
            "--quiet",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_set_verbosity,
            help="Show no progress: the result, warnings and errors only.",
        ),
        click.option(
            "-v",
            "--verbose",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_set_verbosity,
            help="Show also when each step began, which processes are started, and HTTP requests.",
        ),
    )

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _set_form(ctx: click.Context, _option: click.Parameter, value: str) -> None:
    ctx.ensure_object(CommandOutput).form = value


_VERBOSITIES = {"quiet": Verbosity.QUIET, "verbose": Verbosity.VERBOSE}


def _set_verbosity(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    if not value:
        return
    output = ctx.ensure_object(CommandOutput)
    if output.verbosity is not Verbosity.NORMAL:
        raise click.UsageError("--quiet and --verbose exclude each other.", ctx)
    output.verbosity = _VERBOSITIES[option.name or ""]


class Choice(click.Choice[str]):
    """One of several words; the error about another one suggests the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word."""
        try:
            return super().convert(value, param, ctx)
        except click.UsageError as error:
            if not (meant := nearest_word(str(value), self.choices)):
                raise
            text = f"{error.message.rstrip('.')}. Did you mean '{meant}'?"
            raise click.BadParameter(text, ctx, param) from error


Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def completed_by(name: str) -> Completer:
    """The function ``name`` of `complete`, which is imported when a shell asks."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        from lls_provider.cli import complete as candidates

        found: list[str] = getattr(candidates, name)(ctx, param, incomplete)
        return found

    return complete


def targets_argument() -> Decorator:
    """``TARGET...``: projects, bundles, images and provider files."""
    return click.argument(
        "targets",
        nargs=-1,
        required=True,
        metavar="TARGET...",
        shell_complete=completed_by("targets"),
    )


def distribution_option(what: str) -> Decorator:
    """``--distribution``, repeatable; ``what`` says which server it is for the command."""
    return server_option("--distribution", "distributions", what=what, multiple=True)


def server_option(*names: str, what: str, multiple: bool = False) -> Decorator:
    """An option for a server; ``what`` says which one it is for the command."""
    return click.option(
        *names,
        multiple=multiple,
        metavar="SERVER",
        help=f"{what}  {_SERVER_FORMS}",
        shell_complete=completed_by("distributions"),
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


def dry_run_option(what: str) -> Decorator:
    """``--dry-run``; ``what`` is its help text."""
    return click.option("--dry-run", is_flag=True, help=what)


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
