"""The style and the spelling of every page, by proselint, codespell and the house's own rules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.prose import complaints, prose

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    it.relative_to(ROOT).as_posix()
    for folder, pattern in (
        (ROOT, "*.md"),
        (ROOT / "docs", "**/*.md"),
        (ROOT / "contract", "**/*.md"),
    )
    for it in folder.glob(pattern)
)
MANY = " ".join(f"w{number}" for number in range(40))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_plain(page: str) -> None:
    assert complaints(page, (ROOT / page).read_text("utf-8")) == []


def test_no_word_is_misspelt() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "codespell_lib", *PAGES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("sentence", "check", "line"),
    [
        (f"It is so. {MANY}.", "house.length", 3),
        ("The outlook is read first.", "house.private", 3),
        ("Run it in order to build.", "house.plain", 3),
        ("You simply run it.", "house.empty", 3),
        ("It should be noted that it runs.", "house.passive", 3),
        ("Then we run it.", "house.person", 3),
        ("It is very fast.", "weasel_words.very", 3),
        ("It was the the last.", "lexical_illusions", 3),
    ],
)
def test_what_is_not_plain_is_found_with_its_line(sentence: str, check: str, line: int) -> None:
    text = f"# A page\n\n{sentence}\n\n```text\nWe simply leverage the outlook.\n```\n"
    (found,) = complaints("docs/how-to/page.md", text)
    assert found.startswith(f"docs/how-to/page.md:{line}: ")
    assert found.endswith(f"({check})")


def test_a_page_to_look_things_up_in_may_have_longer_sentences() -> None:
    sentence = f"{MANY}.\n"
    assert complaints("docs/reference/page.md", sentence) == []
    assert len(complaints("docs/how-to/page.md", sentence)) == 1


def test_a_misspelt_word_is_found(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("It is seperate.\n")
    command = [sys.executable, "-m", "codespell_lib", str(tmp_path / "page.md")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "seperate ==> separate" in done.stdout


def test_code_is_no_prose_and_lines_stay() -> None:
    text = "a `b\nc` [d](https://e.org/we)\n<!-- we\nare -->\n    we\nf\n"
    shown = prose(text)
    assert shown.count("\n") == text.count("\n")
    assert "we" not in shown
    assert shown.endswith("\nf\n")
