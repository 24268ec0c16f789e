"""Keeps a real server with providers up for a block of code, and always stops it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.operations.values import several
from lls_provider.progress import SILENT, Progress
from lls_provider.wheels.indexes import Indexes, using

if TYPE_CHECKING:
    from lls_provider.local.plan import UpResult


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that is up; ``url`` is where it listens, ``log`` its log on this machine.

    ``result`` holds the phases, the providers that the server lists and the reply to the call.
    """

    url: str
    log: Path
    result: UpResult

    def to_document(self) -> dict[str, Any]:
        """The result as plain data, as ``lls-provider up --format json`` shows it."""
        return self.result.to_document()


@contextlib.contextmanager
def up(
    targets: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    server: str | None = None,
    python: str | None = None,
    port: int | None = None,
    configs: Mapping[str, Mapping[str, Any]] | None = None,
    resources: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    base_config: str | os.PathLike[str] | None = None,
    environment: Mapping[str, str] | None = None,
    call: str | None = None,
    keep: bool = False,
    insecure: bool = False,
    indexes: Indexes = Indexes(),  # noqa: B008 - frozen
    progress: Progress = SILENT,
) -> Iterator[RunningServer]:
    """Install each target as a Pod would, start the real server, call it; it is up in the block.

    A target is a project, a bundle directory or an image; the arguments are the options of
    ``lls-provider up``. ``configs`` are by provider ID, ``resources`` by kind, ``call`` is
    ``METHOD PATH [JSON]``. When the block ends, however it does, the server is stopped and its
    volume removed (unless ``keep``); so it is when this process is killed. Raises the SdkError of
    the phase that failed.
    """
    from lls_provider.local.call import parse_call
    from lls_provider.local.plan import UpOptions
    from lls_provider.local.up import Up
    from lls_provider.operations.targets import resolve_source
    from lls_provider.runtime.preflight.probe_client import time_limit

    time_limit()
    options = UpOptions(
        server=server,
        python=python,
        port=port,
        configs=tuple((name, dict(value)) for name, value in (configs or {}).items()),
        resources=tuple(
            (kind, dict(value)) for kind, values in (resources or {}).items() for value in values
        ),
        base_config=Path(base_config) if base_config is not None else None,
        environment=dict(environment or {}),
        call=parse_call(call) if call is not None else None,
        keep=keep,
        insecure=insecure,
    )
    sources = [resolve_source(text) for text in several(targets)]
    with contextlib.ExitStack() as stack:
        with using(indexes):
            run = stack.enter_context(Up(sources, options, progress))
            run.run()
        yield RunningServer(run.url, run.log, run.result)
