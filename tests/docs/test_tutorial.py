"""The tutorial, the guides for authors and the recording: each command is run, its output compared.

All pages work on the tutorial's project, and a command that one of them has run is not run again.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.test_pages import FENCE, ROOT
from tests.docs.transcripts import Command, Edit, Excerpt, matches, normal, steps
from tools import record_terminal

PROJECT = "acme-echo"
GUIDES = ("run-in-ci.md", "from-llama-stack-to-ogx.md")
REGISTRY = "registry.example.com"

pytestmark = [
    pytest.mark.network,
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.xdist_group("tutorial"),
]


class Session:
    """A directory in which a reader types commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._outputs: dict[tuple[str, str], str] = {}
        bin_directory = Path(sys.executable).parent
        self._environment = {
            **os.environ,
            "PATH": f"{bin_directory}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "80",
            "PYTHONUNBUFFERED": "1",  # stdout and stderr in their order
        }

    def run(self, line: str, folder: Path, *, status: int = 0) -> str:
        """The output of a command; of one that was run before with these settings, that."""
        key = (self._settings(), self._meant(line, folder))
        if key not in self._outputs:
            done = subprocess.run(
                ["/bin/sh", "-c", line],
                cwd=folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert done.returncode == status, f"{line}\n{done.stdout}"
            self._outputs[key] = done.stdout
        return self._outputs[key]

    def _settings(self) -> str:
        """The project's settings, without the one that only changes what the provider says."""
        path = self.folder / PROJECT / "pyproject.toml"
        text = path.read_text("utf-8") if path.is_file() else ""
        return re.sub(r"^prefix = .*$", "", text, flags=re.MULTILINE)

    def _meant(self, line: str, folder: Path) -> str:
        """The command with the project's name for '.', without what is the default."""
        words = [PROJECT if it == "." and folder != self.folder else it for it in shlex.split(line)]
        return shlex.join(words).replace(" --server llama-stack==0.7.3", "")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return Session(tmp_path_factory.mktemp("tutorial"))


@pytest.fixture(scope="module")
def tutorial(session: Session) -> dict[str, str]:
    """The outputs of the tutorial's commands, after all its steps."""
    outputs: dict[str, str] = {}
    file = session.folder / PROJECT / "pyproject.toml"
    for step in steps((ROOT / "docs" / "tutorial.md").read_text("utf-8")):
        match step:
            case Edit(name, old, new):
                path = session.folder / name
                text = path.read_text("utf-8")
                assert old in text, f"{old!r} is not in {name}"
                path.write_text(text.replace(old, new, 1), "utf-8")
            case Excerpt(text):
                assert settings(text) in settings(file.read_text("utf-8"))
            case Command(line, shown):
                wrong = "ERROR" in shown
                output = session.run(line, session.folder, status=int(wrong))
                assert matches(shown, output), f"{line}\n{normal(output)}"
                outputs[line] = output
    return outputs


def settings(toml: str) -> str:
    """The lines of a file without comments."""
    return "".join(f"{it}\n" for it in toml.splitlines() if it and not it.startswith("#"))


def test_every_command_of_the_tutorial_does_what_it_shows(tutorial: dict[str, str]) -> None:
    assert [line.split()[1] for line in tutorial] == [
        *("new", "test", "check", "build", "up", "up"),
    ]


def recorded() -> Iterator[tuple[str, str]]:
    """The commands of the recording, each with its output."""
    events = record_terminal.CAST.read_text("utf-8").splitlines()[1:]
    text = "".join(str(json.loads(event)[2]) for event in events).replace("\r\n", "\n")
    for part in f"\n{text}".split(f"\n{record_terminal.PROMPT}")[1:]:
        line, _, output = part.partition("\n")
        yield line, output


def blurred(output: str) -> str:
    """Output without numbers, identifiers and temporary paths: what a recording keeps saying."""
    text = re.sub(r"/tmp/\S+?/volume", "VOLUME", normal(output))
    text = re.sub(r"chatcmpl-[0-9a-f-]+|\S+/volume/", "", text)
    return re.sub(r"\d+", "N", text)


def test_the_recording_shows_what_the_commands_print_today(
    session: Session, tutorial: dict[str, str]
) -> None:
    shown = list(recorded())
    assert [line for line, _ in shown] == list(record_terminal.COMMANDS)
    assert set(record_terminal.COMMANDS) <= set(tutorial)
    for line, output in shown:
        lines = [it for it in blurred(output).splitlines() if it]
        today = [it for it in blurred(tutorial[line]).splitlines() if it]
        assert [it for it in lines if it not in today] == [], (
            f"{line}: record it again: python tools/record_terminal.py"
        )


@pytest.mark.parametrize("name", GUIDES)
def test_every_command_of_a_guide_for_authors_works(
    session: Session, tutorial: dict[str, str], name: str
) -> None:
    ran = 0
    for _, _, language, block in FENCE.findall((ROOT / "docs" / "how-to" / name).read_text()):
        lines = block.splitlines() if language == "sh" else []
        for line in lines:
            if REGISTRY not in line:  # what a registry takes is tested with the pages on deploying
                session.run(line, session.folder / PROJECT)
                ran += 1
    assert ran > 5
