from __future__ import annotations

import pytest
from packaging.requirements import InvalidRequirement
from packaging.specifiers import InvalidSpecifier
from packaging.version import InvalidVersion

from lls_provider.runtime.wheelfile.wheel import parse_requirement, parse_specifier, parse_version


def test_ordinary_texts_are_read() -> None:
    assert str(parse_requirement("a[b]>=1; extra == 'c'")) == 'a[b]>=1; extra == "c"'
    assert str(parse_specifier(">=3.8,<4")) == "<4,>=3.8"
    assert str(parse_version("1.0rc1")) == "1.0rc1"


def test_long_markers_of_many_extras_are_read() -> None:
    extras = " or ".join(f"(extra == 'extra-{number}')" for number in range(500))
    assert parse_requirement(f"a; {extras}").marker is not None


@pytest.mark.parametrize("text", ["1" * 1_000, "1." * 20_000 + "1"])
def test_what_python_cannot_read_is_refused_as_what_it_is(text: str) -> None:
    with pytest.raises(InvalidVersion):
        parse_version(text)
    with pytest.raises(InvalidSpecifier):
        parse_specifier(f">={text}")
    with pytest.raises(InvalidRequirement):
        parse_requirement(f"a>={text}")


def test_nesting_ends_where_it_is_said_to() -> None:
    for depth, good in ((50, True), (51, False)):
        text = "a; " + "(" * depth + "extra == 'b'" + ")" * depth
        if good:
            assert parse_requirement(text).marker is not None
        else:
            with pytest.raises(InvalidRequirement, match="50 levels"):
                parse_requirement(text)
