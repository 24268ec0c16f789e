"""A table is added to any file, and no byte of the author's changes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from lls_provider.project.pyproject import parse_pyproject
from lls_provider.project.table_writer import table_text, with_table

CHARACTERS = st.characters(codec="utf-8")
KEYS = st.text(CHARACTERS, min_size=1, max_size=8)
TEXTS = st.text(CHARACTERS, max_size=12)
LEAVES = st.one_of(TEXTS, st.integers(-99, 99), st.booleans(), st.lists(TEXTS, max_size=3))
TABLES = st.dictionaries(KEYS, st.one_of(LEAVES, st.dictionaries(KEYS, LEAVES)), max_size=4)
TITLE = ("tool", "lls-provider")


@given(
    top=TABLES,
    tools=st.dictionaries(KEYS.filter(lambda it: it != TITLE[1]), st.dictionaries(KEYS, LEAVES)),
    end=st.sampled_from(["", "\n", "\n\n\n", "\n# the end", "\n\t\n"]),
    crlf=st.booleans(),
    values=st.dictionaries(
        st.sampled_from(["api", "module", "vendor"]), st.one_of(TEXTS, st.lists(TEXTS, max_size=3))
    ),
)
def test_any_file_keeps_its_bytes(
    top: dict[str, object],
    tools: dict[str, object],
    end: str,
    crlf: bool,
    values: dict[str, str | list[str]],
) -> None:
    document = {**top, "tool": tools} if tools else {**top}
    if not tools:
        document.pop("tool", None)
    text = tomli_w.dumps(document).rstrip("\n") + end
    data = (text.replace("\n", "\r\n") if crlf else text).encode()
    before = parse_pyproject(Path("pyproject.toml"), data)

    after = with_table(before, data, table_text(TITLE, values))

    assert after.startswith(data)
    found = tomllib.loads(after.decode())
    assert found["tool"].pop(TITLE[1]) == values
    if not tools:
        assert found.pop("tool") == {}
    assert found == before.data
