"""The runtime's command line (design, "The runtime's interface"): one parser for all callers."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from lls_provider import __version__
from lls_provider.runtime.install import up_to_date
from lls_provider.runtime.process.exit_guard import TERMINATION_LOG, termination_log_argument

TYPE_CHECKING = False  # importing typing would slow the fast path down (benchmarks/tricks.py)
if TYPE_CHECKING:
    from typing import NoReturn

# Paths of contract.names and statuses of errors.ExitStatus, repeated here so that the fast path
# imports neither; a test compares them.
IMAGE_ROOT = "/lls-provider"
VOLUME_ROOT = "/opt/llama-stack"
CONTAINER_PREFIX = "install-provider-"
OK = 0
USAGE = 2

_INSTALL_EXAMPLE = """\
example:
  lls-provider.pyz install --provider-id acme-echo --api inference \\
      --image registry.example.com/acme/echo:1.0 --container install-provider-acme-echo --order 0
"""
_INSTALL_ALL_EXAMPLE = """\
example:
  lls-provider.pyz install-all --providers "$LLS_PROVIDERS"
"""
_EXTRACT_EXAMPLE = """\
example:
  lls-provider.pyz extract --root /opt/llama-stack
"""
_START_EXAMPLE = """\
example:
  lls-provider.pyz start --providers "$LLS_PROVIDERS" --base /etc/ogx/config.yaml \\
      -- /usr/local/bin/ogx-entrypoint.sh
"""
_MERGE_EXAMPLE = """\
example:
  lls-provider.pyz merge --root /opt/llama-stack
"""
_PREFLIGHT_EXAMPLE = """\
example:
  lls-provider.pyz preflight --run-yaml /opt/llama-stack/config/run.yaml
"""


def main(argv: Sequence[str], *, prog: str = "lls-provider.pyz") -> int:
    """Run one of the runtime's commands and return the exit status.

    Errors are shown on stderr and in the termination log; none of them leaves as an exception.
    """
    parser = make_parser(prog)
    try:
        options = parser.parse_args(list(argv))
    except BadUsageError as error:
        from lls_provider.runtime.cli import commands
        from lls_provider.runtime.cli.suggestions import asks_for_json, suggestions

        return commands.bad_usage(
            error.parser,
            str(error),
            termination_log_argument(argv),
            meant=suggestions(argv, parser.help_of_commands()),
            form="json" if asks_for_json(argv) else "text",
        )
    except _AnsweredError:
        return OK
    if options.command == "install":
        _complete(options)
        if _is_done(options):
            _show_done(options)
            return OK
    from lls_provider.runtime.cli import commands

    return commands.run(options)


class BadUsageError(Exception):
    """What is wrong with the arguments of ``parser``."""

    def __init__(self, parser: argparse.ArgumentParser, message: str) -> None:
        super().__init__(message)
        self.parser = parser


class _AnsweredError(Exception):
    """The help or the version was requested, and is shown."""


class _Parser(argparse.ArgumentParser):
    """Raises what argparse would print before it exits, for the Pod's status to show it too."""

    commands: argparse._SubParsersAction[_Parser]

    def help_of_commands(self) -> dict[str, str]:
        """The help of each command."""
        return {name: parser.format_help() for name, parser in self.commands.choices.items()}

    def error(self, message: str) -> NoReturn:
        raise BadUsageError(self, message)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:  # noqa: ARG002
        # not SystemExit, which third-party modules raise too
        raise _AnsweredError


