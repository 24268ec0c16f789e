"""Progress: bars and colours on a terminal only, the same words everywhere."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import pytest

from lls_provider.cli.boundary import show_document

# the display appears at once, and a task waits until it is there
LIVE = """
import time
from lls_provider.cli import console as module
from lls_provider.cli.boundary import console, show, show_document
module.Terminal.interval = 0.01
def until_shown(progress):
    end = time.monotonic() + 20
    while getattr(progress, "_live", 0) is None and time.monotonic() < end:
        time.sleep(0.01)
"""
SCRIPT = """
progress = console()
progress.step("resolving")
progress.note("a detail")
progress.warn("take care")
progress.warn("WARNING: a layout of the contract")
with progress.task("fetching", 1000) as advance:
    advance(400)
    until_shown(progress)
    advance(600)
with progress.task("nothing", 0) as advance:
    pass
"""
PLAIN = [
    "resolving",
    "  a detail",
    "WARNING: take care",
    "WARNING: a layout of the contract",
]


def on_a_terminal(**variables: str) -> str:
    """What the script writes to a stderr that is a terminal."""
    mine, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "NO_COLOR", "TERM")}
    process = subprocess.Popen(
        [sys.executable, "-c", LIVE + SCRIPT],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**environment, "TERM": "xterm", **variables},
    )
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(mine, 65536):
            seen += chunk
    except OSError:  # Linux: the other side was closed
        pass
    finally:
        os.close(mine)
    out, _none = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, b"")
    return seen.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("color", ["", "1"])
def test_what_others_say_is_shown_on_a_terminal_and_not_obeyed(
    monkeypatch: pytest.MonkeyPatch, color: str
) -> None:
    hostile = "\\x1b[2J\\x1b]0;title\\x07\\r\\u202e[bold]x[/]"
    script = (
        f"said = '{hostile}'\n"
        "progress = console()\n"
        "progress.step('s' + said); progress.note('n' + said); progress.warn('w' + said)\n"
        "with progress.task('t' + said, 10) as advance: until_shown(progress)\n"
        "show('o' + said, err=True)\n"
    )
    monkeypatch.setitem(globals(), "SCRIPT", script)
    seen = on_a_terminal(NO_COLOR=color)
    for start in "snwto":
        assert start + hostile in seen
    for part in ("\x1b[2J", "\x1b]0", "\x07", "\u202e"):
        assert part not in seen


def test_json_is_ascii_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"k\x1b\u202e": "é\x7f\x9b\ud800😀"}
    show_document(document)
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.replace("\n", "").isprintable()
    assert json.loads(out) == document


def test_a_stream_that_lacks_a_character_shows_its_number() -> None:
    script = "from lls_provider.cli.boundary import show; show('Match ✓'); show('é', err=True)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )
    assert (done.stdout, done.stderr) == (b"Match \\u2713\n", "é\n".encode("latin-1"))


def test_not_on_a_terminal_it_is_plain_lines_on_stderr() -> None:
    done = subprocess.run([sys.executable, "-c", LIVE + SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr.splitlines() == PLAIN


def test_on_a_terminal_there_are_colours_and_a_bar() -> None:
    seen = on_a_terminal()
    assert "\x1b[33mWARNING: take care" in seen
    assert "fetching" in seen


@pytest.mark.parametrize("variables", [{"CI": "true"}, {"TERM": "dumb"}])
def test_where_nobody_watches_it_is_plain_even_on_a_terminal(variables: dict[str, str]) -> None:
    assert on_a_terminal(**variables).splitlines() == PLAIN


def test_no_color_keeps_the_bar_and_drops_the_colours() -> None:
    seen = on_a_terminal(NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*m", seen)
    assert [line for line in PLAIN if line in seen.splitlines()] == PLAIN
    assert "fetching" in seen


def test_an_empty_no_color_does_not_count() -> None:
    assert "\x1b[33m" in on_a_terminal(NO_COLOR="")
