"""Tries the newest uv: ``python tools/try_newest_uv.py [REQUIREMENT]``.

It makes an environment with the SDK, its tests and the newest uv of the package index (or the one
of REQUIREMENT, such as ``uv==0.13.0``), whatever pyproject.toml allows, and runs the tests of the
phrases that we read. It prints the phrases that this uv no longer prints; then the exit status is
1.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests" / "wheels" / "test_uv_messages.py"


def main(requirement: str) -> int:
    """Run the tests with that uv; returns the exit status."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        venv.create(directory / "env", with_pip=True)
        python = directory / "env" / "bin" / "python"
        for arguments in (["--editable", f"{ROOT}[test]"], ["--no-deps", "--upgrade", requirement]):
            subprocess.run([python, "-m", "pip", "install", "--quiet", *arguments], check=True)
        version = subprocess.run(
            [directory / "env" / "bin" / "uv", "--version"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        report = directory / "report.xml"
        done = subprocess.run(
            [python, "-m", "pytest", "--quiet", f"--junit-xml={report}", TESTS],
            cwd=ROOT,
            env={**os.environ, "UV_CACHE_DIR": str(directory / "cache")},
            check=False,
        )
        lines = [
            *cases_with(report, "failure", "error", as_="broke"),
            *cases_with(report, "skipped"),
        ]
    for line in lines:
        print(f"{version}: {line}")
    if done.returncode == 0:
        print(f"{version}: prints every phrase{' that was tried' if lines else ''}")
    return min(done.returncode, 1)


def cases_with(report: Path, *outcomes: str, as_: str = "") -> list[str]:
    """The tests of a report with one of these outcomes, each once, with its phrases."""
    found: dict[str, None] = {}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it
        if any(case.find(outcome) is not None for outcome in outcomes):
            phrases = ", ".join(it.get("value", "") for it in case.iter("property"))
            line = f"{as_ or outcomes[0]}: {phrases or 'no phrase'} ({case.get('name')})"
            found[line] = None
    return list(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "uv"))
