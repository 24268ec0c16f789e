"""The process in which `probe` runs: its pipes, its timeout, how it ends, and its stacks then.

faulthandler writes the threads innermost call first. Frames of the import system and of our own
script are left out, and calls that a recursion repeats are shown once.
"""

from __future__ import annotations

import contextlib
import json
import os
import pkgutil
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.messages import ERROR_FILE
from lls_provider.runtime.preflight.probe_spec import (
    CHARACTERS,
    CLOSED,
    CLOSED_REASON,
    CLOSED_WAY,
    LINES,
    SCRIPT,
)
from lls_provider.untrusted import bounded, folded

_FATAL = re.compile(r"Fatal Python error: (?P<what>.*)")
_HEADING = "(most recent call first):"
_THREAD = re.compile(r"(Current thread|Thread|Stack) ")
_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+|\?\?\?) in (?P<name>.*)')
_OUR_NAMES = ("<frozen importlib", "<frozen runpy", SCRIPT)
_IMPORTLIB = "/importlib/__init__.py"


def fault_traceback(text: str, *, headline: bool = True) -> str:
    """The threads in ``text`` that were in third-party Python code; empty if there are none.

    The main thread comes first. Without ``headline`` the fatal error, which we caused, is left out.
    """
    fatal = ""
    threads: list[list[str]] = []
    calls: list[str] = []
    for line in text.splitlines():
        if found := _FATAL.match(line):
            fatal = found[0]
        elif line.endswith(_HEADING):
            # newer Pythons add the stack in C, which does not help the reader
            calls = []
            if _THREAD.match(line):
                threads.append(calls)
        elif line.startswith("  "):
            calls.append(line)
    # the main thread is the one that runs our script; it is last
    shown = [part for lines in threads[::-1] if (part := folded(_calls(lines)))]
    if not shown:
        return ""
    parts = [fatal] if fatal and headline else []
    for number, calls in enumerate(shown, 1):
        if len(shown) > 1:
            parts.append(f"thread {number}:" if number > 1 else "main thread:")
        parts += calls
    return bounded("\n".join(parts), lines=LINES, characters=CHARACTERS)


def _calls(lines: Sequence[str]) -> list[str]:
    calls = []
    ours = False
    for line in lines:
        found = _FRAME.match(line)
        if found is None:
            if line.strip() == "...":  # where a thread has more than it shows
                calls.append(line)
            continue
        # the script is started by a line of code, and imports through `importlib`
        ours = (
            found["file"].startswith(_OUR_NAMES)
            or found["file"].endswith(_IMPORTLIB)
            or (ours and found["file"] == "<string>")
        )
        if not ours:
            calls.append(f'  File "{found["file"]}", line {found["line"]}, in {found["name"]}')
    return calls


VARIABLE = "LLS_PREFLIGHT_TIMEOUT"

# the script's modules, each after those that it imports; the last has `main`
_PARTS = (
    "lls_provider.untrusted",
    "lls_provider.runtime.preflight.probe_spec",
    "lls_provider.runtime.preflight.probe",
)
ANSWER_LIMIT = 16 * 1024 * 1024
_NOISE_LIMIT = 64 * 1024
_FAULTS_LIMIT = 256 * 1024
_READ = 64 * 1024
_DYING = 5.0  # seconds for writing the stacks of a process that hangs
OUTPUT_LINES = 20
OUTPUT_CHARACTERS = 4_000


class ProbeExit(NamedTuple):
    """How a process ended, or that it hangs: its stacks, its last output, and what to change."""

    reason: str
    traceback: str
    output: str
    way: str


