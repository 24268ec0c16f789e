"""Documents: reading with positions, the limits, and writing."""

from __future__ import annotations

import datetime
import math
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lls_provider.contract.document import Document, dump, load, load_file
from lls_provider.contract.limits import DEFAULT, DocumentLimits
from lls_provider.contract.plain_data import Timestamp
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


def _refusal(data: bytes, limits: DocumentLimits | None = None) -> SdkError:
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
        Code.YAML_INVALID,  # given once, though the alias repeats it
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
        (DocumentLimits(size=4), b"a: 12"),
        (DocumentLimits(depth=2), b"a: {b: {c: 1}}"),
        (DocumentLimits(depth=2), b"a: &a {b: 1}\nc: {d: *a}"),
        (DocumentLimits(nodes=3), b"[1, 2, 3]"),
        (DocumentLimits(nodes=6), b"a: &a [1]\nb: *a"),
        (DocumentLimits(aliases=1), b"a: &a 1\nb: [*a, *a]"),
        (DocumentLimits(digits=3), b"a: 1000"),
    ],
)
def test_a_limit_is_told_with_its_number(limits: DocumentLimits, data: bytes) -> None:
    error = _refusal(data, limits)
    assert error.code is Code.YAML_LIMIT
    assert any(character.isdigit() for character in error.what)


def test_a_document_at_the_limits_passes() -> None:
    limits = DocumentLimits(size=14, depth=2, nodes=5, aliases=0, digits=2)
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
        assert caught.value.why == "it is not a regular file"


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


@pytest.mark.unmeasured
@pytest.mark.slow
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


def _same(value: Any) -> Any:
    """What is equal for equal values: of equal types, NaN among them, mappings in their order."""
    kind = type(value).__name__
    if isinstance(value, dict):
        return kind, [(_same(key), _same(child)) for key, child in value.items()]
    if isinstance(value, list | tuple):
        return kind, [_same(child) for child in value]
    if isinstance(value, set):
        return kind, sorted(map(repr, map(_same, value)))
    return kind, repr(value)


WHAT_SERVERS_READ = [
    "!!binary aGVsbG8=",
    "!!binary |\n  R0lGODlhDAAMAIQAAP//9/X17unp5WZm\n  ZgAAAOfn515eXvPz7Y6OjuDg4J+fn5==\n",
    "!!binary ''",
    "!!set {a, b, 1, ~, 2.5, false}",
    "!!set {}",
    "!!set\n? a\n? 2026-11-22\n",
    "!!omap [a: 1, b: [2, c: !!set {x}]]",
    "!!omap []",
    "!!pairs [a: 1, a: 2, [k]: 3, {x: y}: 4]",
    "[!!pairs [a: 1], [[a, 1]], [[a, 1], [b, 2]]]",
    "2026-11-22",
    "2026-11-22T10:00:00Z",
    "2026-11-22 10:00:00.5 +02:30",
    "2001-1-2 3:04:05",
    "!!timestamp '2026-11-22'",
    "[0x1F, 0X1f, 017, 0o17, 0b101, 1_000, 1:30, -1:30:15, +7, 0]",
    "[1:30.5, 1_0.5, 1e3, 1.e+3, 6.8523015e+5, .5, .inf, -.INF, .NaN, -0.0]",
    "[yes, No, ON, off, y, n, true, False]",
    "[~, null, Null, '', !!null x, !!str 1, !!str ~, !!int '7', !!float 3, !!bool 'yes', ! 12]",
    f"[0x{'f' * 398}, {'9' * 400}, -0x{'e' * 397}, 0b{'1' * 398}]",
    "{1: a, true2: b, ~: c, 2.5: d, 2026-11-22: e, 2026-11-22T00:00:00Z: f, !!binary eA==: g}",
    "{'2026-11-22': a, 2026-11-22: b}",
    "{.nan: 1, '.nan': 2}",
    "? |\n  several\n  lines\n: 1\n",
    "%TAG !y! tag:yaml.org,2002:\n---\n!y!set {a}\n",
    "a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: {<<: [*a, {x: 3, z: 4}]}\nd: !!set {<<: *a, q}\n",
]


@pytest.mark.parametrize("text", WHAT_SERVERS_READ)
def test_what_a_server_reads_it_reads_again_from_what_is_written(text: str) -> None:
    written = dump(load(text.encode(), "f.yaml").value)
    assert _same(yaml.safe_load(written)) == _same(yaml.safe_load(text))
    assert dump(load(written.encode(), "f.yaml").value) == written


