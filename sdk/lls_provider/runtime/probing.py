"""Runs `probe` in the server's interpreter and reads its answers.

Used by preflight, by ``check`` and by ``build --package``: what a provider says about itself is
asked in one way only (contract section 5).
"""

from __future__ import annotations

import contextlib
import json
import os
import pkgutil
import selectors
import signal
import subprocess
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from lls_provider.errors import Code, SdkError

Kind = Literal["import", "no-get-provider-spec", "call", "invalid"]

_ANSWER_LIMIT = 16 * 1024 * 1024
_NOISE_LIMIT = 64 * 1024
_READ = 64 * 1024


@dataclass(frozen=True, slots=True)
class ProviderSpecInfo:
    """One spec as ``get_provider_spec()`` returned it, alone or in a list."""

    provider_type: str
    api: str
    module: str
    config_class: str
    is_list: bool


@dataclass(frozen=True, slots=True)
class ProbeFailure:
    """Why a provider would not load.

    ``reason`` is its true cause in one line, ``traceback`` the provider's own with that cause
    first; ``missing_module`` is the module that could not be found, ``field`` the field that
    the spec lacks. ``output`` is what the provider printed, where it says more than we can.
    """

    kind: Kind
    reason: str
    traceback: str = ""
    missing_module: str | None = None
    field: str | None = None
    output: str = ""


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """What to ask: ``module`` as it stands in a configuration (a ``==version`` is split off).

    ``provider_type`` chooses from a list of specs. ``imports`` also imports what the server
    imports next, the spec's own module and config class; ``schema`` asks for the JSON Schema
    of the latter.
    """

    module: str
    provider_type: str | None = None
    imports: bool = True
    schema: bool = False


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The specs of a module and, when something is wrong with it, the failure."""

    specs: tuple[ProviderSpecInfo, ...] = ()
    failure: ProbeFailure | None = None
    config_schema: dict[str, Any] | None = None

    def spec(self, provider_type: str | None = None) -> ProviderSpecInfo | None:
        """The spec a server takes for ``provider_type``: a single one, or the one that matches."""
        for spec in self.specs:
            if not spec.is_list or provider_type in (None, spec.provider_type):
                return spec
        return None


def probe(
    python: Path,
    module: str,
    *,
    provider_type: str | None = None,
    path: Sequence[Path] = (),
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
    imports: bool = True,
    schema: bool = True,
) -> ProbeResult:
    """Ask one module; see `probe_all`."""
    request = ProbeRequest(module, provider_type, imports, schema)
    return next(probe_all(python, [request], path=path, env=env, timeout=timeout))


def probe_all(
    python: Path,
    requests: Sequence[ProbeRequest],
    *,
    path: Sequence[Path] = (),
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> Generator[ProbeResult, None, None]:
    """Ask several modules in one process, as the server loads them; yields in their order.

    ``path`` goes in front of ``env``'s PYTHONPATH. ``timeout`` counts for each module anew. When
    the process dies or hangs, that is the failure of the module it was at, and the rest stays
    unanswered. Raises SdkError PYTHON_MISSING when ``python`` cannot be started.
    """
    if not requests:
        return
    with _Child(python, _told(requests), child_environment(path, env)) as child:
        yield from child.results(len(requests), timeout)


class WaitingProbe:
    """A process that has imported what a server has, and waits to be told which provider to load.

    That import takes a second, in which the provider can be built.
    """

    def __init__(self, child: _Child, orders: BinaryIO) -> None:
        """Made by `waiting_probe`."""
        self._child = child
        self._orders = orders

    def ask(
        self, requests: Sequence[ProbeRequest], packages: Path, *, timeout: float = 60
    ) -> list[ProbeResult] | None:
        """What `probe_all` gives with ``packages`` in front of the path.

        None when only another process can tell: this one was asked before, or something in there
        belongs in front of what it has imported.
        """
        if self._orders.closed:
            return None
        order = {
            "path": [str(packages.absolute())],
            "names": sorted({entry.name.partition(".")[0] for entry in packages.iterdir()}),
            "requests": _told(requests),
        }
        with contextlib.suppress(BrokenPipeError), self._orders as orders:  # no answer tells why
            orders.write(json.dumps(order).encode("ascii"))
        found = list(self._child.results(len(requests), timeout))
        return None if self._child.has_declined else found


@contextlib.contextmanager
def waiting_probe(
    python: Path, first: Sequence[str], *, env: Mapping[str, str], keep_bytecode: bool = False
) -> Iterator[WaitingProbe]:
    """Start a process that imports the modules ``first``, as far as they are there, and waits.

    ``keep_bytecode`` lets it write beside them what it compiles. The process ends with the
    block. Raises SdkError PYTHON_MISSING when ``python`` cannot be started.
    """
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as told, os.fdopen(write_end, "wb") as orders:
        document = {"first": list(first), "from": told.fileno(), "keep": keep_bytecode}
        with _Child(python, document, child_environment((), env), told.fileno()) as child:
            told.close()
            yield WaitingProbe(child, orders)


def python_minor(python: Path) -> int:
    """The minor version of an interpreter. Raises SdkError PYTHON_MISSING when it does not run."""
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
        raise _python_missing(python, str(error)) from error


def _python_missing(python: Path, why: str) -> SdkError:
    return SdkError(
        Code.PYTHON_MISSING,
        f"Cannot run the Python interpreter {python}",
        why=why,
        resolution="Name an interpreter that exists and may be executed.",
    )


def _result(line: bytes) -> ProbeResult:
    answer = json.loads(line)
    failure = answer["failure"]
    return ProbeResult(
        specs=tuple(ProviderSpecInfo(**spec) for spec in answer["specs"]),
        failure=ProbeFailure(**failure) if failure is not None else None,
        config_schema=answer["config_schema"],
    )


def _script() -> str:
    # the loader reads it from a folder as well as from the zipapp
    data = pkgutil.get_data(__package__ or "lls_provider.runtime", "probe.py")
    assert data is not None  # noqa: S101 - it lies beside this module
    return data.decode("utf-8")


def child_environment(path: Sequence[Path], env: Mapping[str, str] | None) -> dict[str, str]:
    """The variables of a process like the server's: ``path`` in front, and it writes nothing."""
    values = dict(os.environ if env is None else env)
    # absolute, because the child's working directory is another
    front = [str(entry.absolute()) for entry in path]
    behind = [
        str(Path(entry).absolute())
        for entry in values.get("PYTHONPATH", "").split(os.pathsep)
        if entry
    ]
    entries = front + [entry for entry in behind if entry not in front]
    if entries:
        values["PYTHONPATH"] = os.pathsep.join(entries)
    values["PYTHONDONTWRITEBYTECODE"] = "1"  # the volume is read-only, and preflight writes nothing
    return values