class ProbeProcess:
    """The process with the script; its process group is killed when the context ends."""

    def __init__(
        self, python: Path, request: object, environment: Mapping[str, str], *open_for_it: int
    ) -> None:
        self._answers, answers = os.pipe()
        self._faults, stacks = os.pipe()
        arguments = [_script(), str(answers), str(stacks), json.dumps(request)]
        try:
            self._process = subprocess.Popen(
                [str(python.absolute()), "-c", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd="/",
                pass_fds=(answers, stacks, *open_for_it),
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._answers)
            os.close(self._faults)
            raise python_missing(python, error.strerror or str(error)) from error
        finally:
            os.close(answers)
            os.close(stacks)
        assert self._process.stdout is not None  # noqa: S101 - set above
        self._stdout = self._process.stdout
        self._buffer = b""
        self._noise = b""
        self._stacks = b""
        self._answered = False
        self._selector = selectors.DefaultSelector()
        for source in (self._answers, self._faults, self._stdout.fileno()):
            os.set_blocking(source, False)
            self._selector.register(source, selectors.EVENT_READ)

    def __enter__(self) -> ProbeProcess:
        return self

    def __exit__(self, *_exc: object) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all have ended
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._selector.close()
        self._stdout.close()
        os.close(self._answers)
        os.close(self._faults)

    @property
    def has_declined(self) -> bool:
        """Whether it ended by itself, without an answer."""
        return not self._answered and self._process.poll() == 0

    def answer(self, timeout: float) -> bytes | None:
        """The next line; None if the process ended, hangs or writes too much."""
        deadline = time.monotonic() + timeout
        self._wait_until(deadline, lambda: b"\n" in self._buffer)
        if b"\n" not in self._buffer:
            return None
        self._answered = True
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _wait_until(self, deadline: float, done: Callable[[], bool]) -> None:
        """Read what comes, until ``done``, the deadline, or the end of the process."""
        ended = False
        while not done():
            left = deadline - time.monotonic()
            if left <= 0 or ended or len(self._buffer) > ANSWER_LIMIT:
                return
            # a provider may leave processes that hold the pipes open: check whether ours
            # is still alive instead of waiting for the end of a file
            ended = self._process.poll() is not None
            for key, _events in self._selector.select(0 if ended else min(left, 0.2)):
                self._read(key.fd)

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
                if len(self._buffer) > ANSWER_LIMIT:
                    return
            elif source == self._faults:
                self._stacks = (self._stacks + data)[:_FAULTS_LIMIT]
                return
            else:
                self._noise = (self._noise + data)[-_NOISE_LIMIT:]
                return  # endless output must not delay the timeout

    def death(self, timeout: float) -> ProbeExit:
        """The failure if no answer came."""
        if len(self._buffer) > ANSWER_LIMIT:
            return self.forged()
        status = self._process.poll()
        if status is None:
            # with faulthandler this signal makes it write what each thread was doing
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGABRT)
            self._wait_until(time.monotonic() + _DYING, lambda: False)
            return self._failure(
                f"loading it did not end within {timeout:g} seconds",
                "Do nothing that waits while the module is imported or get_provider_spec() runs; "
                f"a provider that needs more time gets it with {VARIABLE}=SECONDS.",
                headline=False,
            )
        if status == CLOSED:
            return self._failure(CLOSED_REASON, CLOSED_WAY)
        if status == -signal.SIGKILL:
            return self._failure(
                "loading it killed the Python process: SIGKILL",
                "Give it more memory: the kernel sends SIGKILL where a container passes its limit "
                "(resources.limits.memory); or import less when the module is loaded.",
            )
        if status < 0:
            return self._failure(
                f"loading it killed the Python process: {_signal_name(-status)}",
                "Look for native code that the provider or what it imports was not built for, and "
                "use another version of that package.",
            )
        return self._failure(
            f"loading it ended the Python process with exit status {status}",
            "Raise an exception in place of ending the process: look for os._exit(), os.exec*() "
            "and native code that calls exit() in what is imported.",
        )

    def forged(self) -> ProbeExit:
        """The failure for an answer that is not from our script."""
        return self._failure(
            "loading it wrote to a file descriptor that it did not open",
            "Write only to what the provider opened, to stdout or to stderr.",
        )

    def _failure(self, reason: str, way: str, *, headline: bool = True) -> ProbeExit:
        """With the stacks of the process, and what it printed."""
        stacks = fault_traceback(self._stacks.decode("utf-8", "replace"), headline=headline)
        output = self._noise.decode("utf-8", "replace").strip()
        last = "\n".join(output.splitlines()[-OUTPUT_LINES:])
        shown = bounded(last, characters=OUTPUT_CHARACTERS)
        return ProbeExit(reason, stacks, shown, way)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def child_environment(
    path: Sequence[Path], env: Mapping[str, str] | None, *, keep_bytecode: bool = False
) -> dict[str, str]:
    """The variables of a process like the server's, with ``path`` in front.

    It writes no bytecode unless ``keep_bytecode`` is set.
    """
    values = dict(os.environ if env is None else env)
    values.pop(ERROR_FILE, None)  # only our own errors go there
    # absolute, because the child's working directory is another
    front = [str(entry.absolute()) for entry in path]
    rest = [
        str(Path(entry).absolute())
        for entry in values.get("PYTHONPATH", "").split(os.pathsep)
        if entry
    ]
    entries = front + [entry for entry in rest if entry not in front]
    if entries:
        values["PYTHONPATH"] = os.pathsep.join(entries)
    values["PYTHONDONTWRITEBYTECODE"] = "1"  # the volume is read-only, and preflight writes nothing
    if keep_bytecode:
        del values["PYTHONDONTWRITEBYTECODE"]
    return values


def python_missing(python: Path, why: str) -> SdkError:
    """The error of an interpreter that does not run."""
    return SdkError(
        Code.PYTHON_MISSING,
        f"Cannot run the Python interpreter {python}",
        why=why,
        resolution="Name an interpreter that exists and may be executed.",
    )


def _script() -> str:
    """The parts as one text for ``python -c``, each with built-in functions of its own."""
    parts = {}
    for name in _PARTS:
        package, _, module = name.rpartition(".")
        # the loader reads it from a directory as well as from the zipapp
        data = pkgutil.get_data(package, f"{module}.py")
        assert data is not None  # noqa: S101 - it is beside this module
        parts[name] = data.decode("utf-8")
    return f"""\
import builtins, sys, types
parts = {parts!a}
for name, text in parts.items():
    module = sys.modules[name] = types.ModuleType(name)
    module.__builtins__ = dict(vars(builtins))
    exec(compile(text, {SCRIPT!r}, "exec"), vars(module))
for name in parts:
    del sys.modules[name]
module.main()
"""
