"""Record the landing page's terminal: ``python tools/record_terminal.py``.

The commands run for real, in a temporary directory, and each line that they write is kept with the
time at which it came (``docs/assets/first-provider.cast``, the format of asciinema, version 2). The
picture and the transcript are made of that file: ``--render`` makes them again without a run.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

CAST = Path(__file__).parents[1] / "docs" / "assets" / "first-provider.cast"
COMMANDS = (
    "lls-provider new acme-echo --no-input api=inference kind=inline vendor=Acme",
    "lls-provider build acme-echo --base scratch --output oci:image",
    "lls-provider up acme-echo --check",
)
COLUMNS, ROWS = 84, 24
LONGEST_WAIT = 1.5  # seconds; real waits are longer, and the output says how long
READING, TYPING = 1.5, 0.12  # seconds: before a command, for a line that came at once
PROMPT = "$ "

CELL, LEADING, SIZE, MARGIN, BAR = 8.4, 19, 14, 16, 30
DARK, FAINT, PLAIN, GREEN, BLUE = "#1f2430", "#8a93a3", "#d7dce5", "#8fd28f", "#7fb4ff"

Event = tuple[float, str]
"""When something was written, in seconds from the start, and what."""


@dataclass(frozen=True)
class Line:
    """A line of the terminal and the time at which it is shown."""

    at: float
    text: str


def record(commands: Sequence[str]) -> Iterator[Event]:
    """Run the commands one after the other; each must succeed."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lls-provider-recording-") as folder:
        for command in commands:
            yield time.monotonic() - started, f"{PROMPT}{command}\r\n"
            _, *arguments = shlex.split(command)
            with subprocess.Popen(
                [sys.executable, "-m", "lls_provider.cli", *arguments],
                cwd=folder,
                env={**os.environ, "COLUMNS": str(COLUMNS), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as process:
                for line in process.stdout or ():
                    if folder in line:
                        raise SystemExit(f"a path of this machine would be recorded: {line}")
                    yield time.monotonic() - started, line.rstrip("\n") + "\r\n"
            if process.returncode:
                raise SystemExit(f"{command}: exit status {process.returncode}")
            yield time.monotonic() - started, "\r\n"


def cast(events: Sequence[Event]) -> str:
    """The recording as asciinema has it: a header, then one event a line."""
    header = {"version": 2, "width": COLUMNS, "height": ROWS, "title": "A first provider"}
    lines = [header, *([round(at, 2), "o", text] for at, text in events)]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def lines(text: str) -> list[Line]:
    """The lines of a recording, as wide as the terminal, with long waits cut short."""
    found: list[Line] = []
    shown = before = 0.0
    for event in text.splitlines()[1:]:
        at, _, content = json.loads(event)
        pause = READING if str(content).startswith(PROMPT) and found else TYPING
        shown += min(max(at - before, pause), LONGEST_WAIT)
        before = at
        for line in str(content).removesuffix("\r\n").split("\r\n"):
            wrapped = [line[it : it + COLUMNS] for it in range(0, len(line), COLUMNS)] or [""]
            found += [Line(round(shown, 2), part) for part in wrapped]
    return found


def transcript(text: str) -> str:
    """What the terminal showed, as text."""
    return "".join(f"{line.text}\n" for line in lines(text)).rstrip("\n") + "\n"


def picture(text: str) -> str:
    """The recording as an SVG that plays once; where nothing moves it shows the end."""
    shown = lines(text)
    width = round(COLUMNS * CELL + 2 * MARGIN)
    height = ROWS * LEADING + 2 * MARGIN + BAR
    total = shown[-1].at + 1
    scrolled = max(len(shown) - ROWS, 0)
    stops = "".join(
        f"{100 * line.at / total:.2f}%{{transform:translateY({-LEADING * place}px)}}"
        for place, line in enumerate(shown[ROWS - 1 :])
    )
    style = (
        f"text{{font:{SIZE}px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',"
        f"monospace;fill:{PLAIN};white-space:pre}}"
        f".c{{fill:{GREEN}}}.f{{fill:{FAINT}}}.r{{fill:{BLUE}}}"
        f"#s{{transform:translateY({-LEADING * scrolled}px)}}"
        "@media (prefers-reduced-motion:no-preference){"
        f"#s{{animation:s {total:.2f}s steps(1,end) both}}"
        "#s text{animation:a .01s both}}"
        "@keyframes a{from{opacity:0}}"
        f"@keyframes s{{0%{{transform:translateY(0)}}{stops}"
        f"100%{{transform:translateY({-LEADING * scrolled}px)}}}}"
    )
    rows = "\n".join(
        f'<text x="0" y="{LEADING * place + SIZE}"{_kind(line.text)} '
        f'style="animation-delay:{line.at:g}s">{escape(line.text)}</text>'
        for place, line in enumerate(shown)
        if line.text
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n'
        "<title>A first provider is made, built and called</title>\n"
        f"<style>{style}</style>\n"
        f'<rect width="{width}" height="{height}" rx="10" fill="{DARK}" '
        'stroke="#3d4557"/>\n'
        + "".join(
            f'<circle cx="{22 + 20 * place}" cy="20" r="6" fill="{colour}"/>'
            for place, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
        )
        + f'\n<svg x="{MARGIN}" y="{BAR + MARGIN - 4}" width="{width - 2 * MARGIN}" '
        f'height="{ROWS * LEADING + 4}"><g id="s">\n{rows}\n</g></svg>\n</svg>\n'
    )


def _kind(line: str) -> str:
    if line.startswith(PROMPT):
        return ' class="c"'
    if "->" in line or "successfully" in line or "sha256:" in line:
        return ' class="r"'
    return ' class="f"' if " done in " in line else ""


def render(text: str) -> dict[Path, str]:
    """The files that are made of a recording."""
    return {CAST.with_suffix(".svg"): picture(text), CAST.with_suffix(".txt"): transcript(text)}


def main() -> None:
    """Record, unless only the pictures are wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--render", action="store_true", help="use the recording that exists")
    if not parser.parse_args().render:
        CAST.write_text(cast(list(record(COMMANDS))), "utf-8")
    for path, content in render(CAST.read_text("utf-8")).items():
        path.write_text(content, "utf-8")


if __name__ == "__main__":
    main()
