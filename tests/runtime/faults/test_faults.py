"""A fault at every single step that changes the volume."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.faults import seam

pytestmark = pytest.mark.slow

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

    for name in ("replace", "update"):
        _, outcome = scenarios(name).strike(seam.EVERY, seam.Note(seen))
        assert outcome.status == 0
        assert outcome.steps > 100
    names = {f"os.{name}" for name in ("mkdir", "write", "utime", "rename", "remove", "rmdir")}
    assert {path.name for path in seen.iterdir()} == names | {"open"}


def test_a_kill_at_any_step_hides_what_is_half_and_the_rerun_is_clean(
    scenario: Any, faults: Any
) -> None:
    for step in range(scenario.steps()):
        root, outcome = scenario.strike(step, seam.kill)
        assert outcome.status == -signal.SIGKILL
        faults.check_visible(root)
        scenario.finish(root)


@pytest.mark.parametrize(
    "name",
    ["first", "replace", "update", "restore", "arguments", "half-finished", "workers"]
    if ALL
    else ["replace", "update", "arguments", "workers"],
)
def test_an_error_at_any_step_is_told_and_the_rerun_is_clean(
    scenarios: Any, faults: Any, name: str
) -> None:
    """What was there is lost only after the last byte of the new is written."""
    scenario = scenarios(name)
    before = faults.check_visible(scenario.start)
    written, lost = 0, scenario.steps()
    for step in range(lost):
        for number in ERRORS if ALL else [list(ERRORS)[step % len(ERRORS)]]:
            root, outcome = scenario.strike(step, seam.Fail(number))
            told = outcome.stderr.partition("ERROR: ")[2]
            assert outcome.status == 3, outcome.stderr
            assert told.startswith(ERRORS[number]), outcome.stderr
            assert "\n\nResolution: " in told
            assert "Traceback" not in outcome.stderr
            if not before <= faults.check_visible(root):
                lost = min(lost, step)
            if "File: os.write" in told:
                written = step
            assert not list((root / "external-providers").glob(".s*")), outcome.stderr
            scenario.finish(root)
    assert written < lost


@pytest.mark.parametrize(
    ("name", "number", "status"),
    [
        ("replace", signal.SIGTERM, 143),
        ("arguments", signal.SIGINT, 130),
        ("workers", signal.SIGTERM, 143),
    ],
)
def test_a_signal_at_any_step_ends_it_with_its_status_and_nothing_half(
    scenarios: Any, faults: Any, name: str, number: signal.Signals, status: int
) -> None:
    scenario = scenarios(name)
    for step in range(scenario.steps()):
        # it returns when no process has the other end of stderr any more
        root, outcome = scenario.strike(step, seam.Stop(number))
        assert outcome.status == status, outcome.stderr
        assert "Traceback" not in outcome.stderr
        faults.check_visible(root)
        assert not list((root / "external-providers").glob(".s*")), outcome.stderr
        if step % 5 == 0:
            scenario.finish(root)
