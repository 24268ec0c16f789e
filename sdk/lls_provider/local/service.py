"""The stand-in for the service that a remote provider calls.

A project's setting ``service`` names a Python file. It is started with the server's Python before
the server, listens on the port in the variable ``PORT``, and the server finds its address in
``LLS_PROVIDER_SERVICE_URL``. The workspace stops it.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError, Where
from lls_provider.local.call import HOST, free_port
from lls_provider.system.files import wrapping_write_errors

if TYPE_CHECKING:
    from lls_provider.local.workspace import Workspace
    from lls_provider.project.settings import Settings

SERVICE_URL = "LLS_PROVIDER_SERVICE_URL"
"""The variable of the server's environment that has the service's address."""

_READY_TIMEOUT = 30.0  # seconds
_LOG_LIMIT = 4096


def choose_service(settings: Sequence[Settings]) -> Path | None:
    """Return the project's service, if there is one.

    Raises SdkError USAGE when several projects name one: the variable holds one address.
    """
    found = {item.name: item.up.service for item in settings if item.up.service is not None}
    if len(found) > 1:
        raise SdkError(
            Code.USAGE,
            "Several projects name a service",
            why="\n".join(f"{name}: {path}" for name, path in found.items()),
            resolution="Start one project at a time, or start the services yourself, remove "
            "'service' from [tool.lls-provider.up] and give their addresses with --config.",
        )
    return next(iter(found.values()), None)


def start_service(
    file: Path,
    workspace: Workspace,
    python: Path,
    environment: Mapping[str, str],
    *,
    timeout: float = _READY_TIMEOUT,
) -> str:
    """Start the service, wait until it listens, and return its address.

    Raises SdkError SERVICE_FAILED, with the end of its output, if it ends or does not listen within
    ``timeout`` seconds; TOOL_MISSING when no process can be made.
    """
    port = free_port()
    path = workspace.root / "service.log"
    with wrapping_write_errors(path, "the service's log"), path.open("wb") as log:
        process = workspace.start(
            [str(python), str(file.absolute())],
            environment={**environment, "PORT": str(port)},
            directory=workspace.root,
            log=log,
        )
    deadline = time.monotonic() + timeout
    while not _listens(port):
        try:
            status = process.wait(0.05)
        except subprocess.TimeoutExpired:
            pass
        else:
            raise _failure(file, f"ended with exit status {status} before it listened", path)
        if time.monotonic() > deadline:
            raise _failure(file, f"did not listen on port {port} within {timeout:g} seconds", path)
    return f"http://{HOST}:{port}"


def _listens(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def _failure(file: Path, what: str, log: Path) -> SdkError:
    text = log.read_bytes()[-_LOG_LIMIT:].decode("utf-8", "replace").strip()
    return SdkError(
        Code.SERVICE_FAILED,
        f"The service {file.name} {what}",
        why=text or "It printed nothing.",
        where=Where(file=str(file)),
        resolution=f"Correct it until `PORT=8000 python {file.name}` listens on {HOST}, port 8000; "
        "or remove 'service' from [tool.lls-provider.up] and give the address of a service that "
        "runs in the provider's config.",
    )
