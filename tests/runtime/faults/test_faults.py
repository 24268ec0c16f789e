"""A fault at every single step that changes the volume."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest

ERRORS = {
    errno.ENOSPC: "No space left while ",
    errno.EACCES: "The volume failed while ",
    errno.EROFS: "The volume failed while ",
    errno.EIO: "The volume failed while ",
}
ALL = os.environ.get("LLS_PROVIDER_ALL_FAULTS") == "1"
"""Whether each step gets each error; otherwise each gets one of them in turn."""


def test_the_seam_sees_every_kind_of_step(scenarios: Any, faults: Any, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    for scenario in (scenarios("update"), scenarios("replace")):
        for step in range(scenario.steps()):
            scenario.strike(step, lambda told: (seen / told.partition(" ")[0]).touch())
    kinds = {path.name for path in seen.iterdir()}
    assert kinds == {
        "os.mkdir",
        "open",
        "os.write",
        "os.utime",
        "os.rename",
        "os.remove",
        "os.rmdir",
    }


def test_a_kill_at_any_step_hides_what_is_half_and_the_rerun_is_clean(
    scenario: Any, faults: Any
) -> None:
    for step in range(scenario.steps()):
        root, outcome = scenario.strike(step, faults.kill)
        assert outcome.status == -signal.SIGKILL
        faults.check_visible(root)
        scenario.finish(root)


def test_an_error_at_any_step_is_told_and_the_rerun_is_clean(scenario: Any, faults: Any) -> None:
    before = faults.check_visible(scenario.start)
    for step in range(scenario.steps()):
        numbers = list(ERRORS) if ALL else [list(ERRORS)[step % len(ERRORS)]]
        for number in numbers:
            root, outcome = scenario.strike(step, faults.fail(number))
            told = outcome.stderr.partition("ERROR: ")[2]
            assert outcome.status == 3, outcome.stderr
            assert told.startswith(ERRORS[number]), outcome.stderr
            assert "\n\nResolution: " in told
            assert "Traceback" not in outcome.stderr
            shown = faults.check_visible(root)
            if "recording the provider" not in outcome.stderr and "dropped" not in outcome.stderr:
                assert shown == before  # nothing that was there is lost
            assert not list((root / "external-providers").glob(".s*")), outcome.stderr
            scenario.finish(root)


@pytest.mark.parametrize("name", ["update", "restore"])
def test_what_was_there_goes_only_when_all_of_the_new_is_written(
    scenarios: Any, faults: Any, name: str
) -> None:
    """The first steps that can hide a provider come after the last byte of the new one."""
    scenario = scenarios(name)
    before = faults.check_visible(scenario.start)
    steps = scenario.steps()
    lost = []
    written = []
    for step in range(steps):
        root, outcome = scenario.strike(step, faults.fail(errno.EIO))
        if faults.check_visible(root) != before:
            lost.append(step)
        if "os.write" in outcome.stderr:
            written.append(step)
    assert written
    assert lost
    assert max(written) < min(lost)
