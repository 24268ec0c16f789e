"""Asks providers for their specs, inside the server's environment: a script of its own.

Stand-alone on purpose: it runs as ``PYTHON -c TEXT FD REQUEST`` in an interpreter that has the
server's packages and the overlay on its path but none of ours. ``REQUEST`` is a JSON list of
``{"module", "provider_type", "imports", "schema"}``; the answers go to the file descriptor
``FD``, one JSON object a line and request, because providers print what they like.
It is ASCII: an argument has to fit the locale of whoever starts it.

In place of the list ``{"first", "from", "keep"}`` makes it import the modules ``first``, as a
server has done before it loads a provider (``keep``: with their bytecode written), and then read
the file descriptor ``from`` for ``{"path", "names", "requests"}``: what to put in front of the
path, and the modules and packages in there. When one of those was imported already, from where
it must not come, it ends without an answer.
"""

from __future__ import annotations

import gc
import importlib
import json
import linecache
import os
import sys
import traceback
from types import ModuleType
from typing import Any

_OURS = ("<frozen importlib", "<string>", importlib.__file__)
_FIELDS = ("provider_type", "api", "config_class")


def main() -> None:
    """Answer each request in turn; stops with the interpreter."""
    fd, requests = int(sys.argv[1]), json.loads(sys.argv[2])
    sys.argv[:] = [sys.argv[0]]
    if sys.path and sys.path[0] == "":
        del sys.path[0]  # "-c" puts the working directory in front; a server does not
    if isinstance(requests, dict):
        requests = _waited_for(requests)
    for request in requests:
        answer = _answer(request)
        data = (json.dumps(answer) + "\n").encode("ascii")
        while data:
            data = data[os.write(fd, data) :]


def _waited_for(told: dict[str, Any]) -> Any:
    sys.dont_write_bytecode = not told["keep"]
    gc.disable()  # what is imported stays; looking for garbage in it takes an eighth of the time
    for name in told["first"]:
        try:
            importlib.import_module(name)
        except BaseException:  # noqa: BLE001, S112 - what needs it will say so
            continue
    gc.enable()
    sys.dont_write_bytecode = True
    with open(told["from"], encoding="ascii") as stream:  # noqa: PTH123 - a descriptor
        order = json.loads(stream.read())
    # Python looks for the two at its start, which was before
    imported = {name.partition(".")[0] for name in sys.modules} | {"sitecustomize", "usercustomize"}
    if imported & set(order["names"]):
        sys.exit(0)
    sys.path[:0] = order["path"]
    behind = filter(None, [os.environ.get("PYTHONPATH")])
    os.environ["PYTHONPATH"] = os.pathsep.join([*order["path"], *behind])
    return order["requests"]


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"specs": [], "failure": None, "config_schema": None}
    try:
        _examine(request, answer)
    except _ProbeError as failure:
        answer["failure"] = failure.document
    except BaseException as error:  # noqa: BLE001 - providers raise anything, SystemExit too
        answer["failure"] = _failure("call", error).document
    return answer


def _examine(request: dict[str, Any], answer: dict[str, Any]) -> None:
    package = request["module"].split("==")[0]  # as the servers do
    name = package + ".provider"
    module = _import(name)
    function = getattr(module, "get_provider_spec", None)
    if not callable(function):
        raise _ProbeError(
            "no-get-provider-spec", f"module '{name}' has no function get_provider_spec()"
        )
    try:
        returned = function()
    except BaseException as error:
        raise _failure("call", error) from error
    is_list = isinstance(returned, (list, tuple))
    chosen = None
    for spec in returned if is_list else [returned]:
        answer["specs"].append(_spec(spec, is_list))
        wanted = request["provider_type"]
        if not is_list or wanted is None or answer["specs"][-1]["provider_type"] == wanted:
            chosen = chosen or spec
    if not answer["specs"]:
        raise _ProbeError(
            "invalid", "get_provider_spec() returned an empty list", field="provider_type"
        )
    if chosen is None:
        found = ", ".join(sorted(spec["provider_type"] for spec in answer["specs"]))
        raise _ProbeError(
            "invalid",
            "get_provider_spec() returned no spec of type '{}', only: {}".format(
                request["provider_type"], found
            ),
        )
    if request["imports"] and (len(answer["specs"]) == 1 or request["provider_type"] is not None):
        _use(chosen, request, answer)


