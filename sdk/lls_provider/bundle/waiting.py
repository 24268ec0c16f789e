"""Processes beside servers that import a server's API while a provider is not built yet.

Importing it takes longer than building most providers, and both are done by other processes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lls_provider.errors import SdkError
from lls_provider.runtime.probing import WaitingProbe, waiting_probe
from lls_provider.wheels.build import scratch
from lls_provider.wheels.environment import existing_environment

if TYPE_CHECKING:
    from lls_provider.wheels.distribution import Distribution

# of this machine a Python needs these to start; the rest could leak into an image
_KEPT = ("PATH", "LD_LIBRARY_PATH")
_FIXED = {"LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "TZ": "UTC"}


class Waiting(NamedTuple):
    """A process that waits to load a provider, and its home folder."""

    probe: WaitingProbe
    home: Path


@dataclass(frozen=True, slots=True)
class Trial:
    """How a build tries its provider.

    ``nevertheless`` is why an image is wanted although the provider does not load;
    ``environment`` are variables that it needs; ``waiting`` are processes beside servers, by
    the servers' labels.
    """

    nevertheless: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, Waiting] = field(default_factory=dict, repr=False, compare=False)


@contextlib.contextmanager
def started(
    servers: Sequence[Distribution], trial: Trial | None, machines: Collection[str]
) -> Iterator[Trial | None]:
    """The trial with a process beside each server; all end with the block.

    A server whose environment is not made yet gets none, nor does any when no image is for this
    machine.
    """
    if trial is None or os.uname().machine not in machines:
        yield trial
        return
    with contextlib.ExitStack() as stack:
        waiting = {}
        for server in servers:
            environment = existing_environment(server)
            if environment is None or server.line is None:
                continue
            home = stack.enter_context(scratch("home"))
            with contextlib.suppress(SdkError):  # the trial itself tells what is wrong
                probe = waiting_probe(
                    environment.python,
                    [server.line.api_package],
                    env=variables(home, trial),
                    keep_bytecode=server.environment is None,  # it is ours, in the cache
                )
                waiting[server.label] = Waiting(stack.enter_context(probe), home)
        yield replace(trial, waiting=waiting)


def variables(home: Path, trial: Trial) -> dict[str, str]:
    """The variables that a provider is tried with."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, **_FIXED, "HOME": str(home), **trial.environment}
