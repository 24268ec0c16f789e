"""Checks what get_provider_spec() returned and its factory, as a server does.

A part of the script `probe`: it imports nothing but the standard library. Whatever is wrong is a
ProbeError that says what was found and what to change. The values that the script shares with
`probe_process` are here too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from inspect import (
    CO_ITERABLE_COROUTINE,
    getsource,
    isasyncgen,
    isasyncgenfunction,
    iscoroutine,
    iscoroutinefunction,
    isgenerator,
    isgeneratorfunction,
    signature,
    unwrap,
)
from os import listdir
from re import match
from textwrap import dedent
from types import FunctionType, ModuleType
from typing import Any

SCRIPT = "<lls-provider>"
"""The file name in frames of the script itself."""
CLOSED = 213
"""The script's exit status if the descriptor for its answers is no longer its own."""
CLOSED_REASON = "loading it closed file descriptors that it did not open"
CLOSED_WAY = (
    "Close only what the provider opened: os.closerange() and os.close() of other numbers take the "
    "server's connections and files."
)
LINES = 100
"""Lines of a traceback."""
CHARACTERS = 10_000
"""Characters of a traceback."""

FIELDS = ("provider_type", "api", "config_class")
"""What a spec must have, reported as missing in the order of contract section 5."""

_SPECS = "RemoteProviderSpec(...) or InlineProviderSpec(...)"
_LISTS_SINCE = (0, 3)  # llama-stack before reads a list as one spec
_REMOTE_POLICY_SINCE = (0, 3)  # llama-stack before passes a remote factory two arguments


class ProbeError(Exception):
    """What is wrong with a provider; ``document`` is its part of the answer."""

    def __init__(
        self,
        kind: str,
        reason: str,
        text: str = "",
        *,
        missing_module: str | None = None,
        field: str | None = None,
        returned: str = "",
        way: str = "",
    ) -> None:
        super().__init__(reason)
        self.document = {
            "kind": kind,
            "reason": reason,
            "traceback": text,
            "missing_module": missing_module,
            "field": field,
            "returned": returned,
            "way": way,
        }


def spec_function(module: ModuleType) -> Any:
    """The function get_provider_spec() of a module; a server calls it without arguments."""
    name, file = module.__name__, getattr(module, "__file__", None) or module.__name__
    function = getattr(module, "get_provider_spec", None)
    if function is None:
        raise ProbeError(
            "no-get-provider-spec",
            f"module '{name}' has no function get_provider_spec()",
            way=f"Define get_provider_spec() in {file}: it takes no arguments and returns a "
            "spec, or a list of specs.",
        )
    if not callable(function):
        raise ProbeError(
            "no-get-provider-spec",
            f"get_provider_spec in module '{name}' is {describe_value(function)}, no function",
            way=f"Make it a function in {file} that returns this: "
            "`def get_provider_spec(): return ...`.",
        )
    try:
        taken = signature(function)
    except Exception:  # noqa: BLE001 - what is written in C has none
        return function
    try:
        taken.bind()
    except TypeError as error:
        raise ProbeError(
            "call",
            f"get_provider_spec() cannot be called without arguments: {error}",
            way=f"Remove the arguments of get_provider_spec() in {file}, or give each a default: "
            "the server calls it without any.",
        ) from None
    return function


def specs_of(returned: Any) -> list[Any]:
    """The specs that a server finds in what get_provider_spec() returned: one, or a list."""
    if isinstance(returned, list):
        _require_lists_read()
        if not returned:
            raise _invalid("an empty list", "Put at least one spec into the list.")
        for number, item in enumerate(returned, 1):
            if not _is_spec(item):
                what = f"a list whose item {number} is {describe_value(item)}"
                raise _invalid(what, f"Put specs into the list, made with {_SPECS}.")
        return returned
    if not _is_spec(returned):
        raise _invalid(describe_value(returned), _way(returned))
    return [returned]


def require_field(spec: Any, field: str) -> Any:
    """The value of a field that every spec must have."""
    value = getattr(spec, field, None)
    if value is None or value == "":
        raise ProbeError(
            "invalid",
            f"get_provider_spec() returned {describe_value(spec)} without {field}",
            field=field,
        )
    if field == "provider_type" and not isinstance(value, str):
        raise ProbeError(
            "invalid",
            f"get_provider_spec() returned {describe_value(spec)} whose {field} is "
            f"{describe_value(value)}",
            way=f"Set {field} to text, such as 'remote::acme-echo'.",
        )
    return value