def _spec(spec: Any, is_list: bool) -> dict[str, Any]:
    """The fields of one spec; they are told as missing in the order of contract section 5."""
    values: dict[str, Any] = {}
    for field in _FIELDS:
        value = getattr(spec, field, None)
        if value is None or value == "":
            raise _ProbeError(
                "invalid",
                f"get_provider_spec() returned {_kind(spec)} without {field}",
                field=field,
            )
        values[field] = value
    api, config_class = values["api"], values["config_class"]
    if isinstance(config_class, type):
        config_class = config_class.__module__ + "." + config_class.__qualname__
    return {
        "provider_type": str(values["provider_type"]),
        "api": str(getattr(api, "value", api)),
        "module": str(getattr(spec, "module", None) or ""),
        "config_class": str(config_class),
        "is_list": is_list,
    }


def _use(spec: Any, request: dict[str, Any], answer: dict[str, Any]) -> None:
    """What the server does next: the module with the entry point, and the config class."""
    name = getattr(spec, "module", None)
    if name:
        module = _import(str(name))
        remote = str(spec.provider_type).startswith("remote::")
        entry = "get_adapter_impl" if remote else "get_provider_impl"
        if not callable(getattr(module, entry, None)):
            raise _ProbeError("invalid", f"module '{name}' has no function {entry}(config, deps)")
    config_class = spec.config_class
    if not isinstance(config_class, type):
        owner, _, attribute = str(config_class).rpartition(".")
        module = _import(owner or str(config_class))
        config_class = getattr(module, attribute, None)
        if config_class is None:
            raise _ProbeError("invalid", f"the config class '{spec.config_class}' does not exist")
    if request["schema"]:
        try:
            answer["config_schema"] = json.loads(json.dumps(_schema(config_class)))
        except Exception:  # noqa: BLE001 - a class without a JSON Schema is no fault
            answer["config_schema"] = None


def _schema(config_class: Any) -> Any:
    """The JSON Schema of a pydantic class or, as pydantic reads it, of a dataclass."""
    if callable(getattr(config_class, "model_json_schema", None)):
        return config_class.model_json_schema()
    if hasattr(config_class, "__dataclass_fields__"):
        return importlib.import_module("pydantic").TypeAdapter(config_class).json_schema()
    return None


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except BaseException as error:
        raise _failure("import", error) from error


class _ProbeError(Exception):
    def __init__(
        self,
        kind: str,
        reason: str,
        text: str = "",
        missing_module: str | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.document = {
            "kind": kind,
            "reason": reason,
            "traceback": text,
            "missing_module": missing_module,
            "field": field,
        }


def _failure(kind: str, error: BaseException) -> _ProbeError:
    cause = _true_cause(error)
    missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
    field = _missing_field(cause) if kind == "call" else None
    if field is not None:
        kind = "invalid"
    return _ProbeError(kind, _reason(cause), _render(error, cause), missing, field)


def _true_cause(error: BaseException) -> BaseException:
    """The exception that started it all.

    ``raise ... from cause`` says so itself. An error raised while an ImportError was handled is
    a translation of that one, unless the import system raised it: then a second import failed
    after a first, and the second is what has to be mended.
    """
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        context = None if error.__suppress_context__ else error.__context__
        if error.__cause__ is not None:
            error = error.__cause__
        elif (
            isinstance(context, ImportError)
            and context.name is not None
            and not (isinstance(error, ImportError) and error.name is not None)
        ):
            error = context
        else:
            break
    return error


def _reason(error: BaseException) -> str:
    text = _message(error).strip()
    first = text.splitlines()[0] if text else ""
    if isinstance(error, ImportError) and first:
        return first
    if isinstance(error, SystemExit):
        return f"the module ended the process: SystemExit({first})"
    name = type(error).__name__
    return f"{name}: {first}" if first else name


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the failure
        return "(its text cannot be shown)"


def _missing_field(error: BaseException) -> str | None:
    """The name of a field that pydantic missed when the spec was made, else None."""
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


def _render(error: BaseException | None, cause: BaseException) -> str:
    """The traceback with its true cause first, then what it led to, innermost call first."""
    parts, seen = [_one(cause)], {id(cause)}
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        parts.append("which led to " + _one(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    other = None if cause.__suppress_context__ else cause.__context__
    if other is not None and id(other) not in seen:
        parts.append("while handling " + _one(other))
    return "\n".join(parts)


def _one(error: BaseException) -> str:
    lines = [f"{type(error).__name__}: {_message(error)}"]
    if isinstance(error, SyntaxError):
        lines = [line.rstrip("\n") for line in traceback.format_exception_only(type(error), error)]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith(_OURS):
            continue  # the import system and this script say nothing about the provider
        lines.append(f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}')
        source = linecache.getline(frame.filename, frame.lineno or 0).strip()
        if source:
            lines.append("    " + source)
    return "\n".join(lines)


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


if __name__ == "__main__":
    main()
