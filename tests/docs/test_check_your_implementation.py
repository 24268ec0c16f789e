"""The guide for other implementations: its commands are run, and their output is the page's.

``python tests/docs/test_check_your_implementation.py`` writes the output again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree.ElementTree import parse

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "check-your-implementation.md"
BLOCK = re.compile(r"```console\n\$ ([^\n]*)\n(.*?)```\n", re.DOTALL)
SCRIPT = "my-installer"


def run(command: str, directory: Path) -> str:
    """What a command of the page prints on stdout; its exit status is one that the guide names."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "80",
    }
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    assert "ERROR" not in done.stderr
    return done.stdout


def made(text: str, directory: Path) -> str:
    """The page with the output that its commands have now; it shows the script itself."""
    script = BLOCK.search(text)
    assert script is not None
    assert script[1] == f"cat {SCRIPT}"
    (directory / SCRIPT).write_text(script[2], "utf-8")
    (directory / SCRIPT).chmod(0o755)
    return BLOCK.sub(lambda it: f"```console\n$ {it[1]}\n{run(it[1], directory)}```\n", text)


def test_the_commands_say_what_the_guide_shows(tmp_path: Path) -> None:
    text = PAGE.read_text("utf-8")
    assert len(BLOCK.findall(text)) >= 4
    assert made(text, tmp_path) == text
    root = parse(tmp_path / "report.xml").getroot()
    assert [it.get("name") for it in root.iter("testsuite")] == ["merger"]
    assert len(root.findall(".//failure")) == 1


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        PAGE.write_text(made(PAGE.read_text("utf-8"), Path(temporary)), "utf-8")