def test_a_set_is_written_in_one_order() -> None:
    text = "!!set {z, a, 10, 9, m}"
    code = "from lls_provider.contract.document import dump, load\n"
    code += f"print(dump(load({text!r}.encode(), 'f.yaml').value))"
    written = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(written) == 1


_KEYS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), _TEXT, st.binary(max_size=20)),
    *(st.dates(), st.datetimes(timezones=st.none() | st.just(datetime.UTC))),
)


class _Pairs(list[Any]):
    """Data that is written as ``!!pairs``."""


_SERVER_DATA = st.recursive(
    _KEYS | _SCALARS,
    lambda children: st.one_of(
        st.lists(children, max_size=4),
        st.dictionaries(_KEYS, children, max_size=4),
        st.sets(_KEYS, max_size=4),
        st.lists(st.tuples(children, children), min_size=1, max_size=3).map(_Pairs),
    ),
    max_leaves=12,
)


class _AnyDumper(yaml.SafeDumper):
    """PyYAML's own writer, which has no way to write pairs."""


def _pairs_node(dumper: yaml.SafeDumper, data: _Pairs) -> yaml.Node:
    entries = [
        yaml.MappingNode(
            "tag:yaml.org,2002:map", [(dumper.represent_data(key), dumper.represent_data(value))]
        )
        for key, value in data
    ]
    return yaml.SequenceNode("tag:yaml.org,2002:pairs", entries)


_AnyDumper.add_representer(_Pairs, _pairs_node)


@pytest.mark.unmeasured
@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(_SERVER_DATA, st.sampled_from([None, True, False]), st.sampled_from([None, '"', "|"]))
def test_whatever_a_server_reads_survives(value: Any, flow: bool | None, style: str | None) -> None:
    text = yaml.dump(
        value, Dumper=_AnyDumper, default_flow_style=flow, default_style=style, sort_keys=False
    )
    try:
        server = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError):
        return  # what PyYAML writes and does not read, such as a quoted "!!timestamp"
    if server is None:
        return  # no configuration at all
    assert _same(yaml.safe_load(dump(load(text.encode(), "f.yaml").value))) == _same(server)


@pytest.mark.parametrize(
    ("text", "one", "other", "line"),
    [
        ("1: a\non: b\n", "1", "on", 2),
        ("true: a\nx: y\n1.0: b\n", "true", "1.0", 3),
        ("0: a\noff: b\n", "0", "off", 2),
        ("31: a\n0x1F: b\n", "31", "0x1F", 2),
        ("a: 1\n!!str a: 2\nyes: 3\nYES: 4\n", "yes", "YES", 4),
        ("~: a\nnull: b\n", "~", "null", 2),
    ],
)
def test_two_keys_that_are_read_as_one_are_told_as_they_are_written(
    text: str, one: str, other: str, line: int
) -> None:
    told = _refusal(text.encode())
    problem = told.problems[-1] if told.problems else told
    assert problem.code is Code.DUPLICATE_KEY
    assert f"'{one}' (line " in problem.what
    assert f"'{other}' (line {line})" in problem.what
    # the advice, followed
    quoted = text.replace(f"{other}: ", f"'{other}': ")
    if not told.problems:
        assert load(quoted.encode(), "f.yaml").value == yaml.safe_load(quoted)


@pytest.mark.parametrize(
    ("merges", "advice", "priority"),
    [
        (["*x", "*y"], "<<: [*y, *x]", "yx"),
        (["*x", "*y", "*z"], "<<: [*z, *y, *x]", "zyx"),
        (["[*x, *y]", "*z"], "<<: [*z, *x, *y]", "zxy"),
        (["*x", "[*y, *z]"], "<<: [*y, *z, *x]", "yzx"),
        (["*x", "*x"], "<<: [*x, *x]", "x"),
        (["*x", "*list"], "<<: [*y, *z, *x]", "yzx"),
    ],
)
def test_the_advice_on_two_merges_keeps_what_a_server_reads(
    merges: list[str], advice: str, priority: str
) -> None:
    sources = {
        "x": {"one": 1, "two": 1, "three": 1, "key": 1},
        "y": {"two": 2, "three": 2, "four": 2},
        "z": {"three": 3, "four": 3, "five": 3},
    }
    head = "".join(f"- &{name} {source}\n" for name, source in sources.items())
    head += "- &list [*y, *z]\n- key: own\n"
    text = head + "".join(f"  <<: {merge}\n" for merge in merges)
    error = _refusal(text.encode())
    problem = error.problems[0] if error.problems else error
    assert problem.code is Code.DUPLICATE_KEY
    assert advice in problem.resolution
    expected: dict[str, Any] = {}
    for name in reversed(priority):
        expected |= sources[name]
    expected |= {"key": "own"}
    assert load(f"{head}  {advice}".encode(), "f.yaml").value[-1] == expected
    if not any("[" in merge or "list" in merge for merge in merges):
        # PyYAML 6.0.4 reads a list of mappings in the other order than all before it
        assert yaml.safe_load(text)[-1] == expected


