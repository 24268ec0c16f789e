"""A short run of the fuzzer, and properties of what strangers' bytes are read with."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import InvalidRequirement
from tests.fuzz.run import execute, seeds
from tests.fuzz.targets import TARGETS

from lls_provider.contract import plain_data
from lls_provider.contract.document import dump, load
from lls_provider.contract.limits import DEFAULT
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.wheelfile.archive import name_problem
from lls_provider.runtime.wheelfile.contents import Headers, parse_entry_points
from lls_provider.runtime.wheelfile.record import parse_record
from lls_provider.runtime.wheelfile.wheel import parse_requirement

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

EXECUTIONS = 3_000
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
SETTINGS = settings(max_examples=150, deadline=None)


def test_nothing_but_our_error_comes_out(tmp_path: Path) -> None:
    starts = seeds()
    done = {execute(number, 7, starts, tmp_path) for number in range(EXECUTIONS)}
    assert done == set(TARGETS)


def test_an_execution_is_the_same_each_time(tmp_path: Path) -> None:
    starts = seeds()
    first = execute(11, 7, starts, tmp_path)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert execute(11, 7, starts, tmp_path) == first
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == written


@SETTINGS
@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_yaml_or_refused(data: bytes) -> None:
    try:
        dump(load(data, "any.yaml").value)
    except SdkError as error:
        assert error.code in {Code.YAML_INVALID, Code.YAML_LIMIT, Code.DUPLICATE_KEY}
        assert error.where.file == "any.yaml"


@SETTINGS
@given(PLAIN)
def test_json_reads_as_json_has_it(value: object) -> None:
    for is_ascii in (True, False):
        data = json.dumps(value, ensure_ascii=is_ascii).encode()
        assert plain_data.parse_json(data, DEFAULT) == json.loads(data)


@SETTINGS
@given(
    st.text() | st.lists(st.sampled_from(["..", ".", "", "a", "C:", "\\", "\0", "ä"])).map("/".join)
)
def test_a_name_without_a_problem_stays_in_its_folder(name: str) -> None:
    if name_problem(name) is None:
        assert os.path.normpath(f"/base/{name}") == f"/base/{name}"
        assert b"\0" not in name.encode()


@SETTINGS
@given(st.binary() | st.text(alphabet="Name: \r\n\tx\u2028\x85").map(str.encode))
def test_headers_are_read_or_refused(data: bytes) -> None:
    try:
        Headers(data).all("Name")
    except ValueError as error:
        assert str(error)


@SETTINGS
@given(st.binary() | st.text(alphabet="[console_scripts]\n=:.; ").map(str.encode))
def test_entry_points_are_read_or_refused(data: bytes) -> None:
    try:
        names = [command.name for command in parse_entry_points(b"[console_scripts]\n" + data)]
    except ValueError:
        return
    assert all("/" not in name and name_problem(name) is None for name in names)


@SETTINGS
@given(st.binary() | st.text(alphabet='a/.,"\n=shA256').map(str.encode))
def test_a_record_is_read_or_refused(data: bytes) -> None:
    try:
        names = parse_record(data, "x-1.0.dist-info", "x.whl")
    except SdkError as error:
        assert error.code.slug.startswith("wheel-")
        return
    assert all(name_problem(name) is None for name in names)


@SETTINGS
@given(st.text() | st.text(alphabet="a[](),;<>=!~'\" 1.*@extraandor"))
def test_a_requirement_is_read_or_refused(text: str) -> None:
    try:
        found = parse_requirement(text)
    except InvalidRequirement:
        return
    str(found)
    if found.marker is not None:
        found.marker.evaluate({"extra": ""})


@pytest.mark.parametrize(
    "text",
    [
        "a; " + "(" * 5_000 + "extra == 'a'" + ")" * 5_000,
        "a>=" + "9" * 5_000,
        "a" * 100_000,
        "a[" + "b," * 50_000 + "b]",
    ],
)
def test_a_requirement_without_end_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequirement):
        parse_requirement(text)
