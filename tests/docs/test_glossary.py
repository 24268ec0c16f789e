"""The glossary and the guide for contributors name modules that exist and are about the term."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SDK = ROOT / "sdk" / "lls_provider"
MODULE = re.compile(r"`([a-z_/]+\.py)`")


def _rows(page: str) -> list[tuple[str, list[str]]]:
    """The first column of every table row, with the modules that the row names."""
    text = (ROOT / page).read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    return [(line.split("|")[1].strip(), MODULE.findall(line)) for line in lines]


ABBREVIATION = re.compile(r"\bCRs?\b")
GENERATED = {"commands.md", "python-signatures.md", "schemas.md"}
PAGES = sorted(
    it
    for it in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if it.name not in GENERATED and ABBREVIATION.search(re.sub(r"`[^`\n]*`", "", it.read_text()))
)

TERMS = [(term, modules) for term, modules in _rows("docs/glossary.md") if modules]
QUESTIONS = [(text, found) for text, found in _rows("CONTRIBUTING.md") if text.endswith("?")]


@pytest.mark.parametrize(("term", "modules"), TERMS, ids=lambda it: str(it))
def test_a_module_of_the_glossary_uses_the_term(term: str, modules: list[str]) -> None:
    for module in modules:
        text = (SDK / module).read_text("utf-8").lower()
        words = [word.strip(" `").lower().split() for word in term.split(",")]
        used = any(all(part in text for part in word) for word in words)
        assert used, f"{module} does not speak of {term}"


def test_ten_questions_lead_to_a_module() -> None:
    assert len(QUESTIONS) == 10
    for question, modules in QUESTIONS:
        assert modules, question
        assert all((SDK / module).is_file() for module in modules), question


def test_a_term_has_one_entry() -> None:
    terms = [term for term, _ in _rows("docs/glossary.md") if term != "term"]
    assert len(terms) > 40
    assert sorted(set(terms)) == sorted(terms)


@pytest.mark.parametrize("path", PAGES, ids=lambda it: it.name)
def test_a_page_says_what_a_cr_is_where_it_first_speaks_of_one(path: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", path.read_text("utf-8"))
    first = ABBREVIATION.search(text)
    assert first is not None
    before = text[max(0, first.start() - 60) : first.start()]
    assert re.search(r"custom resource(\]\([^)]*\))?(, | \()$", before), before
