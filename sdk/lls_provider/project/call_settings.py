"""Reads the sample calls of ``[tool.lls-provider.up]``: one table, or an array of tables."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from lls_provider.contract.schema import shown
from lls_provider.errors import Code, Where
from lls_provider.project.named_files import named_file
from lls_provider.project.pyproject import KeyRule, TableReader
from lls_provider.project.sample_call import (
    REPLY_FIELD,
    SampleCall,
    Steps,
    texts_with_reply_fields,
)

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def read_calls(root: Path, up: TableReader) -> tuple[SampleCall, ...]:
    """Return the calls in order; what is wrong with them is added to the problems."""
    return tuple(
        _call(root, table, number) for number, table in enumerate(up.sections("call"), start=1)
    )


def _call(root: Path, table: TableReader, number: int) -> SampleCall:
    method = table.text("method", KeyRule("a method of HTTP", choices=_METHODS))
    path = table.text(
        "path",
        KeyRule("a path that begins with /", pattern=r"^/[^\s]*$"),
        required='path = "/v1/chat/completions"',
    )
    body, form = table.plain("body"), table.mapping("form")
    names = table.mapping("files")
    files = {
        field_name: file
        for field_name, name in names.items()
        if (file := named_file(root, table, name, "files", field_name)) is not None
    }
    if body is not None and (form or names):
        table.report(
            Code.FIELD_VALUE,
            f"{table.title} has a body and a form; a request has one of them",
            "Remove 'body', or remove 'form' and 'files'.",
            "body",
            key=True,
        )
    status = table.number("expect-status", 200)
    expected = table.text("expect-text") or ""
    within = _within(table)
    table.closed()
    method = method or ("POST" if body is not None or form or files else "GET")
    call = SampleCall(method, path or "", body, status, form, files, expected, within)
    return _placed(call, table, number)


def _within(table: TableReader) -> float:
    value = table.plain("within")
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        kind = Code.FIELD_TYPE
    elif math.isfinite(value) and value > 0:
        return float(value)
    else:
        kind = Code.FIELD_VALUE
    table.report(
        kind,
        f"within in {table.title} is {shown(value)}, expected a number of seconds above 0",
        "Write a number of seconds, such as within = 30.",
        "within",
    )
    return 0.0


def _placed(call: SampleCall, table: TableReader, number: int) -> SampleCall:
    """Return the call with its positions; its reply fields must be of earlier calls."""
    expected = [(key,) for key in ("expect-status", "expect-text") if key in table.table]
    places: dict[Steps, Where] = {
        steps: table.project.where((*table.path, *steps)) for steps in ((), *expected)
    }
    for steps, text in texts_with_reply_fields(call):
        places[steps] = table.project.where((*table.path, *steps))
        for match in REPLY_FIELD.finditer(text):
            first, _, rest = match["steps"].partition(".")
            earlier = first.isascii() and first.isdigit() and 0 < int(first) < number
            if earlier and all(rest.split(".")):
                continue
            table.report(
                Code.FIELD_VALUE,
                f"{match[0]} is not a field of the reply to an earlier call",
                _how(number, rest),
                *steps,
            )
    return replace(call, places=places)


def _how(number: int, rest: str) -> str:
    if number == 1:
        return "Remove it: no call comes before the first."
    example = f"${{replies.{number - 1}.{rest if all(rest.split('.')) else 'id'}}}"
    return f"Write a number from 1 to {number - 1} and the names of fields, such as {example}."