@pytest.mark.parametrize(
    "text",
    [
        "{<<: {a: 1}, <<: {b: 2}}",  # nothing to name
        "[&x {a: 1}, {<<: *x, <<: {b: 2}}]",
        f"[&{'x' * 300} {{a: 1}}, {{<<: *{'x' * 300}, <<: {{b: 1}}}}]",
    ],
)
def test_merges_without_a_name_are_told_what_to_do(text: str) -> None:
    error = _refusal(text.encode())
    assert error.code is Code.DUPLICATE_KEY
    assert "Keep both in one, the last first: <<: [*" in error.resolution
    assert len(error.resolution) < 300


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("document_bytes", "a: " + "x" * DEFAULT.size, marks=pytest.mark.unmeasured),
        ("document_levels", "[" * 65 + "]" * 65),
        pytest.param("document_values", "[" + "1," * 50_000 + "]", marks=pytest.mark.unmeasured),
        ("document_aliases", "a: &a 1\nb: [" + "*a," * 1_001 + "]"),
        ("document_digits", "a: 1" + "0" * 400),
        ("document_bytes", "a: &a " + "x" * 1100 + "\nb: [" + "*a," * 1_000 + "]"),
    ],
)
def test_a_limit_is_raised_as_its_message_says(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    error = _refusal(text.encode())
    assert error.code is Code.YAML_LIMIT
    (told,) = re.findall(r"set (\w+)=(\w+=\d+)", error.resolution)
    assert told[1].startswith(f"{name}=")
    monkeypatch.setenv(*told)
    read = load(text.encode(), "f.yaml").value
    assert _same(yaml.safe_load(dump(read))) == _same(yaml.safe_load(text))


def test_the_highest_limits_are_read_and_cannot_be_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLS_PROVIDER_LIMITS", "document_levels=200,document_digits=4300")
    for text in ("[" * 200 + "]" * 200, "1" * 4300):
        written = dump(load(text.encode(), "f.yaml").value)
        assert yaml.safe_load(written) == yaml.safe_load(text)
    error = _refusal(b"[" * 201 + b"]" * 201)
    assert error.resolution == "Make it smaller (aliases count for all that they represent)."
    monkeypatch.setenv("LLS_PROVIDER_LIMITS", "document_levels=201")
    assert "200 at most" in _refusal(b"a").what


@pytest.mark.parametrize(
    ("text", "disputed"),
    [
        ("{<<: [*x, *y]}", ["two"]),
        ("{<<: [*y, *x]}", ["two"]),
        ("{<<: [*x, *y, *z]}", ["two", "list"]),
        ("{<<: [*x, *y], two: 3}", []),  # what is beside it wins in every version
        ("{<<: [*x, *x]}", []),
        ("{<<: [*x, {one: 1, list: *list}]}", []),
        ("{<<: *x, two: 1}", []),
        ("[*x, *y]", []),
        ("{a: {b: {<<: [{k: 1}, {k: '1'}]}}}", ["k"]),
        ("!!set {<<: [*x, *y]}", ["two"]),
    ],
)
def test_a_key_of_several_merged_mappings_is_noted(text: str, disputed: list[str]) -> None:
    head = "- &list [1]\n- &x {one: 1, two: 1, list: *list}\n- &y {two: 2, three: 2}\n"
    head += "- &z {one: 1, list: [1]}\n"
    found = load(f"{head}- {text}\n".encode(), "f.yaml").disputed
    assert [key for key, _ in found] == disputed
    assert {where.line for _, where in found} <= {5}


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


@pytest.mark.slow
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


def test_a_merge_of_a_list_takes_mappings_alone() -> None:
    error = _refusal(b"x: &x {a: 1}\ny:\n  <<: [*x, 7]\n")
    assert "'<<' takes a mapping or a list of mappings" in error.render()
