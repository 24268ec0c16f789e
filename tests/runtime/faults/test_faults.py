"""A fault at every single step that changes the volume."""

from __future__ import annotations

import signal
from typing import Any


def test_a_kill_at_any_step_hides_what_is_half_and_the_rerun_is_clean(
    scenario: Any, faults: Any
) -> None:
    steps = scenario.steps()
    assert steps > 15
    for step in range(steps):
        root, outcome = scenario.strike(step, faults.kill)
        assert outcome.status == -signal.SIGKILL
        faults.check_visible(root)
        scenario.finish(root)
