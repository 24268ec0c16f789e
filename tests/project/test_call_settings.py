"""The sample calls of a project: one table, an array of tables, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lls_provider.errors import Code, Problem, SdkError
from lls_provider.project.sample_call import SampleCall
from lls_provider.project.settings import read_settings

ONE = '[tool.lls-provider.up.call]\npath = "/v1/models"\n'
TWO = """\
[[tool.lls-provider.up.call]]
path = "/v1/files"
form = { purpose = "batch" }

[[tool.lls-provider.up.call]]
path = "/v1/batches/${replies.1.id}"
expect-text = "completed"
within = 30
"""


def write(project: Path, calls: str) -> None:
    file = project / "pyproject.toml"
    head = re.split(r"^\[+tool\.lls-provider\.up\.call\]", file.read_text(), flags=re.MULTILINE)[0]
    file.write_text(head + calls)


def read(project: Path, calls: str) -> tuple[SampleCall, ...]:
    write(project, calls)
    return read_settings(project).up.calls


def refused(project: Path, calls: str) -> SdkError:
    with pytest.raises(SdkError) as caught:
        read(project, calls)
    assert caught.value.code is Code.SETTINGS_INVALID
    return caught.value


def place(project: Path, error: SdkError | Problem) -> str:
    """What is at the position of an error."""
    assert error.where.line is not None
    assert error.where.column is not None
    line = (project / "pyproject.toml").read_text().splitlines()[error.where.line - 1]
    return line[error.where.column - 1 :]


def test_several_calls_are_read_in_their_order(project: Path) -> None:
    assert read(project, TWO) == (
        SampleCall("POST", "/v1/files", form={"purpose": "batch"}),
        SampleCall("GET", "/v1/batches/${replies.1.id}", expect_text="completed", within=30.0),
    )


def test_a_single_table_is_one_call(project: Path) -> None:
    assert read(project, ONE + "within = 0.5") == (SampleCall("GET", "/v1/models", within=0.5),)


def test_a_list_of_inline_tables_is_the_same(project: Path) -> None:
    inline = 'call = [{ path = "/a" }, { path = "/b", body = { x = "${replies.1.id}" } }]'
    write(project, "")
    file = project / "pyproject.toml"
    up = "[tool.lls-provider.up]\n"
    file.write_text(file.read_text().replace(up, f"{up}{inline}\n"))
    first, second = read_settings(project).up.calls

    assert (first.path, second.body) == ("/a", {"x": "${replies.1.id}"})
    assert place_of(project, second) == '"${replies.1.id}" } }]'


def place_of(project: Path, call: SampleCall) -> str:
    (where,) = (place for steps, place in call.places.items() if steps)
    assert where.line is not None
    assert where.column is not None
    return (project / "pyproject.toml").read_text().splitlines()[where.line - 1][where.column - 1 :]


def test_every_reply_field_has_its_position(project: Path) -> None:
    *_, call = read(
        project,
        TWO
        + """
[[tool.lls-provider.up.call]]
path = "/v1/x"

[tool.lls-provider.up.call.body]
same = "text"

[[tool.lls-provider.up.call.body.chunks]]
numbers = ["${replies.2.id}"]
""",
    )

    assert list(call.places) == [(), ("body", "chunks", 0, "numbers", 0)]
    assert place_of(project, call) == '"${replies.2.id}"]'


def test_no_call_is_none(project: Path) -> None:
    assert read(project, "") == ()


def test_what_is_no_table_is_told(project: Path) -> None:
    write(project, "")
    file = project / "pyproject.toml"
    up = "[tool.lls-provider.up]\n"
    file.write_text(file.read_text().replace(up, f'{up}call = [{{ path = "/a" }}, "/b"]\n'))
    with pytest.raises(SdkError) as caught:
        read_settings(project)

    assert caught.value.what == (
        "call in [tool.lls-provider.up] must be a list of tables, not '/b'"
    )
    assert caught.value.resolution == "Write [[tool.lls-provider.up.call]] for each."
    assert place(project, caught.value) == '"/b"]'


@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan", "true", '"30"', "[30]"])
def test_within_is_a_number_of_seconds(project: Path, value: str) -> None:
    error = refused(project, f"{ONE}within = {value}")
    (problem, *_) = error.problems or [error]

    assert "within in [tool.lls-provider.up.call] is " in problem.what
    if value not in ("inf", "nan"):  # no JSON has these: that is told as well
        assert error.resolution == "Write a number of seconds, such as within = 30."
    read(project, f"{ONE}within = 30")


@pytest.mark.parametrize(
    ("field", "better"),
    [
        ("${replies.3.id}", "${replies.2.id}"),
        ("${replies.9.a.b}", "${replies.2.a.b}"),
        ("${replies.0.id}", "${replies.2.id}"),
        ("${replies.-1.id}", "${replies.2.id}"),
        ("${replies.first.id}", "${replies.2.id}"),
        ("${replies.1}", "${replies.2.id}"),
        ("${replies.1.}", "${replies.2.id}"),
        ("${replies.1..id}", "${replies.2.id}"),
        ("${replies.}", "${replies.2.id}"),
    ],
)
def test_a_reply_field_is_of_an_earlier_call(project: Path, field: str, better: str) -> None:
    third = '{TWO}[[tool.lls-provider.up.call]]\npath = "/c"\nbody = {{ x = "a {field}" }}\n'
    error = refused(project, third.format(TWO=TWO, field=field))

    assert error.what == f"{field} is not a field of the reply to an earlier call"
    assert error.resolution == (
        f"Write a number from 1 to 2 and the names of fields, such as {better}."
    )
    assert place(project, error) == f'"a {field}" }}'
    assert read(project, third.format(TWO=TWO, field=better))[2].body == {"x": f"a {better}"}


@pytest.mark.parametrize("key", ["path", "form"])
def test_the_first_call_has_no_earlier_one(project: Path, key: str) -> None:
    value = '"/x/${replies.1.id}"' if key == "path" else '{ a = "${replies.1.id}" }'
    path = "" if key == "path" else 'path = "/x"\n'
    error = refused(project, f"[[tool.lls-provider.up.call]]\n{path}{key} = {value}\n")

    assert error.resolution == "Remove it: no call comes before the first."


def test_every_mistake_is_told_with_its_line(project: Path) -> None:
    error = refused(project, TWO.replace('form = { purpose = "batch" }', "form = 1\nwhitin = 3"))

    assert [(it.path, place(project, it)) for it in error.problems] == [
        ("tool.lls-provider.up.call.0.form", "1"),
        ("tool.lls-provider.up.call.0.whitin", "whitin = 3"),
    ]
    assert error.problems[1].resolution == "Rename it to 'within'."