def _told(requests: Sequence[ProbeRequest]) -> list[dict[str, Any]]:
    return [asdict(request) for request in requests]


class _Child:
    """The process with the script; its group is killed when the context ends."""

    def __init__(
        self, python: Path, told: object, environment: Mapping[str, str], *open_for_it: int
    ) -> None:
        read_end, write_end = os.pipe()
        try:
            self._process = subprocess.Popen(
                [str(python.absolute()), "-c", _script(), str(write_end), json.dumps(told)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd="/",
                pass_fds=(write_end, *open_for_it),
                start_new_session=True,
            )
        except OSError as error:
            os.close(read_end)
            raise _python_missing(python, error.strerror or str(error)) from error
        finally:
            os.close(write_end)
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        self._stdout = self._process.stdout
        self._answers = read_end
        self._buffer = b""
        self._noise = b""
        self._answered = False
        self._selector = selectors.DefaultSelector()
        for source in (self._answers, self._stdout.fileno()):
            os.set_blocking(source, False)
            self._selector.register(source, selectors.EVENT_READ)

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_exc: object) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all have ended
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._selector.close()
        self._stdout.close()
        os.close(self._answers)

    @property
    def has_declined(self) -> bool:
        """Whether it ended of itself, without an answer."""
        return not self._answered and self._process.poll() == 0

    def results(self, count: int, timeout: float) -> Iterator[ProbeResult]:
        """The answers to so many requests; the death of the process is the last one."""
        for _ in range(count):
            line = self.answer(timeout)
            if line is None:
                yield ProbeResult(failure=self.death(timeout))
                return
            self._answered = True
            yield _result(line)

    def answer(self, timeout: float) -> bytes | None:
        """The next line, or None when the process ended, hangs or floods us instead."""
        deadline = time.monotonic() + timeout
        ended = False
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or ended or len(self._buffer) > _ANSWER_LIMIT:
                return None
            # a provider may leave processes behind that hold the pipes open: ask whether ours
            # still lives instead of waiting for the end of a file
            ended = self._process.poll() is not None
            for key, _events in self._selector.select(0 if ended else min(left, 0.2)):
                self._read(key.fd)
            if ended and b"\n" in self._buffer:
                break
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _read(self, source: int) -> None:
        while True:
            try:
                data = os.read(source, _READ)
            except BlockingIOError:
                return
            if not data:
                self._selector.unregister(source)
                return
            if source == self._answers:
                self._buffer += data
                if len(self._buffer) > _ANSWER_LIMIT:
                    return
            else:
                self._noise = (self._noise + data)[-_NOISE_LIMIT:]
                return  # whoever prints without end must not keep us from the clock

    def death(self, timeout: float) -> ProbeFailure:
        """What to say when no answer came."""
        status = self._process.poll()
        if status is None:
            reason = f"loading it did not end within {timeout:g} seconds"
        elif status < 0:
            reason = f"loading it killed the Python process: {_signal_name(-status)}"
        else:
            reason = f"loading it ended the Python process with exit status {status}"
        output = self._noise.decode("utf-8", "replace").strip()
        return ProbeFailure("import", reason, output="\n".join(output.splitlines()[-20:]))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
