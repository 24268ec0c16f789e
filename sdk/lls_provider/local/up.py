"""The library's function `up`: a real server with the providers for a block of code."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.local.call import parse_call
from lls_provider.local.from_file import with_provider_file
from lls_provider.local.plan import UpOptions
from lls_provider.local.run import Up
from lls_provider.operations.images import several
from lls_provider.operations.targets import resolve_targets
from lls_provider.progress import SILENT, Progress
from lls_provider.runtime.preflight.probe_client import time_limit
from lls_provider.wheels.uv_settings import Indexes, using

if TYPE_CHECKING:
    from lls_provider.local.plan import UpResult


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A running server; ``url`` is its address, ``log`` its log on this machine.

    ``result`` holds the phases, the providers that the server lists and the reply to the call.
    """

    url: str
    log: Path
    result: UpResult

    def to_document(self) -> dict[str, Any]:
        """Return the result as plain data, as ``lls-provider up --format json`` shows it."""
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
    """Install each target as a Pod would, start the real server and call it; it runs in the block.

    A target is a project, a bundle directory or an image; the path of a provider file is the only
    one. The arguments are the options of ``lls-provider up``. ``configs`` are by provider ID,
    ``resources`` by kind, ``call`` is ``METHOD PATH [JSON]``. When the block ends for any reason,
    or this process is killed, the server is stopped and its volume is removed (unless ``keep``).
    Raises the SdkError of the phase that failed.
    """
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
    found = resolve_targets(several(targets))
    options = with_provider_file(found, options, progress)
    with contextlib.ExitStack() as stack:
        with using(indexes):
            run = stack.enter_context(Up(found.sources, options, progress))
            run.run()
        yield RunningServer(run.url, run.log, run.result)
