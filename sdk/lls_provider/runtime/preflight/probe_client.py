"""Asks the server's interpreter: runs `probe` in it and reads its answers, and lists its packages.

Preflight, ``check`` and ``build --package`` all load a provider through this module, so that they
cannot disagree (contract section 5).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.preflight.probe_process import (
    VARIABLE,
    ProbeExit,
    ProbeProcess,
    child_environment,
    python_missing,
)
from lls_provider.untrusted import one_line

if TYPE_CHECKING:
    from packaging.utils import NormalizedName
    from packaging.version import Version

    from lls_provider.runtime.install.shadowing import ServerModules

FailureKind = Literal["import", "no-get-provider-spec", "call", "invalid"]

TIMEOUT = 60.0
"""Seconds that one provider may take to load, by default."""
TIMEOUT_LIMIT = 86_400.0
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")


@dataclass(frozen=True, slots=True)
class ProviderSpecInfo:
    """One spec as ``get_provider_spec()`` returned it, alone or in a list."""

    provider_type: str
    api: str
    module: str
    config_class: str
    is_list: bool
    api_dependencies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProbeFailure:
    """Why a provider does not load.

    ``reason`` is its true cause in one line, ``traceback`` the provider's with that cause first;
    ``missing_module`` is the module that could not be found, ``field`` the field that is missing in
    the spec and ``returned`` what was returned in place of a spec. ``output`` is what the provider
    printed, if the process ended. ``way`` is what to change, in sentences, if that is known.
    """

    kind: FailureKind
    reason: str
    traceback: str = ""
    missing_module: str | None = None
    field: str | None = None
    output: str = ""
    returned: str = ""
    way: str = ""

    @property
    def details(self) -> str:
        """The traceback, and below it what the provider printed."""
        heading = "It printed:" if self.traceback and self.output else ""
        return "\n".join(part for part in (self.traceback, heading, self.output) if part)


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """What to ask: ``module`` as it is in a configuration (a ``==version`` is split off).

    ``provider_type`` chooses from a list of specs. ``imports`` also imports what the server
    imports next, the spec's own module and config class; ``schema`` asks for the JSON Schema of
    that class, ``config`` whether the class accepts it.
    """

    module: str
    provider_type: str | None = None
    imports: bool = True
    schema: bool = False
    config: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The specs of a module and, if something is wrong with it, the failure.

    ``takes_config`` is None if the class was not tried.
    """

    specs: tuple[ProviderSpecInfo, ...] = ()
    failure: ProbeFailure | None = None
    config_schema: dict[str, Any] | None = None
    takes_config: bool | None = None

    def spec(self, provider_type: str | None = None) -> ProviderSpecInfo | None:
        """The spec a server takes for ``provider_type``: a single one, or the one that matches."""
        for spec in self.specs:
            if not spec.is_list or provider_type in (None, spec.provider_type):
                return spec
        return None


def time_limit(environ: Mapping[str, str] = os.environ) -> float:
    """The seconds that one provider may take to load: LLS_PREFLIGHT_TIMEOUT, else 60.

    Raises SdkError USAGE if the variable is not a number of seconds.
    """
    text = environ.get(VARIABLE, "")
    seconds = parse_seconds(text) if text else TIMEOUT
    if seconds is None:
        raise SdkError(
            Code.USAGE,
            f"{VARIABLE}={text!r:.100} is not a number of seconds",
            resolution=f"Set it to a number such as 120, or unset it for {TIMEOUT:g}.",
        )
    return seconds


def parse_seconds(text: str) -> float | None:
    """The number of seconds in a text; None unless it is more than 0 and at most a day."""
    seconds = float(text) if _SECONDS.fullmatch(text) else 0.0
    return seconds if 0 < seconds <= TIMEOUT_LIMIT else None


def probe(
    python: Path,
    module: str,
    *,
    provider_type: str | None = None,
    path: Sequence[Path] = (),
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    imports: bool = True,
    schema: bool = True,
    config: Mapping[str, Any] | None = None,
) -> ProbeResult:
    """Probe one module; see `probe_all`."""
    request = ProbeRequest(module, provider_type, imports, schema, config)
    return next(probe_all(python, [request], path=path, env=env, timeout=timeout))


def probe_all(
    python: Path,
    requests: Sequence[ProbeRequest],
    *,
    path: Sequence[Path] = (),
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    keep_bytecode: bool = False,
) -> Generator[ProbeResult, None, None]:
    """Probe several modules in one process, as the server loads them; yields in their order.

    ``path`` goes in front of ``env``'s PYTHONPATH. ``timeout`` (by default `time_limit`) applies to
    each module. With ``keep_bytecode`` Python writes the bytecode of what is imported next to it,
    if that place is writable (contract decision 15). If the process dies or hangs, that is the
    failure of the current module, and there are no results for the rest. Raises SdkError
    PYTHON_MISSING if ``python`` cannot be started, and what `time_limit` raises.
    """
    if not requests:
        return
    timeout = time_limit() if timeout is None else timeout
    environment = child_environment(path, env, keep_bytecode=keep_bytecode)
    if any(request.config is not None for request in requests):
        # it may hold secrets, and every user of the machine can read a process's arguments
        with pooled_probe(python, (), env=environment) as waiting:
            yield from waiting.load(requests, timeout)
        return
    with ProbeProcess(python, _documents(requests), environment) as child:
        yield from _results(child, len(requests), timeout)


