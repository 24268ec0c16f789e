"""The page about the acceptance scenarios lists the tests that there are, and all passed."""

from __future__ import annotations

import re

from tests.pods.acceptance import PAGE, SCENARIOS, marked_tests, page

ROW = re.compile(
    r"^\| \d+\. .+ \| \[`(?P<test>\w+)`\]\(\S+\) \| (?P<result>[^|]+) \|$", re.MULTILINE
)


def test_every_scenario_has_a_test() -> None:
    assert sorted(marked_tests()) == list(range(1, len(SCENARIOS) + 1))
    assert len(SCENARIOS) == 15


def test_the_page_is_what_the_last_run_wrote() -> None:
    text = PAGE.read_text("utf-8")
    results = {found["test"]: found["result"] for found in ROW.finditer(text)}
    assert set(results.values()) == {"passed"}
    assert text == page(results), "run them again: python -m tests.pods.acceptance"
