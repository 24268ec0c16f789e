"""How commands look in a real terminal of 60, 80 and 120 columns.

``python -m tests.cli.test_terminal`` makes the golden files in tests/cli/golden again.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.engines.terminal import terminal

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
WIDTHS = (60, 80, 120)
MINE = [sys.executable, "-m", "lls_provider.cli"]
PODS = "tests/deploy/pods"

# what a download shows after 7 seconds; the clock stands still, so that the picture does
PROGRESS = """
import os, sys
from lls_provider.cli.console import Terminal
from lls_provider.cli.output import prepare_streams
prepare_streams(os.environ)
now = [0.0]
console = Terminal(clock=lambda: now[0])
console.interval = 0.01
console.step("resolving 3 requirements against llama-stack==0.7.3 for linux/amd64 and linux/arm64")
console.note("torch 2.6.0 is provided by the distribution")
console.step("fetching 92 packages (310.4 MB)")
console.warn("sentencepiece has no wheel for linux/arm64")
with console.task("fetching", 310_400_000) as fetched:
    with console.task("pulling sha256:0123456789ab", 0) as pulled:
        fetched(81_250_000); pulled(1_200_000); now[0] = 7.0
        sys.stdin.read()
"""

SCENES: dict[str, list[str]] = {
    "help": [*MINE, "--help"],
    "help-cache": [*MINE, "cache", "--help"],
    "misspelt": [*MINE, "biuld"],
    "error": [*MINE, "check", "acme-echo", "--format", "jsn"],
    "check": [*MINE, "check", "samples/echo-inference/pyproject.toml"],
    "diagnose": [*MINE, "diagnose", f"{PODS}/failed-conflict.json"],
    "diagnose-ready": [*MINE, "diagnose", f"{PODS}/ready.json"],
    "progress": [sys.executable, "-c", PROGRESS],
    "progress-ascii": [sys.executable, "-c", PROGRESS],
    "help-ascii": [*MINE, "build", "--help"],
}
UNBROKEN = {"help", "help-cache", "misspelt", "error", "progress", "progress-ascii"}
"""Scenes without a word that is longer than a line."""
VARIABLES = {"progress-ascii": {"LC_ALL": "C"}, "help-ascii": {"LC_ALL": "C"}}


def seen(tmux: str, scene: str, width: int) -> tuple[str, str]:
    """What the terminal shows when the scene is over, or stands still.

    And the same with the lines whole that the terminal broke.
    """

    def is_over(shown: str) -> bool:
        if scene.startswith("progress"):
            return "1.2 MB" in shown and ", 7 s" in shown
        return "[exit " in shown

    variables = VARIABLES.get(scene)
    with terminal(tmux, SCENES[scene], width=width, cwd=ROOT, variables=variables) as screen:
        return screen.until(is_over), screen.text(joined=True)


@pytest.mark.engine
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scene", SCENES)
def test_a_terminal_shows_what_it_showed(
    engine: Callable[[str], str], scene: str, width: int
) -> None:
    shown, whole = seen(engine("tmux"), scene, width)
    if scene in UNBROKEN:
        assert shown == whole, "the terminal had to break a line"
    golden = (GOLDEN / f"{scene}-{width}.txt").read_text("utf-8")
    if scene.startswith("help"):  # where help breaks its lines differs between versions of click
        shown, golden = " ".join(shown.split()), " ".join(golden.split())
    assert shown == golden, "if this is meant: python -m tests.cli.test_terminal"


def test_a_terminal_that_knows_only_ascii_is_shown_nothing_else() -> None:
    for scene in VARIABLES:
        for width in WIDTHS:
            assert (GOLDEN / f"{scene}-{width}.txt").read_text("utf-8").isascii()


def main() -> None:
    tmux = shutil.which("tmux")
    assert tmux is not None, "tmux is missing: tests/engines/install"
    GOLDEN.mkdir(exist_ok=True)
    for scene in SCENES:
        for width in WIDTHS:
            text, _ = seen(tmux, scene, width)
            (GOLDEN / f"{scene}-{width}.txt").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
