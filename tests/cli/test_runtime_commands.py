"""install, merge and preflight are the runtime's: the same words, the same statuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["install", "--help"],
        ["merge", "-h"],
        ["preflight"],
        ["preflight", "--run-yaml", "nowhere.yaml"],
        ["merge", "--root", "nowhere"],
        ["install", "--provider-id", "x"],
        ["merge", "--no-such-option"],
        ["merge", "--", "extra"],
    ],
    ids=" ".join,
)
def test_it_does_what_the_runtime_does(cli: Cli, tmp_path: Path, words: Sequence[str]) -> None:
    ours = cli(*words, cwd=tmp_path)
    theirs = subprocess.run(
        [sys.executable, "-m", "lls_provider.runtime", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ours.returncode == theirs.returncode
    named = [text.replace("lls-provider.pyz", "lls-provider") for text in _texts(theirs)]
    # the program's name is shorter, so argparse may break lines elsewhere
    assert [text.replace("lls-provider.pyz", "lls-provider").split() for text in _texts(ours)] == [
        text.split() for text in named
    ]


def _texts(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [done.stdout, done.stderr]
