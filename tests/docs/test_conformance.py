"""CONFORMANCE.md has every requirement and the vectors that check it; the results are current.

``python tests/docs/test_conformance.py`` writes its tables again.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from lls_provider.conformance.cases import Expectation
from lls_provider.conformance.derived_cases import all_cases
from lls_provider.conformance.vectors import (
    ROLES,
    contract_path,
    contract_version,
    requirements,
    vector_files,
)

PAGE = contract_path("CONFORMANCE.md")
RESULTS = Path(__file__).parents[2] / "docs" / "conformance.md"
START, END = "<!-- requirements -->\n", "<!-- /requirements -->\n"
TABLE = "| | requirement | contract | vectors |\n|---|---|---|---|\n"
HEADINGS = {
    "checker": ("Images", "What a provider image must be, and a checker of images must find."),
    "installer": ("Installers", "Phase 1: from an image to the volume."),
    "merger": ("Mergers", "Phase 3: from metadata and a base to the server's configuration."),
    "preflight": ("Preflights", "Phase 4: in the server's Python, before the server."),
    "operator": ("Operators", "From the custom resource to the Pod."),
}  # fmt: skip


def tables() -> str:
    cases = all_cases()
    text = ""
    for role, (heading, about) in HEADINGS.items():
        text += f"\n## {heading}\n\n{about}\n\n{TABLE}"
        for it in requirements().values():
            if it.role == role:
                files = Counter(case.file for case in cases if case.requirement == it.id)
                vectors = ", ".join(f"`{file}` ({count})" for file, count in files.items())
                section = f"section {it.section}" if it.section.isdigit() else it.section
                text += f"| {it.level.upper()} | `{it.id}`: {it.text} | {section} | {vectors} |\n"
    return text + "\n"


def test_the_page_has_every_requirement_and_its_vectors() -> None:
    text = PAGE.read_text("utf-8")
    assert text.partition(START)[2].partition(END)[0] == tables(), (
        "write it again: python tests/docs/test_conformance.py"
    )


def test_every_requirement_is_checked_and_every_case_checks_one() -> None:
    cases = all_cases()
    assert {case.requirement for case in cases} == set(requirements())
    assert all(requirements()[case.requirement].role == case.role for case in cases)
    assert {it.role for it in requirements().values()} == set(ROLES) == set(HEADINGS)
    assert {it.level for it in requirements().values()} == {"must", "should"}


def test_the_cases_have_names_of_their_own() -> None:
    counts = Counter(case.id for case in all_cases())
    assert [name for name, count in counts.items() if count > 1] == []


def test_every_key_of_the_vectors_is_explained() -> None:
    explained = set(re.findall(r"`(\w+)`", PAGE.read_text("utf-8").partition("`expect` may")[2]))
    assert set(Expectation.__dataclass_fields__) <= explained


def test_the_version_has_an_entry_in_the_changelog() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", contract_version())
    headings = re.findall(r"^## (.+)$", contract_path("CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == contract_version()


@pytest.mark.parametrize("role", ROLES)
def test_the_recorded_results_are_of_these_vectors(role: str) -> None:
    text = RESULTS.read_text("utf-8")
    assert f"contract {contract_version()}" in text
    # our operator reads provider files, not custom resources
    cases = [case for case in all_cases([role]) if "cr" not in case.needs]
    for name, counts in _recorded(text):
        if name in requirements() and requirements()[name].role == role:
            total = sum(case.requirement == name for case in cases)
            assert {int(it.partition("/")[2]) for it in counts if it != "-"} <= {total}, name
    recorded = {name for name, _ in _recorded(text)}
    assert {case.requirement for case in cases} <= recorded


def _recorded(text: str) -> list[tuple[str, list[str]]]:
    rows = re.findall(r"^\| `([a-z-]+)` \| [A-Z]+ \| (.+) \|$", text, re.MULTILINE)
    return [(name, cells.split(" | ")) for name, cells in rows]


def test_every_folder_of_vectors_belongs_to_a_role() -> None:
    folders = {path.name for path in contract_path("vectors").iterdir() if path.is_dir()}
    assert folders == {*ROLES, "conflicts"}
    assert all(list(vector_files(folder)) for folder in folders)


if __name__ == "__main__":
    before, _, rest = PAGE.read_text("utf-8").partition(START)
    PAGE.write_text(before + START + tables() + END + rest.partition(END)[2], "utf-8")
