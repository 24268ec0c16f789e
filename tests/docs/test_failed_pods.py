"""The pages about failed Pods show what diagnose prints of the recorded Pods, and what it knows.

``python -m tests.docs.test_failed_pods``, from the root of a checkout, writes both again.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from tests.deploy.recordings import PODS

from lls_provider.cli.diagnose import command
from lls_provider.deploy import pod_reasons

if TYPE_CHECKING:
    from lls_provider.deploy.pod_reasons import Meaning

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "how-to" / "read-a-failed-pod.md"
REFERENCE = ROOT / "docs" / "reference" / "pod-states.md"
BLOCK = re.compile(r"<!-- (?P<line>[^\n]+) -->\n```(?P<kind>\w+)\n(?P<text>.*?)```\n", re.DOTALL)

COMMAND = re.compile(r"^\$ (.+)$", re.MULTILINE)

INTRODUCTION = """\
# Pod states

What [`lls-provider diagnose`](../how-to/read-a-failed-pod.md) understands of a Pod, with the page
of Kubernetes' documentation about it. A word that is not here is shown as the Pod has it. In a
text, `{braces}` stand for what the Pod says.

"""
WAITING = """\
The reason in `state.waiting` of a container. CrashLoopBackOff is explained by the run before it,
when that is known.
"""
EXITED = """\
`exitCode` in `state.terminated`, where the container left no message of ours; 1, 2 and 3 are
[exit statuses](errors.md) of the runtime.
"""
SECTIONS = {
    "Waiting": WAITING,
    "Ended, by reason": "The reason in `state.terminated` of a container.\n",
    "Ended, by exit status": EXITED,
    "The whole Pod": "The reason in the Pod's status.\n",
    "Conditions": "A condition of the Pod: its type, status and reason.\n",
}


def output(line: str) -> str:
    """What diagnose prints of a recording; options may follow its name."""
    name, *options = shlex.split(line)
    done = CliRunner().invoke(
        command, [str(PODS / f"{name}.json"), *options], standalone_mode=False
    )
    assert done.exception is None
    return done.stdout


def shown() -> str:
    """The how-to with each block as diagnose prints it."""

    def block(found: re.Match[str]) -> str:
        return f"<!-- {found['line']} -->\n```{found['kind']}\n{output(found['line'])}```\n"

    return BLOCK.sub(block, HOW_TO.read_text("utf-8"))


def tables() -> Iterator[list[tuple[str, Meaning]]]:
    yield [(f"`{name}`", it) for name, it in pod_reasons.WAITING.items()]
    yield [(f"`{name}`", it) for name, it in pod_reasons.ENDED.items()]
    yield [(f"`{status}`", it) for status, it in pod_reasons.EXITED.items()]
    yield [(f"`{name}`", it) for name, it in pod_reasons.POD_REASONS.items()]
    yield [(f"`{a}` is {b}: `{c}`", it) for (a, b, c), it in pod_reasons.CONDITIONS.items()]


def reference() -> str:
    """The whole reference page."""
    text = INTRODUCTION
    for (title, about), rows in zip(SECTIONS.items(), tables(), strict=True):
        text += f"## {title}\n\n{about}\n| state | means | failure | page |\n|---|---|---|---|\n"
        for name, it in rows:
            failure = "yes" if it.is_failure else "no, it passes"
            page = it.source.rstrip("/").rpartition("/")[2]
            text += f"| {name} | {it.what} | {failure} | [{page}]({it.source}) |\n"
        text += "\n"
    return text.rstrip("\n") + "\n"


def test_the_how_to_shows_what_diagnose_prints() -> None:
    text = HOW_TO.read_text("utf-8")
    assert len(BLOCK.findall(text)) > 15
    assert text == shown(), "write it again: python -m tests.docs.test_failed_pods"


def test_the_reference_lists_every_state() -> None:
    assert REFERENCE.read_text("utf-8") == reference(), (
        "write it again: python -m tests.docs.test_failed_pods"
    )


@pytest.mark.parametrize("line", COMMAND.findall(HOW_TO.read_text("utf-8")))
def test_each_command_of_the_how_to_runs(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # there is no cluster here: a kubectl of ours stands in for one
    shutil.copyfile(PODS / "ready.json", tmp_path / "pod.json")
    for name, script in (
        ("kubectl", f"exec cat {tmp_path / 'pod.json'}"),
        ("lls-provider", f'exec {shlex.quote(sys.executable)} -m lls_provider.cli "$@"'),
    ):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    done = subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == output("ready --format json" if "--format" in line else "ready")


def test_the_how_to_has_commands() -> None:
    assert len(COMMAND.findall(HOW_TO.read_text("utf-8"))) == 4


if __name__ == "__main__":
    HOW_TO.write_text(shown(), "utf-8")
    REFERENCE.write_text(reference(), "utf-8")