def factory_name(spec: Any) -> str:
    """The function that a server calls for the spec; its class decides, if it is known."""
    bases = {base.__name__ for base in type(spec).__mro__}
    if "RemoteProviderSpec" in bases:
        return "get_adapter_impl"
    if "InlineProviderSpec" in bases or not str(spec.provider_type).startswith("remote::"):
        return "get_provider_impl"
    return "get_adapter_impl"


def require_factory(module: ModuleType, name: str) -> Any:
    """The factory ``name`` of the module that a spec names: a server awaits what it returns."""
    factory = getattr(module, name, None)
    fault = None
    if factory is None:
        fault = f"module '{module.__name__}' has no function {name}(config, deps)"
    elif isinstance(factory, type):
        if not hasattr(factory, "__await__"):
            fault = f"{name} in module '{module.__name__}' is a class, no async function"
    elif not callable(factory):
        fault = f"{name} in module '{module.__name__}' is {describe_value(factory)}, no function"
    elif _yields(factory):
        fault = f"{name} in module '{module.__name__}' yields, which cannot be awaited"
    elif not _may_be_awaited(factory):
        fault = f"{name} in module '{module.__name__}' is not async"
    if fault is None:
        _require_call(module, name, factory)
        return factory
    (kind, other, others) = ("a remote", "get_provider_impl", "inline")
    if name == "get_provider_impl":
        (kind, other, others) = ("an inline", "get_adapter_impl", "remote")
    there = ""
    if factory is None and hasattr(module, other):
        there = f" The {other} that exists is for {others} providers: rename it, or correct the "
        there += "provider type."
    raise ProbeError(
        "invalid",
        fault,
        way=f"Define `async def {name}(config, deps)` in "
        f"{getattr(module, '__file__', None) or module.__name__}: the server awaits it to get the "
        f"implementation of {kind} provider.{there}",
    )


def _require_call(module: ModuleType, name: str, factory: Any) -> None:
    """A server passes config and deps, and then a few more that the signature names."""
    optional = ["policy"]
    if name == "get_provider_impl":
        optional += [] if _LLAMA_STACK else ["route_policy"]  # ogx only
    elif _LLAMA_STACK and _LLAMA_STACK < _REMOTE_POLICY_SINCE:
        optional = []
    try:
        named = signature(factory).parameters
        called = signature(factory, follow_wrapped=False)
    except Exception:  # noqa: BLE001 - what is written in C has none
        return
    passed = ["config", "deps", *(it for it in optional if it in named)]
    try:
        called.bind(*passed)
    except TypeError as error:
        more = " and ".join(f"`{it}`" for it in optional)
        raise ProbeError(
            "invalid",
            f"{name} in module '{module.__name__}' cannot be called as the server does, with "
            f"{name}({', '.join(passed)}): {error}",
            way=f"Define `async def {name}(config, deps)` in "
            f"{getattr(module, '__file__', None) or module.__name__}, and give other arguments a "
            "default"
            + (f": besides the two the server passes only {more}, by position." if more else "."),
        ) from None


