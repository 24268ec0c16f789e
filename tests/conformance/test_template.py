"""A command line with placeholders: split once, filled within its words, refused when wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lls_provider.conformance.template import PLACEHOLDERS, parse_template
from lls_provider.conformance.vectors import ROLES
from lls_provider.errors import Code, SdkError


def test_a_value_stays_within_its_word() -> None:
    template = parse_template("installer", "sh -c 'echo \"$1\"' x --root={root} {source}")
    values = {"root": "/a b; rm -rf /", "source": "$(id) 'quoted' {root}"}
    assert template.fill(values) == [
        "sh", "-c", 'echo "$1"', "x", "--root=/a b; rm -rf /", "$(id) 'quoted' {root}",
    ]  # fmt: skip
    assert template.placeholders == {"root", "source"}
    assert str(template) == "sh -c 'echo \"$1\"' x --root={root} {source}"


def test_every_role_has_placeholders() -> None:
    assert list(PLACEHOLDERS) == list(ROLES)


@pytest.mark.parametrize(
    ("role", "text", "cause"),
    [
        ("installer", "sh {source}", "It does not name {root}."),
        ("installer", "sh", "It does not name {root}, {source}."),
        ("merger", "sh {root} {volume}", "There is no placeholder {volume} for it."),
        ("merger", "sh '{root}", "It cannot be split into words: No closing quotation."),
        ("checker", "  ", "It is empty."),
        ("operator", "sh", "It does not name {cr} or {provider_file}."),
    ],
)
def test_a_wrong_command_line_is_refused_with_its_placeholders(
    role: str, text: str, cause: str
) -> None:
    with pytest.raises(SdkError) as caught:
        parse_template(role, text)
    assert caught.value.code is Code.USAGE
    assert caught.value.why.startswith(cause)
    assert all(f"{{{name}}}" in caught.value.why for name in PLACEHOLDERS[role])
    assert f"--{role}" in caught.value.resolution


def test_an_operator_needs_one_of_its_documents() -> None:
    assert parse_template("operator", "sh {cr}").placeholders == {"cr"}
    assert parse_template("operator", "sh {provider_file}").placeholders == {"provider_file"}


def test_a_program_that_cannot_be_run_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SdkError, match="no-such-program") as caught:
        parse_template("merger", "no-such-program {root}")
    assert caught.value.code is Code.TOOL_MISSING
    assert "in a directory of PATH" in caught.value.why
    script = tmp_path / "mine"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(SdkError, match=r"\./mine"):
        parse_template("merger", "./mine {root}")
    script.chmod(0o755)  # the first way of the resolution
    assert parse_template("merger", "./mine {root}").words == ("./mine", "{root}")
    script.chmod(0o644)  # and the second
    assert parse_template("merger", "sh ./mine {root}").words[0] == "sh"


def test_a_program_may_be_a_placeholder() -> None:
    assert parse_template("merger", "{root}/run").fill({"root": sys.prefix})[0].endswith("/run")
