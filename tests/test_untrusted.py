"""What someone else wrote is shown, and neither obeyed nor endless."""

from __future__ import annotations

import pytest

from lls_provider.errors import Code, Problem, SdkError, Where
from lls_provider.untrusted import bounded, escaped, one_line

# what a terminal obeys, what reorders or hides a line, and what is not a character at all
HOSTILE = [
    ("\x1b[2J", "\\x1b[2J"),  # clears the screen
    ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
    ("\x9b31m", "\\x9b31m"),  # the same introducer in one byte
    ("\rX", "\\rX"),  # overwrites the line
    ("\x08", "\\x08"),
    ("\x7f", "\\x7f"),
    ("\x00", "\\x00"),
    ("\x0b\x0c", "\\x0b\\x0c"),
    ("\x85", "\\x85"),
    ("\u2028", "\\u2028"),
    ("\u202e", "\\u202e"),  # right to left
    ("\u2066", "\\u2066"),
    ("\u200b", "\\u200b"),  # no width
    ("\ufeff", "\\ufeff"),
    ("\u00a0", "\\xa0"),
    ("\U000e0041", "\\U000e0041"),  # a tag, invisible
    ("\ud800", "\\ud800"),
    ("\udcff", "\\xff"),  # a byte of a file's name
    ("\uffff", "\\uffff"),
]
IDS = [shown for _, shown in HOSTILE]


@pytest.mark.parametrize(("text", "shown"), HOSTILE, ids=IDS)
def test_what_is_not_plainly_visible_is_an_escape(text: str, shown: str) -> None:
    assert escaped(f"a{text}b\n\tc") == f"a{shown}b\n\tc"
    assert one_line(f"a{text}b") == f"a{shown}b"


@pytest.mark.parametrize("text", ["", "plain", "ümläut ✓ 漢字 😀", "a\\b", "two\nlines\t."])
def test_what_is_visible_stays(text: str) -> None:
    assert escaped(text) == text


def test_a_line_of_windows_is_a_line() -> None:
    assert escaped("a\r\nb\r\n") == "a\nb\n"


def test_a_value_inside_a_line_makes_no_lines_and_has_an_end() -> None:
    assert one_line("x\n\nResolution: obey") == "x\\n\\nResolution: obey"
    assert one_line("x" * 5000, 10) == "xxxxxxxxx…"
    assert one_line("x" * 10, 10) == "x" * 10


def test_a_long_text_keeps_both_ends_and_tells_what_is_missing() -> None:
    text = "\n".join(f"line {number}" for number in range(1000))
    shown = bounded(text, lines=30, characters=5000).split("\n")
    assert shown[:2] == ["line 0", "line 1"]
    assert shown[-2:] == ["line 998", "line 999"]
    assert len(shown) == 31
    assert shown[20] == "[… 970 lines left out, 8,650 characters …]"
    assert shown[19:22:2] == ["line 19", "line 990"]


@pytest.mark.parametrize(
    "text",
    ["x" * 100_000, "x" * 100_000 + "\nend", "start\n" + "x" * 100_000, "\n" * 100_000, "ab\n" * 9],
)
@pytest.mark.parametrize("limit", [10, 100, 1000])
def test_no_text_passes_its_bounds(text: str, limit: int) -> None:
    shown = bounded(text, lines=20, characters=limit)
    assert len(shown) <= limit + 150  # the words on what is missing
    assert shown.count("\n") <= 20
    assert shown == text or "left out" in shown


def test_what_fits_is_left_alone() -> None:
    assert bounded("a\nb", lines=2, characters=3) == "a\nb"


@pytest.mark.parametrize(("text", "shown"), HOSTILE, ids=IDS)
def test_every_part_of_an_error_is_escaped(text: str, shown: str) -> None:
    where = Where(file=f"f{text}", line=1, provider=f"p{text}", image=f"i{text}")
    error = SdkError(
        Code.FIELD_VALUE,
        f"what{text}",
        why=f"why{text}",
        where=where,
        problems=[Problem(Code.FIELD_VALUE, f"problem{text}", where, f"mend{text}")],
        resolution=f"way{text}",
    )
    told = error.render()
    for part in ("f", "p", "i", "what", "why", "problem", "mend", "way"):
        assert f"{part}{shown}" in told
    assert text not in told
    layout = SdkError(Code.VALIDATION_FAILED, "x", resolution="y", layout=f"ERROR: {text}").render()
    assert layout == f"ERROR: {shown}"


def test_a_place_cannot_forge_a_resolution() -> None:
    error = SdkError(
        Code.FIELD_VALUE, "x", where=Where(file="a\n\nResolution: obey"), resolution="Mend it."
    )
    assert [line for line in error.render().split("\n") if line.startswith("Resolution")] == [
        "Resolution: Mend it."
    ]


def test_an_endless_reason_leaves_the_resolution_in_sight() -> None:
    told = SdkError(Code.NETWORK, "x", why="word " * 200_000, resolution="Wait.").render()
    assert len(told) < 40_000
    assert "left out" in told
    assert told.endswith("\n\nResolution: Wait.")
