"""Asks providers for their specs inside the server's environment: a separate script.

It is stand-alone: `probe_client` runs it as ``PYTHON -c TEXT ANSWERS FAULTS REQUEST`` in an
interpreter that has the server's packages and the overlay on its path but none of ours; the
modules of ours that it imports are parts of that text. ``REQUEST`` is a JSON list of
``{"module", "provider_type", "imports", "schema", "config"}``; the answers go to the file
descriptor ``ANSWERS``, one JSON object a line and request, because providers may print anything.
What `faulthandler` writes about a process that ends otherwise goes to ``FAULTS``. The text is
ASCII, because an argument has to be valid in any locale.

A provider may replace anything, so everything that is called after its import is bound
before (each part of the script has built-in functions of its own), and an answer is always made.

In place of the list ``{"first", "from", "keep"}`` makes it import the modules ``first``, as a
server has done before it loads a provider (``keep``: with their bytecode written), and then read
the file descriptor ``from`` for ``{"path", "names", "requests"}``: what to put in front of the
path, and the modules and packages in there. If one of those was imported already, from elsewhere,
it ends without an answer.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from fcntl import F_DUPFD_CLOEXEC, fcntl
from importlib import import_module
from json.encoder import encode_basestring_ascii
from linecache import getline
from os import _exit, fstat, getpid, write
from resource import RLIMIT_CORE, RLIMIT_NOFILE, getrlimit, setrlimit
from sys import getrecursionlimit, setrecursionlimit
from traceback import format_exception_only
from types import ModuleType, TracebackType
from typing import Any

from lls_provider.runtime.preflight.probe_spec import (
    CHARACTERS,
    CLOSED,
    CLOSED_REASON,
    CLOSED_WAY,
    FIELDS,
    LINES,
    SCRIPT,
    ProbeError,
    factory_name,
    require_factory,
    require_field,
    spec_function,
    specs_of,
)
from lls_provider.untrusted import bounded, folded

_HIGHEST = 65_536
SCHEMA_LIMIT = 4 * 1024 * 1024
_EMPTY: dict[str, Any] = {"specs": [], "failure": None, "config_schema": None, "takes_config": None}
_OURS = ("<frozen importlib", SCRIPT, importlib.__file__)
_REASON = 500
_CHAIN = 8  # exceptions of one chain
_FRAMES = 20_000  # of one traceback
_UNREADABLE = ProbeError("call", "what it says of itself changes while it is read").document


def main() -> None:
    """Answer each request in turn."""
    gc.disable()  # what is imported stays; 1.10 times as long without (benchmarks/tricks.py)
    wire = _Wire(int(sys.argv[1]), int(sys.argv[2]))
    requests = json.loads(sys.argv[3])
    sys.argv[:] = [sys.argv[0]]
    if sys.path and sys.path[0] == "":
        del sys.path[0]  # "-c" puts the working directory in front; a server does not
    if isinstance(requests, dict):
        requests = _await_order(requests)
    depth = getrecursionlimit()
    for request in requests:
        answer = _answer(request)
        setrecursionlimit(depth)
        if wire.is_cut() and answer["failure"] is None:
            answer["failure"] = ProbeError("import", CLOSED_REASON, way=CLOSED_WAY).document
        wire.send(answer)


class _Wire:
    """The descriptors that lead to the caller, with numbers that nothing else gets."""

    def __init__(self, answers: int, faults: int) -> None:
        self._given = answers
        self._answers = _moved(answers)
        self._same = self._identity(answers)
        with suppress(OSError, ValueError):  # no core file is to be written
            most = getrlimit(RLIMIT_CORE)[1]
            setrlimit(RLIMIT_CORE, (1 if most else 0, most))  # 1 byte: not to a pipe either
        self._faults = _moved(faults)
        os.close(faults)
        faulthandler.enable(self._faults)
        process, dump = getpid(), faulthandler.dump_traceback

        def leave(status: int) -> None:
            """End as `os._exit` does, with the stack of the caller written first."""
            if getpid() == process:
                dump(self._faults, all_threads=False)
            _exit(status)

        os._exit = leave  # type: ignore[assignment]

    def is_cut(self) -> bool:
        """Whether the descriptor that was passed to us was closed; reported once."""
        given, self._given = self._given, self._answers
        if self._identity(given) == self._same:
            self._given = given
            return False
        return True

    def send(self, answer: object) -> None:
        """Write an answer; ends the process if it cannot be delivered."""
        try:
            text = _json(answer)
        except BaseException:  # noqa: BLE001 - objects that change while they are read
            text = _json({**_EMPTY, "failure": _UNREADABLE})
        data = f"{text}\n".encode("ascii")
        try:
            if self._identity(self._answers) != self._same:
                _exit(CLOSED)
            while data:
                data = data[write(self._answers, data) :]
        except OSError:
            _exit(CLOSED)

    @staticmethod
    def _identity(descriptor: int) -> tuple[int, int] | None:
        try:
            found = fstat(descriptor)
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _moved(descriptor: int) -> int:
    """A copy with a number that no file opened later gets."""
    most = getrlimit(RLIMIT_NOFILE)[0]
    highest = min(most, _HIGHEST) if most > 0 else _HIGHEST
    try:
        return fcntl(descriptor, F_DUPFD_CLOEXEC, highest - 16)
    except OSError:  # the system has a limit of its own
        return fcntl(descriptor, F_DUPFD_CLOEXEC, descriptor)


def _await_order(setup: dict[str, Any]) -> Any:
    sys.dont_write_bytecode = not setup["keep"]
    for name in setup["first"]:
        try:
            importlib.import_module(name)
        except BaseException:  # noqa: BLE001, S112 - what needs it will report it
            continue
    sys.dont_write_bytecode = True
    with open(setup["from"], encoding="ascii") as stream:  # noqa: PTH123 - a descriptor
        order = json.loads(stream.read())
    # Python imports these two at its start, which is over
    imported = {name.partition(".")[0] for name in sys.modules} | {"sitecustomize", "usercustomize"}
    if imported & set(order["names"]):
        sys.exit(0)
    sys.path[:0] = order["path"]
    rest = filter(None, [os.environ.get("PYTHONPATH")])
    os.environ["PYTHONPATH"] = os.pathsep.join([*order["path"], *rest])
    return order["requests"]


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {**_EMPTY, "specs": []}
    try:
        _examine(request, answer)
    except ProbeError as failure:
        answer["failure"] = failure.document
    except BaseException as error:  # noqa: BLE001 - providers raise anything, SystemExit too
        answer["failure"] = _failure("call", error).document
    return answer


def _examine(request: dict[str, Any], answer: dict[str, Any]) -> None:
    package = request["module"].split("==")[0]  # as the servers do
    function = spec_function(_import(package + ".provider"))
    try:
        returned = function()
    except BaseException as error:
        raise _failure("call", error) from error
    is_list = isinstance(returned, list)
    chosen = None
    for spec in specs_of(returned):
        answer["specs"].append(_spec(spec, is_list))
        wanted = request["provider_type"]
        if not is_list or wanted is None or answer["specs"][-1]["provider_type"] == wanted:
            chosen = chosen or spec
    if chosen is None:
        found = ", ".join(sorted(spec["provider_type"] for spec in answer["specs"]))
        raise ProbeError(
            "invalid",
            "get_provider_spec() returned no spec of type '{}', only: {}".format(
                request["provider_type"], found
            ),
        )
    if request["imports"] and (len(answer["specs"]) == 1 or request["provider_type"] is not None):
        _use(chosen, request, answer)


def _spec(spec: Any, is_list: bool) -> dict[str, Any]:
    values = {field: require_field(spec, field) for field in FIELDS}
    api, config_class = values["api"], values["config_class"]
    if isinstance(config_class, type):
        config_class = config_class.__module__ + "." + config_class.__qualname__
    return {
        "provider_type": str(values["provider_type"]),
        "api": str(getattr(api, "value", api)),
        "module": str(getattr(spec, "module", None) or ""),
        "config_class": str(config_class),
        "is_list": is_list,
        "api_dependencies": _names(getattr(spec, "api_dependencies", None)),
    }


def _names(apis: Any) -> list[str]:
    if not isinstance(apis, (list, tuple, set, frozenset)):
        return []
    return [str(getattr(api, "value", api)) for api in apis]


def _use(spec: Any, request: dict[str, Any], answer: dict[str, Any]) -> None:
    """What the server does next: the module with the entry point, and the config class."""
    entry = factory_name(spec)
    name = getattr(spec, "module", None)
    if not name:
        way = f"Set `module` of the spec to the name of the module that defines {entry}()."
        raise ProbeError("invalid", "the spec names no module for the server to import", way=way)
    require_factory(_named(str(name), "module"), entry)
    config_class = spec.config_class
    if not isinstance(config_class, type):
        owner, _, attribute = str(config_class).rpartition(".")
        module = _named(owner or str(config_class), "config_class")
        config_class = getattr(module, attribute, None)
        if config_class is None:
            raise ProbeError(
                "invalid",
                f"the config class '{spec.config_class}' does not exist",
                way=f"Correct `config_class` of the spec: module '{owner}' has no '{attribute}'.",
            )
    if request["schema"]:
        try:
            schema = _schema(config_class)
            if len(_json(schema)) <= SCHEMA_LIMIT:
                answer["config_schema"] = schema
        except Exception:  # noqa: BLE001 - a class without a JSON Schema is no fault
            answer["config_schema"] = None
    if request["config"] is not None:
        try:
            config_class(**request["config"])  # as servers do
            answer["takes_config"] = True
        except Exception:  # noqa: BLE001 - a refusal, whatever it is made with
            answer["takes_config"] = False


def _schema(config_class: Any) -> Any:
    """The JSON Schema of a pydantic class or, as pydantic reads it, of a dataclass."""
    if callable(getattr(config_class, "model_json_schema", None)):
        return config_class.model_json_schema()
    if hasattr(config_class, "__dataclass_fields__"):
        return import_module("pydantic").TypeAdapter(config_class).json_schema()
    return None


def _import(name: str) -> ModuleType:
    try:
        return import_module(name)
    except BaseException as error:
        raise _failure("import", error) from error


def _named(name: str, field: str) -> ModuleType:
    """The module that a field of the spec names."""
    try:
        return _import(name)
    except ProbeError as error:
        missing = error.document["missing_module"]
        if missing is not None and f"{name}.".startswith(f"{missing}."):
            error.document["way"] = (
                f"Correct `{field}` of the spec: it names the module '{name}', and neither the "
                f"provider's packages nor the server's have '{missing}'."
            )
        raise


def _failure(kind: str, error: BaseException) -> ProbeError:
    try:
        cause = _true_cause(error)
        missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
        field = _missing_field(cause) if kind == "call" else None
        return ProbeError(
            "invalid" if field is not None else kind,
            _reason(cause),
            _render(error, cause),
            missing_module=missing,
            field=field,
        )
    except BaseException:  # noqa: BLE001 - an exception that was made to break this
        return ProbeError(kind, f"it raised {type(error)!r}, which cannot be shown")


def leads_back(*, stated: bool, context_is_import: bool, is_import: bool) -> bool:
    """Whether the true cause of an error is the exception before it, and not the error itself.

    ``raise ... from cause`` says so itself (``stated``). An error raised while one of the import
    system was handled (``context_is_import``) is a translation of that one, unless it is such an
    error too (``is_import``): then a second import failed after a first, and the second is what
    has to be fixed.
    """
    return stated or (context_is_import and not is_import)


def _is_import(error: BaseException) -> bool:
    return isinstance(error, ImportError) and error.name is not None


def _true_cause(error: BaseException) -> BaseException:
    """The first cause, by `leads_back`; of a group it is the first exception."""
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


def _reason(error: BaseException) -> str:
    """The exception in one line."""
    text = _message(error).strip()
    first = text.splitlines()[0][:_REASON] if text else ""
    if isinstance(error, ImportError) and first:
        return first
    if isinstance(error, SystemExit):
        return f"the module ended the process: SystemExit({first})"
    name = type(error).__name__
    return f"{name}: {first}" if first else str(name)


def _render(error: BaseException, cause: BaseException) -> str:
    """The traceback with its true cause first, then what it led to, innermost call first."""
    parts = list(_chain(error, cause))
    if len(parts) > _CHAIN:
        left = len(parts) - _CHAIN
        parts[_CHAIN - 1 : -1] = [f"[… {left} exceptions between left out …]"]
    return bounded("\n".join(parts), lines=LINES, characters=CHARACTERS)


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


def _missing_field(error: BaseException) -> str | None:
    """The name of a field that was missing when pydantic made the spec, else None."""
    errors = getattr(error, "errors", None)
    if type(error).__name__ != "ValidationError" or not callable(errors):
        return None
    try:
        for item in errors():
            if item.get("type") == "missing" and item.get("loc"):
                return str(item["loc"][0])
    except Exception:  # noqa: BLE001 - some other class of that name
        return None
    return None


def _json(value: Any) -> str:
    """A value as JSON in ASCII: nothing of the module `json`, which a provider may have changed."""
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float) and value - value == 0:
        return float.__repr__(value)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([_json(item) for item in value]) + "]"
    if isinstance(value, dict):
        pairs = [
            f"{_json(key if isinstance(key, str) else _json(key))}:{_json(item)}"
            for key, item in value.items()
        ]
        return "{" + ",".join(pairs) + "}"
    raise TypeError(type(value))