def describe_value(value: Any) -> str:
    """What a value is, for a sentence: ``a dict``, ``the class Spec``, ``None``."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {_name(value)}"
    if iscoroutine(value):
        return "a coroutine"
    if isasyncgen(value):
        return "an async generator"
    if isgenerator(value):
        return "a generator"
    if isinstance(value, dict):
        return "a dict" if value else "an empty dict"
    if isinstance(value, FunctionType):
        return f"the function {value.__name__}"
    if isinstance(value, ModuleType):
        return f"the module {value.__name__}"
    if type(value) is str:
        return "text"
    kind = _name(type(value))
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"


def _is_spec(value: Any) -> bool:
    """Whether a value looks like a spec; `require_field` reports missing fields."""
    if value is None or isinstance(value, (type, FunctionType, ModuleType)):
        return False
    return any(hasattr(value, field) for field in FIELDS)


def _invalid(returned: str, way: str) -> ProbeError:
    return ProbeError(
        "invalid",
        f"get_provider_spec() returned {returned}, not a spec",
        field=FIELDS[0],
        returned=returned,
        way=way,
    )


def _way(returned: Any) -> str:
    """What to change so that a spec is returned."""
    if iscoroutine(returned):
        returned.close()  # or Python warns that it was never awaited
        return "Remove `async` from `async def get_provider_spec()`: the server does not await it."
    if isasyncgen(returned):
        return "Remove `async`, and `return` the spec where it is yielded."
    if isgenerator(returned):
        return "`return` the spec, or a list of specs, where they are yielded."
    if returned is None:
        return f"End get_provider_spec() with `return` and a spec, made with {_SPECS}."
    if isinstance(returned, type):
        return f"Return an instance, `{_name(returned)}(...)`, not the class."
    if isinstance(returned, FunctionType):
        return "Call that function, and return the spec it makes."
    if isinstance(returned, tuple) and len(returned) == 1:
        return "Return the spec alone (a comma behind it makes a tuple), or in a list."
    if not isinstance(returned, (Mapping, str, bytes)) and hasattr(returned, "__iter__"):
        return "Return a list, such as `[first, second]`: only a list holds several specs."
    return f"Return a spec in its place, made with {_SPECS}."


def _require_lists_read() -> None:
    if _LLAMA_STACK and _LLAMA_STACK < _LISTS_SINCE:
        shown = ".".join(map(str, _LLAMA_STACK))
        raise _invalid(
            f"a list, which llama-stack {shown} does not read",
            "Return one spec, or use llama-stack 0.3.0 or later.",
        )


def _llama_stack() -> tuple[int, ...]:
    """The installed version of llama-stack; empty if there is none or it is unknown."""
    for directory in filter(None, sys.path):
        try:
            names = listdir(directory)  # noqa: PTH208 - as light as it can be
        except OSError:  # an archive, or it does not exist
            continue
        for name in names:
            if found := match(r"llama_stack-(\d+)\.(\d+)(?:\.(\d+))?.*\.dist-info$", name):
                return tuple(int(it) for it in found.groups() if it)
    return ()


_LLAMA_STACK = _llama_stack()  # read before a provider changes anything


def _yields(factory: Any) -> bool:
    function = _plain(factory)
    if isasyncgenfunction(function):
        return True
    generates = isgeneratorfunction(function)
    return generates and not function.__code__.co_flags & CO_ITERABLE_COROUTINE


def _may_be_awaited(factory: Any) -> bool:
    """Whether what the factory returns may be awaited: yes, unless its source rules it out.

    A plain function may return what an async one returns.
    """
    function = _plain(factory)
    if not isinstance(function, FunctionType) or iscoroutinefunction(function):
        return True
    if function.__code__.co_flags & CO_ITERABLE_COROUTINE:
        return True
    try:
        (tree,) = ast.parse(dedent(getsource(function))).body
    except Exception:  # noqa: BLE001 - there is no source, or none that can be read
        return True
    if isinstance(tree, ast.Assign) and isinstance(tree.value, ast.Lambda):
        return _may_await(tree.value.body, function.__globals__)
    if not isinstance(tree, ast.FunctionDef):
        return True
    statements = list(_statements(tree.body))
    given: dict[str, list[ast.expr | None]] = {}
    for it in statements:
        if isinstance(it, ast.Assign) and isinstance(it.targets[0], ast.Name):
            given.setdefault(it.targets[0].id, []).append(it.value)
        if isinstance(it, ast.AnnAssign) and isinstance(it.target, ast.Name):
            given.setdefault(it.target.id, []).append(it.value)
    for it in statements:
        if isinstance(it, ast.Return):
            values = given.get(it.value.id, []) if isinstance(it.value, ast.Name) else [it.value]
            if not values or any(_may_await(value, function.__globals__) for value in values):
                return True
    return False


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a function at any depth, without those of functions and classes in it."""
    for it in body:
        yield it
        if not isinstance(it, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for name in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(it, name, []))
            for handler in (*getattr(it, "handlers", ()), *getattr(it, "cases", ())):
                yield from _statements(handler.body)


def _may_await(value: ast.expr | None, known: Mapping[str, Any]) -> bool:
    """Whether the value of an expression may be awaited; that of a class it calls may not."""
    if value is None or isinstance(value, (ast.Constant, ast.Dict, ast.List, ast.Tuple)):
        return False
    if not isinstance(value, ast.Call) or not isinstance(value.func, ast.Name):
        return True
    called = known.get(value.func.id)
    if called is None:  # imported inside the function; by convention a class begins with a capital
        return not value.func.id[:1].isupper()
    return not isinstance(called, type) or hasattr(called, "__await__")


def _plain(factory: Any) -> Any:
    """The function inside decorators that declare what they wrap."""
    while isinstance(factory, partial):
        factory = factory.func
    try:
        return unwrap(factory)
    except Exception:  # noqa: BLE001 - one that wraps itself
        return factory


def _name(kind: Any) -> str:
    return str(type.__dict__["__name__"].__get__(kind))
