"""Documents: reading with positions, the limits, and writing."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lls_provider.contract.document import (
    DEFAULT,
    Document,
    Limits,
    Timestamp,
    dump,
    load,
    load_file,
)
from lls_provider.errors import Code, SdkError, Where

BASE = """\
version: 2
distro_name: starter
apis: [inference, safety]
providers:
  inference:
  - provider_id: ${env.OLLAMA_URL:+ollama}
    provider_type: remote::ollama
    config:
      base_url: ${env.OLLAMA_URL:=http://localhost:11434/v1}
      timeout: 1:30
      since: 2026-11-22
      verify: no
      mode: 0o600
      ratio: 1e3
      prompt: |
        You are a helpful
          assistant.
      empty:
server: {port: 8321}
"""


def _refusal(data: bytes, limits: Limits = DEFAULT) -> SdkError:
    with pytest.raises(SdkError) as caught:
        load(data, "f.yaml", limits=limits)
    return caught.value


def test_a_value_knows_its_line_and_column() -> None:
    document = load(BASE.encode(), "run.yaml")
    path = ("providers", "inference", 0, "config", "base_url")
    assert document.where(path) == Where("run.yaml", 9, 17)
    assert document.where(path, key=True) == Where("run.yaml", 9, 7)
    assert document.where() == Where("run.yaml", 1, 1)


def test_a_path_that_leads_nowhere_ends_at_the_deepest_value() -> None:
    document = load(BASE.encode(), "run.yaml")
    assert document.where(("providers", "inference", 0, "module")).line == 6
    assert document.where(("providers", "inference", 7)).line == 6
    assert document.where(("version", "x")).line == 1
    assert document.where(("apis", "x")) == Where("run.yaml", 3, 7)


def test_keys_that_are_no_text_are_found_by_their_value() -> None:
    document = load(b"a: 1\n0x1F: x\ntrue: y\n", "f.yaml")
    assert document.value == {"a": 1, 31: "x", True: "y"}
    assert document.where((31,)).line == 2
    assert document.where((True,)).line == 3


def test_the_text_of_a_value_is_what_was_written() -> None:
    document = load(b"version: 1.10\nlist: ['0x1F']\n", "f.yaml")
    assert document.text(("version",)) == "1.10"
    assert document.text(("list", 0)) == "0x1F"
    assert document.text(("list",)) is None
    assert document.text(("nothing",)) is None


def test_data_that_was_not_read_from_yaml_knows_only_its_source() -> None:
    document = Document("answers", {"a": 1})
    assert document.where(("a",)) == Where("answers")
    assert document.text(("a",)) is None


def test_a_key_that_a_merge_brought_is_found_where_it_was_written() -> None:
    document = load(b"x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\n", "f.yaml")
    assert document.value["y"] == {"a": 1, "b": 3}
    assert document.where(("y", "a")) == Where("f.yaml", 1, 11)
    assert document.where(("y", "b")) == Where("f.yaml", 4, 6)


def test_a_merge_through_a_merge() -> None:
    text = "x: &x {a: 1}\ny: &y\n  <<: *x\n  b: 2\nz:\n- <<: *y\n- <<: [*y, {a: 3}]\n"
    assert load(text.encode(), "f.yaml").value == yaml.safe_load(text)


def test_a_merge_of_a_mapping_into_itself_is_refused() -> None:
    error = _refusal(b"x: &x\n  a: 1\n  <<: *x\n")
    assert error.code is Code.YAML_INVALID
    assert "part of" in error.what


def test_merges_count_for_what_they_bring() -> None:
    lines = ["a0: &a0 {k0: 0, k1: 1, k2: 2, k3: 3}"]
    lines += [
        f"a{level}: &a{level}\n  <<: [{', '.join([f'*a{level - 1}'] * 9)}]"
        for level in range(1, 20)
    ]
    assert _refusal("\n".join(lines).encode()).code is Code.YAML_LIMIT


def test_a_base_configuration_reads_as_the_server_reads_it() -> None:
    value = load(BASE.encode(), "run.yaml").value
    config = value["providers"]["inference"][0]["config"]
    assert config["timeout"] == 90
    assert config["verify"] is False
    assert config["mode"] == "0o600"
    assert config["since"] == "2026-11-22"
    assert isinstance(config["since"], Timestamp)


def test_a_base_configuration_survives_writing_unchanged() -> None:
    value = load(BASE.encode(), "run.yaml").value
    # the server's own reader sees the same before and after, the date included
    assert yaml.safe_load(dump(value)) == yaml.safe_load(BASE)


def test_several_problems_are_told_at_once() -> None:
    error = _refusal(b"a: 1\na: 2\nb: !x 1\nc: &c !y 1\nd: *c\n")
    assert error.code is Code.YAML_INVALID
    assert [problem.code for problem in error.problems] == [
        Code.DUPLICATE_KEY,
        Code.YAML_INVALID,
        Code.YAML_INVALID,  # told once, though the alias repeats it
    ]
    assert [problem.where.line for problem in error.problems] == [2, 3, 4]


def test_one_problem_is_the_error_itself() -> None:
    error = _refusal(b"a: 1\na: 2\n")
    assert error.code is Code.DUPLICATE_KEY
    assert error.where == Where("f.yaml", 2, 1)
    assert "first in line 1" in error.render()


@pytest.mark.parametrize(
    "data", [b"!" * 5000 + b" a", b"? " + b"a" * 5000 + b"\n? " + b"a" * 5000, b"*" + b"a" * 5000]
)
def test_a_message_does_not_grow_with_the_document(data: bytes) -> None:
    assert len(_refusal(data).render()) < 600


def test_a_syntax_error_tells_its_cause_line_and_context() -> None:
    error = _refusal(b"a: [1, 2\nb: 3\n")
    assert "(line 2, column 2)" in error.why
    assert "while parsing a flow sequence (line 1, column 4)" in error.why


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"a: !!timestamp x\n", "timestamp"),
        (b"a: !!bool maybe\n", "bool"),
        (b"a: !!float x\n", "float"),
        (b"a: 0b_\n", "int"),
        (b"a: !!int ''\n", "int"),
        (b"a: !x {b: 1}\n", "!x"),
        (b"a: !x [1]\n", "!x"),
    ],
)
def test_a_tag_that_does_not_fit_is_named(data: bytes, word: str) -> None:
    error = _refusal(data)
    assert error.code is Code.YAML_INVALID
    assert word in error.what
    assert error.where.line == 1


def test_an_explicit_timestamp_is_kept_as_text() -> None:
    assert load(b"a: !!timestamp '2026-11-22'\n", "f.yaml").value == {"a": "2026-11-22"}


def test_signs_of_yaml_1_1_are_text_as_values() -> None:
    assert load(b"a: =\nb: [<<]\n", "f.yaml").value == {"a": "=", "b": ["<<"]}


@pytest.mark.parametrize(
    ("limits", "data"),
    [
        (Limits(size=4), b"a: 12"),
        (Limits(depth=2), b"a: {b: {c: 1}}"),
        (Limits(depth=2), b"a: &a {b: 1}\nc: {d: *a}"),
        (Limits(nodes=3), b"[1, 2, 3]"),
        (Limits(nodes=6), b"a: &a [1]\nb: *a"),
        (Limits(aliases=1), b"a: &a 1\nb: [*a, *a]"),
        (Limits(digits=3), b"a: 1000"),
    ],
)
def test_a_limit_is_told_with_its_number(limits: Limits, data: bytes) -> None:
    error = _refusal(data, limits)
    assert error.code is Code.YAML_LIMIT
    assert any(character.isdigit() for character in error.what)


def test_a_document_at_the_limits_passes() -> None:
    limits = Limits(size=14, depth=2, nodes=5, aliases=0, digits=2)
    assert load(b"a: {b: 11}    ", "f.yaml", limits=limits).value == {"a": {"b": 11}}


def test_a_file_is_read_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\n")
    assert load_file(path).source == str(path)
    assert load_file(path, "shown.yaml").source == "shown.yaml"


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "no.yaml", Path(__file__) / "no.yaml"):
        with pytest.raises(SdkError) as caught:
            load_file(path, "no.yaml")
        assert caught.value.code is Code.FILE_MISSING
        assert caught.value.where.file == "no.yaml"


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(SdkError) as caught:
        load_file(tmp_path)
    assert caught.value.code is Code.FILE_UNREADABLE
    assert caught.value.why


def test_a_pipe_or_a_device_is_told_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(SdkError) as caught:
            load_file(path)
        assert caught.value.code is Code.FILE_UNREADABLE
        assert caught.value.why == "it is no regular file"


def test_a_large_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)  # a hole of a terabyte
    with pytest.raises(SdkError) as caught:
        load_file(path)
    assert caught.value.code is Code.YAML_LIMIT


@pytest.mark.parametrize(
    "text",
    [
        "1.0",
        "1e3",
        "0o17",
        "y",
        "N",
        "no",
        "null",
        "~",
        "",
        " x",
        "+1",
        ".5",
        ".inf",
        "-.INF",
        "2026-11-22",
        "1:30",
        "=",
        "<<",
        "0x1F",
        "- a",
        "a: b",
        "a #b",
        "#a",
        "*a",
        "&a",
        "!a",
    ],
)
def test_text_that_looks_like_something_else_is_quoted(text: str) -> None:
    written = dump({"a": text})
    assert load(written.encode(), "f.yaml").value == {"a": text}
    assert written.removeprefix("a: ")[0] in "'\""


def test_several_lines_are_written_as_a_block() -> None:
    assert dump({"a": "one\n  two\n"}) == "a: |\n  one\n    two\n"


def test_nothing_is_folded_sorted_or_aliased() -> None:
    shared = ["x" * 200 + " " + "y" * 200]
    assert dump({"b": shared, "a": shared}) == f"b:\n- {shared[0]}\na:\n- {shared[0]}\n"


def test_a_single_value_has_no_document_end() -> None:
    assert dump("x") == "x\n"
    assert dump(None) == "null\n"


@pytest.mark.parametrize("text", ["a\n...", "a\n...\n", "a...", "...", "a\n\n...\n\n"])
def test_text_that_ends_like_a_document_survives(text: str) -> None:
    for value in (text, {"a": text}, [text]):
        assert load(dump(value).encode(), "f.yaml").value == value


def test_what_is_no_plain_data_is_not_written() -> None:
    with pytest.raises(TypeError):
        dump({"a": object()})


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_LINES = st.lists(st.sampled_from(["", " ", "a", " b", "c ", "\t", "#", "- d", ": ", "é", "..."]))
_SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    _TEXT,
    _LINES.map("\n".join),
    st.from_regex(r"[-+.0-9xeob_:]{1,8}", fullmatch=True),
    st.sampled_from(["yes", "Off", "null", "~", "y", "2026-11-22", "1:30", "---", "...", "? a"]),
)
_DATA = st.recursive(
    _SCALARS,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(_TEXT, children, max_size=4),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(_DATA)
def test_what_is_written_reads_as_the_same(value: Any) -> None:
    # None alone is written as "null", which is a document, not an empty file
    written = dump(value)
    assert load(written.encode(), "f.yaml").value == value
    assert yaml.safe_load(written) == value
    assert dump(value) == written


def test_numbers_that_are_none_survive() -> None:
    value = load(b"a: .nan\nb: -.inf\n", "f.yaml").value
    assert dump(value) == "a: .nan\nb: -.inf\n"
    assert math.isnan(value["a"])


_TOKENS = st.lists(
    st.sampled_from(
        [
            "a",
            ": ",
            "- ",
            "\n",
            "  ",
            "[",
            "]",
            "{",
            "}",
            ",",
            "&x",
            "*x",
            "<<",
            "!!int ",
            "!y ",
            "'",
            '"',
            ">-\n",
            "? ",
            "%",
            "---\n",
            "...\n",
            "#",
            "\t",
            "\\",
            "1",
            "0x",
            "\x07",
            "!!map ",
            "!!seq ",
            "!!null ",
            "\\u",
            "\ufeff",
            "2026-11-22",
            "%YAML 9.9\n",
            "=",
            "~",
        ]
    ),
    max_size=30,
).map("".join)


@settings(max_examples=1500, deadline=None)
@given(_TOKENS.map(str.encode) | st.binary(max_size=60))
def test_whatever_is_read_there_is_data_or_an_error_of_ours(data: bytes) -> None:
    try:
        value = load(data, "f.yaml").value
    except SdkError as error:
        assert error.where.line is not None or error.problems
        assert error.resolution
    else:
        try:
            server = yaml.safe_load(data)
        except (yaml.YAMLError, TypeError, ValueError):
            return  # "=" alone, say, is text to us
        if data.startswith(b"\xef\xbb\xbf" * 2):
            return  # PyYAML strips one byte order mark, we and PyYAML two
        assert repr(_texts(server)) == repr(_texts(value))


def _texts(value: Any) -> Any:
    """Dates as the text that we keep, compared by their beginning."""
    if isinstance(value, dict):
        return {_texts(key): _texts(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_texts(child) for child in value]
    return "DATE" if str(value).startswith("2026-11-22") else value


def test_the_vocabulary_is_imported_without_the_parser() -> None:
    code = """
        import sys
        import lls_provider.contract.models
        print(sorted({"yaml", "packaging", "difflib"} & sys.modules.keys()))
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
