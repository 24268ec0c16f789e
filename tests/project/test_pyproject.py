from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lls_provider.project.pyproject import (
    KeyPath,
    Mark,
    parse_pyproject,
    toml_positions,
)

TEXT = '''\
# a comment = [1]
top = 1

[tool.demo]  # the table
name = "a # no comment"
"quoted.key" = 'x'
dotted.inner = true
list = [
  "one", # first
  { deep = [1, 2] },
]
long = """
[not.a.table]
key = "no key"
"""
after = 1979-05-27 07:32:00

[[tool.demo.items]]
id = 1
[tool.demo.items.sub]
x = 1
[[tool.demo.items]]
id = 2
'''


def paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    yield path
    if isinstance(value, dict):
        for key, child in value.items():
            yield from paths(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from paths(child, (*path, index))


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("top",), (2, 1), (2, 7)),
        (("tool", "demo"), (4, 7), (4, 7)),
        (("tool", "demo", "name"), (5, 1), (5, 8)),
        (("tool", "demo", "quoted.key"), (6, 1), (6, 16)),
        (("tool", "demo", "dotted", "inner"), (7, 8), (7, 16)),
        (("tool", "demo", "list", 0), (9, 3), (9, 3)),
        (("tool", "demo", "list", 1, "deep", 1), (10, 16), (10, 16)),
        (("tool", "demo", "after"), (16, 1), (16, 9)),
        (("tool", "demo", "items", 0, "id"), (19, 1), (19, 6)),
        (("tool", "demo", "items", 0, "sub", "x"), (21, 1), (21, 5)),
        (("tool", "demo", "items", 1, "id"), (23, 1), (23, 6)),
    ],
)
def test_keys_and_values_have_places(
    path: KeyPath, key: tuple[int, int], value: tuple[int, int]
) -> None:
    place = toml_positions(TEXT)[path]

    assert (place.key, place.value) == (Mark(*key), Mark(*value))


def test_every_path_has_a_place_and_nothing_else() -> None:
    assert set(toml_positions(TEXT)) == set(paths(tomllib.loads(TEXT)))


def test_line_ends_of_windows_do_not_shift_places() -> None:
    assert toml_positions(TEXT.replace("\n", "\r\n")) == toml_positions(TEXT)


def toml(value: Any) -> str:
    """A value as TOML, inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",\n ".join(toml(item) for item in value) + ",]" if value else "[ ]"
    if isinstance(value, str) and "'" not in value:
        return f"'''{value}'''"
    return json.dumps(value)


ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-9, 9) | ASCII,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ASCII, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(ASCII, VALUES, max_size=3), st.dictionaries(ASCII, VALUES, max_size=3))
def test_any_document_has_exactly_the_places_of_its_values(
    top: dict[str, Any], table: dict[str, Any]
) -> None:
    lines = [f"{json.dumps(key)} = {toml(value)}  # note" for key, value in top.items()]
    if "t" not in top:
        lines.append("[[ t . u ]]")
        lines += [f"{json.dumps(key)}={toml(value)}" for key, value in table.items()]
    text = "\n".join(lines)

    found = toml_positions(text)

    assert set(found) == set(paths(tomllib.loads(text)))
    for path, place in found.items():
        if path and isinstance(path[-1], str) and len(path) == 1 and path[0] in top:
            line = text.split("\n")[place.key.line - 1]
            assert line[place.key.column - 1 :].startswith(json.dumps(path[0]))


@pytest.mark.parametrize("path", [("project", "version"), ("project",), ("tool", "demo", "none")])
def test_what_is_not_there_has_the_place_of_the_nearest_table(path: KeyPath) -> None:
    where = parse_pyproject(Path("pyproject.toml"), b"\n[tool.demo]\nx = 1\n").where(path)
    assert (where.line, where.column) == ((2, 7) if path[0] == "tool" else (1, 1))
