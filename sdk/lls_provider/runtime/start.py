"""All phases in one container, then the server: where no init container can be had.

The operator that is released today renders no init containers. There the server's own container
starts this: it runs the runtime's commands one after the other, as the init containers would, and
then becomes the image's entry point. A container that is restarted finds everything installed.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from lls_provider.contract.names import CONFIG_VARIABLES, DISTRIBUTION_CONFIGS
from lls_provider.errors import Code, SdkError

Run = Callable[[Sequence[str]], int]
"""Runs the runtime's command line and returns its exit status; every error was shown."""

Become = Callable[[str, list[str], Mapping[str, str]], NoReturn]
"""Replaces this process, as `os.execvpe` does."""

PROVIDERS_VARIABLE = "LLS_PROVIDERS"
"""What the commands ``install-all`` and ``start`` install, as `parse_providers` reads it."""

_KEYS = {
    "id": "--provider-id",
    "api": "--api",
    "image": "--image",
    "source": "--source",
    "container": "--container",
    "config": "--config",
    "config_file": "--config-file",
}
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)  # by Python, and by what it becomes if left so
_REQUIRED = ("id", "api", "image", "source")


@dataclass(frozen=True, slots=True)
class StartRequest:
    """The providers in their order, where the configuration is, and what to become.

    ``merged`` says that the configuration has the providers already: it was merged ahead of time.
    """

    providers: Sequence[Mapping[str, str]]
    root: str
    base: str | None
    merged: str | None
    command: Sequence[str]


def become_program(program: str, arguments: list[str], environment: Mapping[str, str]) -> NoReturn:
    """Replace this process by another program, with the signals as a program expects them."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    os.execvpe(program, arguments, environment)  # noqa: S606 - the container's command, no shell


def start(request: StartRequest, run: Run, become: Become = become_program) -> int:
    """Install, merge and check, then become the server.

    Returns the exit status of the first command that fails. Raises SdkError TOOL_MISSING when the
    command cannot be started.
    """
    status = run_all(commands(request), run)
    if status:
        return status
    environment = server_environment(os.environ, configuration(request))
    try:
        become(request.command[0], list(request.command), environment)
    except OSError as error:
        raise SdkError(
            Code.TOOL_MISSING,
            f"The server cannot be started: {request.command[0]}",
            why=error.strerror or str(error),
            resolution="Correct the command after '--': the image's own entry point.",
        ) from error


def run_all(lines: Sequence[Sequence[str]], run: Run) -> int:
    """Run command lines until one fails; return the exit status of the last that ran."""
    return next((status for status in map(run, lines) if status), 0)


def install_commands(providers: Sequence[Mapping[str, str]], root: str) -> list[list[str]]:
    """The command lines that install ``providers``, in their order."""
    return [
        ["install", *_install(provider), "--order", str(order), "--root", root]
        for order, provider in enumerate(providers)
    ]


def commands(request: StartRequest) -> list[list[str]]:
    """The command lines of the phases, in their order."""
    root = ["--root", request.root]
    lines = install_commands(request.providers, request.root)
    if request.merged is None:
        base = ["--base", request.base] if request.base is not None else []
        if not base:
            lines.append(["extract", *root])
        lines.append(["merge", *base, *root])
    checked = ["--run-yaml", configuration(request)]
    return [*lines, ["preflight", "--keep-bytecode", *checked, *root]]


def configuration(request: StartRequest) -> str:
    """The configuration that the server starts on."""
    return request.merged if request.merged is not None else f"{request.root}/config/run.yaml"


def server_environment(environment: Mapping[str, str], run_yaml: str) -> dict[str, str]:
    """The variables of the server: every one that names a configuration names ``run_yaml``.

    They are set here and not in the manifest, so that ``extract`` finds what the image's variables,
    or those of an operator, name.
    """
    naming = [name for name, value in environment.items() if value in DISTRIBUTION_CONFIGS]
    return {**environment, **dict.fromkeys([*CONFIG_VARIABLES, *naming], run_yaml)}


def _install(provider: Mapping[str, str]) -> list[str]:
    return [part for key, value in provider.items() for part in (_KEYS[key], value)]


def parse_providers(text: str) -> list[dict[str, str]]:
    """The providers of ``--providers``: a JSON list of objects with `_KEYS`.

    Raises SdkError USAGE; no value is quoted, for a configuration may hold a password.
    """
    try:
        value: Any = json.loads(text)
    except ValueError as error:
        raise _wrong(f"It is not JSON: {error}") from error
    if not isinstance(value, list) or not value:
        raise _wrong("It is a list with at least one provider.")
    for number, provider in enumerate(value):
        if not isinstance(provider, dict):
            raise _wrong(f"Entry {number} is not an object.")
        unknown = sorted(set(provider) - set(_KEYS))
        lacking = [key for key in _REQUIRED if key not in provider]
        if unknown or lacking:
            raise _wrong(
                f"Entry {number} has the unknown keys {unknown} and lacks {lacking}; known are "
                f"{list(_KEYS)}."
            )
        if not all(isinstance(item, str) for item in provider.values()):
            raise _wrong(f"Entry {number} has a value that is not text.")
    return value


def _wrong(why: str) -> SdkError:
    return SdkError(
        Code.USAGE,
        "--providers cannot be understood",
        why=why,
        resolution='Write for example \'[{"id": "acme-echo", "api": "inference", "image": '
        '"registry.example.com/acme/echo:1.0", "source": "/var/lib/lls-provider/acme-echo'
        "/lls-provider\"}]', as `lls-provider render` does.",
    )