def make_parser(prog: str = "lls-provider.pyz") -> _Parser:
    """The parser; an environment variable sets the default of its flag.

    Parsing raises BadUsageError.
    """
    parser = _Parser(
        prog=prog,
        description="Install providers into a Llama Stack Pod, merge their configuration into the "
        "distribution's, and check that they load.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"lls-provider {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parser.commands = commands
    _add_install(_command(commands, "install", "phase 1: install a provider", _INSTALL_EXAMPLE))
    _add_install_all(
        _command(
            commands,
            "install-all",
            "phase 1 for several providers whose images are mounted",
            _INSTALL_ALL_EXAMPLE,
        )
    )
    _add_extract(
        _command(
            commands, "extract", "phase 2: copy the distribution's configuration", _EXTRACT_EXAMPLE
        )
    )
    _add_merge(_command(commands, "merge", "phase 3: merge the configuration", _MERGE_EXAMPLE))
    _add_preflight(
        _command(commands, "preflight", "phase 4: check every provider", _PREFLIGHT_EXAMPLE)
    )
    _add_start(
        _command(commands, "start", "all phases in one container, then the server", _START_EXAMPLE)
    )
    for command in commands.choices.values():
        _add_output(command)
    return parser


def _command(
    commands: argparse._SubParsersAction[_Parser],
    name: str,
    text: str,
    example: str,
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_install(parser: argparse.ArgumentParser) -> None:
    _from_environment(parser, "--provider-id", "LLS_PROVIDER_ID", "ID", "the provider's ID")
    _from_environment(
        parser, "--api", "LLS_PROVIDER_API", "API", "the API that it implements, in snake_case"
    )
    _from_environment(parser, "--image", "LLS_PROVIDER_IMAGE", "REF", "the provider image")
    _from_environment(
        parser,
        "--container",
        "LLS_INIT_CONTAINER",
        "NAME",
        f"this init container's name (default: {CONTAINER_PREFIX}ID)",
        required=False,
    )
    parser.add_argument(
        "--order",
        type=int,
        default=_environment("LLS_PROVIDER_ORDER"),
        metavar="N",
        help="the provider's place in the CR (default: after those installed) [LLS_PROVIDER_ORDER]",
    )
    config = parser.add_mutually_exclusive_group()
    config.add_argument(
        "--config", metavar="JSON", help="the provider's configuration [LLS_PROVIDER_CONFIG]"
    )
    config.add_argument("--config-file", metavar="FILE", help="the same from a file, JSON or YAML")
    parser.add_argument(
        "--source", default=IMAGE_ROOT, metavar="DIR", help="the bundle (default: %(default)s)"
    )
    _add_root(parser)
    _from_environment(
        parser,
        "--python-tag",
        "LLS_TARGET_PYTHON",
        "TAG",
        "the server's Python, such as cp312; wheels are checked against it",
        required=False,
    )
    parser.add_argument(
        "--termination-log",
        default=TERMINATION_LOG,
        metavar="FILE",
        help="where an error is left for Kubernetes (default: %(default)s)",
    )


def _add_extract(parser: argparse.ArgumentParser) -> None:
    _add_root(parser)
    parser.add_argument(
        "--config-path",
        metavar="FILE",
        help="the distribution's configuration (default: what the image's variables name, then the "
        "known paths)",
    )
    parser.set_defaults(termination_log=TERMINATION_LOG)


def _add_install_all(parser: argparse.ArgumentParser) -> None:
    _add_providers(parser)
    _add_root(parser)
    parser.set_defaults(termination_log=TERMINATION_LOG, run=main)


def _add_providers(parser: argparse.ArgumentParser) -> None:
    _from_environment(
        parser,
        "--providers",
        "LLS_PROVIDERS",
        "JSON",
        "the providers in their order, as a list of objects with id, api, image, source and config "
        "or config_file",
    )


def _add_start(parser: argparse.ArgumentParser) -> None:
    _add_providers(parser)
    _add_root(parser)
    configuration = parser.add_mutually_exclusive_group()
    configuration.add_argument(
        "--base",
        metavar="FILE",
        help="the configuration to merge into (default: the one that extract finds)",
    )
    configuration.add_argument(
        "--merged",
        metavar="FILE",
        help="a configuration that has the providers already; nothing is merged",
    )
    parser.add_argument(
        "server", nargs="+", metavar="COMMAND", help="what to become: the image's entry point"
    )
    parser.set_defaults(termination_log=TERMINATION_LOG, run=main)


def _add_merge(parser: argparse.ArgumentParser) -> None:
    _add_root(parser)
    parser.add_argument(
        "--base",
        metavar="FILE",
        help="the distribution's configuration (default: ROOT/base-config/run.yaml)",
    )
    parser.add_argument(
        "--output-name",
        default="run.yaml",
        choices=("run.yaml", "config.yaml"),
        help="the name of the file written to ROOT/config (default: %(default)s)",
    )
    parser.set_defaults(termination_log=TERMINATION_LOG)


def _add_preflight(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--run-yaml", required=True, metavar="FILE", help="the configuration that the server gets"
    )
    _add_root(parser)
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=_environment("LLS_PREFLIGHT_TIMEOUT"),
        metavar="SECONDS",
        help="how long each provider may take to load (default: 60) [LLS_PREFLIGHT_TIMEOUT]",
    )
    parser.add_argument(
        "--keep-bytecode",
        action="store_true",
        help="leave the bytecode of what is imported on the volume, for the server; it must be "
        "writable",
    )
    parser.set_defaults(termination_log=TERMINATION_LOG)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        dest="form",
        help="how the result is written to stdout (default: %(default)s)",
    )
    verbosity = parser.add_mutually_exclusive_group()
    verbosity.add_argument(
        "-q", "--quiet", action="store_true", help="show only the result, warnings and errors"
    )
    verbosity.add_argument(
        "-v", "--verbose", action="store_true", help="show also when each step began"
    )


def _add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root", default=VOLUME_ROOT, metavar="DIR", help="the volume (default: %(default)s)"
    )


