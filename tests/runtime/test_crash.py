"""SIGKILL at random moments; `tests/runtime/faults` has those at every step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "crash.py"


def test_thirty_installations_killed_at_random_moments_end_clean(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, SCRIPT, "--runs", "30", "--seed", "30"],
        capture_output=True,
        text=True,
        check=False,
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "30 runs of seed 30: each volume equals a clean run's" in result.stdout
    assert "killed while staging" in result.stdout
