"""Each code has a section with an example, and the example is what happens."""

from __future__ import annotations

import pytest
from tests.docs.error_examples import EXAMPLES, INTRODUCTION, PAGE, happened, section, told

from lls_provider.errors import Code

pytestmark = pytest.mark.slow

AGAIN = "write the page again: python -m tests.docs.error_examples"


def test_every_code_has_an_example() -> None:
    assert set(EXAMPLES) == set(Code), "add it to a module tests/docs/examples_*.py"


@pytest.mark.parametrize("code", Code)
def test_the_example_of_a_code_is_what_happens(code: Code) -> None:
    found = happened(code)
    assert found.code is code
    assert "Resolution: " in found.text
    status, cause, fix = told()[code.slug]
    assert section(code, status, cause, fix, found.text) in PAGE.read_text("utf-8"), AGAIN


def test_the_page_has_the_codes_in_their_order() -> None:
    text = PAGE.read_text("utf-8")
    assert text.startswith(INTRODUCTION), AGAIN
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert headings == [code.slug for code in Code], AGAIN