def _from_environment(
    parser: argparse.ArgumentParser,
    flag: str,
    variable: str,
    metavar: str,
    text: str,
    *,
    required: bool = True,
) -> None:
    default = _environment(variable)
    parser.add_argument(
        flag,
        default=default,
        required=required and default is None,
        metavar=metavar,
        help=f"{text} [{variable}]",
    )


def _environment(variable: str) -> str | None:
    """A variable's value; None if it is unset or empty."""
    return os.environ.get(variable) or None


def _seconds(text: str) -> float:
    from lls_provider.runtime.preflight.probe_client import TIMEOUT_LIMIT, parse_seconds

    seconds = parse_seconds(text)
    if seconds is None:
        raise argparse.ArgumentTypeError(
            f"{text!r:.100} is not a number of seconds above 0 and up to {TIMEOUT_LIMIT:.0f}"
        )
    return seconds


def _complete(options: argparse.Namespace) -> None:
    """Set the arguments that follow from others, and the fingerprint of all."""
    if options.container is None:
        options.container = CONTAINER_PREFIX + options.provider_id
    if options.config is None and options.config_file is None:
        options.config = _environment("LLS_PROVIDER_CONFIG")
    config = options.config
    if options.config_file is not None:
        try:
            config = (up_to_date.content_fingerprint(options.config_file) or b"").hex()
        except OSError:
            config = None  # reading it again reports why
    options.fingerprint = up_to_date.arguments_fingerprint(
        [
            options.provider_id,
            options.api,
            options.image,
            options.container,
            str(options.order),
            config,
        ]
    )


def _show_done(options: argparse.Namespace) -> None:
    if not options.quiet:
        sys.stderr.write(f"lls-provider: '{options.provider_id}' is installed already\n")
    if options.form == "json":
        from lls_provider.runtime.cli import commands

        console = commands.Console(form=options.form)
        console.result("install/1", {"provider_id": options.provider_id, "up_to_date": True}, "")


def _is_done(options: argparse.Namespace) -> bool:
    try:
        bundle = up_to_date.bundle_fingerprint(options.source, options.python_tag)
        return up_to_date.is_up_to_date(
            options.root, options.provider_id, bundle, options.fingerprint
        )
    except OSError:  # the installation reports why
        return False
