"""Adds a table to an author's ``pyproject.toml``, in which every other byte stays."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError

if TYPE_CHECKING:
    from lls_provider.project.pyproject import PyProject


def table_text(title: Sequence[str], values: Mapping[str, str | Sequence[str]]) -> str:
    """Return a table of texts and lists of texts as TOML."""
    lines = [f"[{'.'.join(title)}]"]
    for key, value in values.items():
        if isinstance(value, str):
            lines.append(f"{key} = {_quoted(value)}")
        else:
            lines.append(f"{key} = [{', '.join(map(_quoted, value))}]")
    return "\n".join(lines) + "\n"


def with_table(pyproject: PyProject, data: bytes, table: str) -> bytes:
    """Return the file's content with a table at its end, in the file's own line ends.

    Raises SdkError SETTINGS_INVALID if TOML does not allow a table there, as after ``tool = {}``.
    """
    line_end = b"\r\n" if b"\r\n" in data else b"\n"
    first = b"" if not data or data.endswith(b"\n") else line_end
    blank = line_end if data.strip() else b""
    added = data + first + blank + table.encode().replace(b"\n", line_end)
    try:
        after, new = tomllib.loads(added.decode()), tomllib.loads(table)
    except tomllib.TOMLDecodeError as error:
        raise SdkError(
            Code.SETTINGS_INVALID,
            f"{Path(pyproject.source).name} cannot hold {table.splitlines()[0]}",
            why=f"{error}: its parent is not written as tables.",
            where=pyproject.where(("tool",)),
            resolution="Write each part of [tool] as a table of its own, [tool.NAME], or remove "
            "the value that is in the table's place.",
        ) from error
    assert _merged(dict(pyproject.data), new) == after  # noqa: S101 - nothing else has changed
    return added


def _merged(one: dict[str, object], other: Mapping[str, object]) -> dict[str, object]:
    found = dict(one)
    for key, value in other.items():
        there = found.get(key)
        both = isinstance(there, dict) and isinstance(value, dict)
        found[key] = _merged(there, value) if both else value  # type: ignore[arg-type]
    return found


def _quoted(text: str) -> str:
    import tomli_w

    return tomli_w.dumps({"x": text}).removeprefix("x = ").rstrip("\n")
