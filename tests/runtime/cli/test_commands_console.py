from __future__ import annotations

import io
import sys

import pytest

from lls_provider.runtime.cli.commands import Console


def test_results_go_to_stdout_and_all_else_to_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = Console()
    console.step("reading")
    console.note("kept x")
    console.warn("careful")
    console.warn("WARNING: a layout")
    console.result("x/1", {}, "done")
    out, err = capsys.readouterr()
    assert out == "done\n"
    assert err == (
        "lls-provider: reading\nlls-provider: note: kept x\nWARNING: careful\nWARNING: a layout\n"
    )


def test_a_stream_that_cannot_hold_a_character_shows_its_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Console().result("x/1", {}, "Match ✓")
    assert raw.getvalue() == b"Match \\u2713\n"


@pytest.mark.parametrize("say", ["step", "note", "warn", "error", "result"])
@pytest.mark.parametrize(
    ("text", "shown"), [("\x1b[2J", "\\x1b[2J"), ("\u202e", "\\u202e"), ("\rok", "\\rok")]
)
def test_no_text_reaches_the_terminal_as_a_command(
    capsys: pytest.CaptureFixture[str], say: str, text: str, shown: str
) -> None:
    console, said = Console(), f"said: {text}\nmore"
    if say == "result":
        console.result("x/1", {}, said)
    else:
        getattr(console, say)(said)
    out, err = capsys.readouterr()
    more = "\\nmore" if say in ("step", "note") else "\nmore"  # these are one line
    assert f"said: {shown}{more}\n" in out + err
    assert text not in out + err


def test_a_closed_or_missing_stream_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    Console().result("x/1", {}, "x")
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    Console().error("x")