class PooledProbe:
    """A process that has imported what a server imports, and waits for a provider to load.

    That import takes a second, during which the provider can be built.
    """

    def __init__(self, child: ProbeProcess, orders: BinaryIO) -> None:
        """Made by `pooled_probe`."""
        self._child = child
        self._orders = orders

    def ask(
        self, requests: Sequence[ProbeRequest], packages: Path, *, timeout: float | None = None
    ) -> list[ProbeResult] | None:
        """What `probe_all` yields with ``packages`` in front of the path.

        None if another process has to answer: this one was used before, or ``packages`` has
        modules that belong in front of what it has imported.
        """
        if self._orders.closed:
            return None
        timeout = time_limit() if timeout is None else timeout
        found = list(self.load(requests, timeout, packages))
        return None if self._child.has_declined else found

    def load(
        self, requests: Sequence[ProbeRequest], timeout: float, packages: Path | None = None
    ) -> Iterator[ProbeResult]:
        """The answers of the process, to be called once; `ask` is for one that may decline."""
        names = () if packages is None else (entry.name for entry in packages.iterdir())
        order = {
            "path": [] if packages is None else [str(packages.absolute())],
            "names": sorted({name.partition(".")[0] for name in names}),
            "requests": _documents(requests),
        }
        # the missing answer explains it
        with contextlib.suppress(BrokenPipeError), self._orders as orders:
            orders.write(json.dumps(order).encode("ascii"))
        yield from _results(self._child, len(requests), timeout)


@contextlib.contextmanager
def pooled_probe(
    python: Path, first: Sequence[str], *, env: Mapping[str, str], keep_bytecode: bool = False
) -> Iterator[PooledProbe]:
    """Start a process that imports the modules ``first``, as far as they exist, and waits.

    ``keep_bytecode`` lets it write the bytecode beside them. The process ends with the block.
    Raises SdkError PYTHON_MISSING if ``python`` cannot be started.
    """
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as order, os.fdopen(write_end, "wb") as orders:
        document = {"first": list(first), "from": order.fileno(), "keep": keep_bytecode}
        with ProbeProcess(python, document, child_environment((), env), order.fileno()) as child:
            order.close()
            yield PooledProbe(child, orders)


def python_minor(python: Path) -> int:
    """The minor version of an interpreter. Raises SdkError PYTHON_MISSING if it does not run."""
    code = "import sys; print(sys.version_info[1])"
    try:
        done = subprocess.run(
            [str(python.absolute()), "-I", "-S", "-c", code],
            capture_output=True,
            check=True,
            timeout=60,
        )
        return int(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise python_missing(python, str(error)) from error


_MARK = "lls-provider packages: "
_LIST = f"""\
import importlib.metadata, json
found = []
for it in importlib.metadata.distributions():
    try:
        given = [it.read_text(name) or "" for name in ("RECORD", "top_level.txt")]
        found.append((it.metadata["Name"], it.version, str(it.locate_file("")), *given))
    except Exception:
        pass
print("\\n" + {_MARK!r} + json.dumps(found))
"""
_LIST_TIMEOUT = 60


@dataclass(frozen=True, slots=True)
class ServerPackages:
    """The server's packages: versions by name, and the modules that are behind ``path``."""

    versions: Mapping[NormalizedName, Version]
    modules: ServerModules


def server_packages(
    python: Path, *, path: Sequence[Path] = (), env: Mapping[str, str] | None = None
) -> ServerPackages | None:
    """The packages of the server's Python, with ``path`` in front; None if it does not run.

    It imports nothing but what that Python imports at its start.
    """
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion

    from lls_provider.runtime.install.shadowing import recorded_modules, server_modules
    from lls_provider.runtime.wheelfile.wheel import parse_version

    try:
        done = subprocess.run(
            [str(python.absolute()), "-c", _LIST],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(path, env),
            cwd="/",
            timeout=_LIST_TIMEOUT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None  # loading the providers says why
    _, mark, listing = done.stdout.decode("utf-8", "replace").rpartition(_MARK)
    if not mark:
        return None
    found: dict[NormalizedName, Version] = {}
    behind = []
    front = {os.path.realpath(entry) for entry in path}
    for name, version, place, record, top in json.loads(listing):
        try:
            found.setdefault(canonicalize_name(name), parse_version(version))
        except (TypeError, InvalidVersion):
            continue
        if os.path.realpath(place) not in front:
            behind.append((canonicalize_name(name), version, recorded_modules(record, top)))
    return ServerPackages(found, server_modules(behind))


def _result(line: bytes) -> ProbeResult:
    answer = json.loads(line)
    failure = answer["failure"]
    if failure is not None:
        # a value inside a sentence must not begin a new line
        lines = {
            name: one_line(value)
            for name, value in failure.items()
            if isinstance(value, str) and name != "traceback"
        }
        failure = ProbeFailure(**{**failure, **lines})
    return ProbeResult(
        specs=tuple(
            ProviderSpecInfo(**{**spec, "api_dependencies": tuple(spec["api_dependencies"])})
            for spec in answer["specs"]
        ),
        failure=failure,
        config_schema=answer["config_schema"],
        takes_config={True: True, False: False}.get(answer["takes_config"]),
    )


def _documents(requests: Sequence[ProbeRequest]) -> list[dict[str, Any]]:
    return [asdict(request) for request in requests]


def _results(child: ProbeProcess, count: int, timeout: float) -> Iterator[ProbeResult]:
    """The answers to ``count`` requests; if the process dies, that is the last one."""
    for _ in range(count):
        line = child.answer(timeout)
        if line is None:
            yield ProbeResult(failure=_ended(child.death(timeout)))
            return
        try:
            result = _result(line)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            result = ProbeResult(failure=_ended(child.forged()))
        yield result


def _ended(ending: ProbeExit) -> ProbeFailure:
    return ProbeFailure("import", **ending._asdict())
