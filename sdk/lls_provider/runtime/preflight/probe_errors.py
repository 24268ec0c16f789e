"""What a provider raised, as text that has an end: its true cause first, repeated calls once.

A part of the script `probe`: it imports nothing but the standard library and `untrusted`, and
everything that it calls is bound before a provider is imported.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from linecache import getline
from traceback import format_exception_only
from types import TracebackType

from lls_provider.untrusted import bounded

SCRIPT = "<lls-provider>"
"""The file that frames of the script itself name."""
CLOSED = 213
"""The script's exit status where the descriptor for its answers is not its own any more."""
CLOSED_REASON = "loading it closed file descriptors that it did not open"
CLOSED_WAY = (
    "Close only what the provider opened: os.closerange() and os.close() of other numbers take the "
    "server's connections and files."
)

_OURS = ("<frozen importlib", SCRIPT, importlib.__file__)
LINES = 100
CHARACTERS = 10_000
_REASON = 500
_CHAIN = 8  # exceptions of one chain
_FRAMES = 20_000  # of one traceback
_PERIOD = 12  # calls that repeat together
_TIMES = 3  # as often is a repetition


def leads_back(*, stated: bool, context_is_import: bool, is_import: bool) -> bool:
    """Whether the true cause of an error is the exception before it, and not the error itself.

    ``raise ... from cause`` says so itself (``stated``). An error raised while one of the import
    system was handled (``context_is_import``) is a translation of that one, unless it is such an
    error too (``is_import``): then a second import failed after a first, and the second is what
    has to be mended.
    """
    return stated or (context_is_import and not is_import)


def _is_import(error: BaseException) -> bool:
    return isinstance(error, ImportError) and error.name is not None


def true_cause(error: BaseException) -> BaseException:
    """The exception that started it all, by `leads_back`; of a group it is the first."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        context = None if error.__suppress_context__ else error.__context__
        if error.__cause__ is not None:
            error = error.__cause__
        elif isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]  # as of tasks that failed together
        elif context is not None and leads_back(
            stated=False, context_is_import=_is_import(context), is_import=_is_import(error)
        ):
            error = context
        else:
            break
    return error


def reason(error: BaseException) -> str:
    """The exception in one line."""
    text = _message(error).strip()
    first = text.splitlines()[0][:_REASON] if text else ""
    if isinstance(error, ImportError) and first:
        return first
    if isinstance(error, SystemExit):
        return f"the module ended the process: SystemExit({first})"
    name = type(error).__name__
    return f"{name}: {first}" if first else str(name)


def render(error: BaseException, cause: BaseException) -> str:
    """The traceback with its true cause first, then what it led to, innermost call first."""
    parts = list(_chain(error, cause))
    if len(parts) > _CHAIN:
        left = len(parts) - _CHAIN
        parts[_CHAIN - 1 : -1] = [f"[… {left} exceptions between left out …]"]
    return bounded("\n".join(parts), lines=LINES, characters=CHARACTERS)


def folded(calls: Sequence[str]) -> list[str]:
    """The calls with those that a recursion repeats shown once."""
    found: list[str] = []
    at = 0
    while at < len(calls):
        for period in range(1, _PERIOD + 1):
            times = 1
            first = calls[at : at + period]
            while calls[at + times * period : at + (times + 1) * period] == first:
                times += 1
            if times >= _TIMES and len(first) == period:
                found += first
                what = "the call" if period == 1 else f"these {period} calls"
                found.append(f"    [{what} above repeated {times - 1:,} more times]")
                at += times * period
                break
        else:
            found.append(calls[at])
            at += 1
    return found


def _chain(error: BaseException | None, cause: BaseException) -> Iterator[str]:
    yield _one(cause)
    seen = {id(cause)}
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield "which led to " + _one(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    other = None if cause.__suppress_context__ else cause.__context__
    if other is not None and id(other) not in seen:
        yield "while handling " + _one(other)


def _one(error: BaseException) -> str:
    lines = [f"{type(error).__name__}: {_message(error)}"]
    if isinstance(error, SyntaxError):
        with suppress(Exception):  # where the provider changed what this needs
            lines = [line.rstrip("\n") for line in format_exception_only(type(error), error)]
    calls = []
    for name, line, function in _frames(error.__traceback__):
        if name.startswith(_OURS):
            continue  # the import system and this script say nothing about the provider
        source = _source(name, line)
        calls.append(
            f'  File "{name}", line {line}, in {function}' + (f"\n    {source}" if source else "")
        )
    return "\n".join([*lines, *folded(calls[::-1])])


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, int, str]]:
    for _ in range(_FRAMES):
        if trace is None:
            return
        code = trace.tb_frame.f_code
        yield code.co_filename, trace.tb_lineno or 0, code.co_name
        trace = trace.tb_next


def _source(name: str, line: int) -> str:
    try:
        return getline(name, line).strip()[:_REASON]
    except Exception:  # noqa: BLE001 - a line that cannot be read is not shown
        return ""


def _message(error: BaseException) -> str:
    try:
        return str.__str__(str(error))
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the failure
        return "(its text cannot be shown)"
