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

    Raises SdkError SETTINGS_INVALID if TOML does not allow a table there, as after ``tool = {}`` or
    ``[[tool]]``.
    """
    line_end = b"\r\n" if b"\r\n" in data else b"\n"
    first = b"" if not data or data.endswith(b"\n") else line_end
    blank = line_end if data.strip() else b""
    added = data + first + blank + table.encode().replace(b"\n", line_end)
    # what stands at the end of TOML changes nothing before it, but for a list of tables
    try:
        after = tomllib.loads(added.decode())
    except tomllib.TOMLDecodeError as error:
        raise _refusal(pyproject, table, str(error)) from error
    if not isinstance(after["tool"], dict):
        raise _refusal(pyproject, table, "It would belong to the last table of a list")
    return added


def _refusal(pyproject: PyProject, table: str, why: str) -> SdkError:
    return SdkError(
        Code.SETTINGS_INVALID,
        f"{Path(pyproject.source).name} cannot hold {table.splitlines()[0]}",
        why=f"{why}: its parent is not written as tables.",
        where=pyproject.where(("tool",)),
        resolution="Write each part of [tool] as a table of its own, [tool.NAME], or remove "
        "the value that is in the table's place.",
    )


def _quoted(text: str) -> str:
    import tomli_w

    return tomli_w.dumps({"x": text}).removeprefix("x = ").rstrip("\n")
