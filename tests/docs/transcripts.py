"""A page's console blocks as a session: commands, the output that the page shows, edits between."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

FENCE = re.compile(
    r"<!-- in (?P<file>\S+): (?P<old>.+?) => (?P<new>.+?) -->"
    r"|^(?P<indent> *)```(?P<language>\w+)\n(?P<content>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
ELLIPSIS = "…"
VARYING = (  # times, sizes and digests differ from run to run
    (re.compile(r"\b\d+(\.\d+)? ?s\b"), "TIME"),
    (re.compile(r"sha256:[0-9a-f]{64}"), "DIGEST"),
    (re.compile(r"\b\d+(\.\d+)? (bytes|KB|MB)\b"), "SIZE"),
    (re.compile(r"={3,}"), "==="),
)
SLOW = re.compile(r"^ *(still .+, |.+: SIZE(, SIZE/s)?, took )(\d+ min )?TIME$")
"""Lines that only a slow machine or network has: what is waited for, the rate of a transfer."""


@dataclass(frozen=True)
class Edit:
    """What the reader changes in a file; the page says it in a comment, too."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Excerpt:
    """Lines that a file has."""

    text: str


@dataclass(frozen=True)
class Command:
    """A command line and the output that the page shows."""

    line: str
    output: str


def steps(page: str) -> Iterator[Edit | Excerpt | Command]:
    """What a reader does and sees, in the order of the page."""
    for found in FENCE.finditer(page):
        if found["file"]:
            yield Edit(found["file"], found["old"], found["new"])
            continue
        content = textwrap.dedent(found["content"])
        if found["language"] == "toml":
            yield Excerpt(content)
        if found["language"] == "console":
            yield from commands(content)


def commands(block: str) -> Iterator[Command]:
    """The commands of a block, each with the lines that follow it."""
    joined = re.sub(r"\\\n\s*", "", block)
    for part in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        yield Command(line, output)


def normal(text: str) -> str:
    """Output without what differs from run to run, and without blanks at the ends of lines."""
    for pattern, name in VARYING:
        text = pattern.sub(name, text)
    lines = (line.rstrip() for line in text.strip().splitlines())
    return "\n".join(line for line in lines if not SLOW.match(line))


def matches(shown: str, output: str) -> bool:
    """Whether output is what a page shows; a line of … is any lines, … in a line the rest of it."""
    pattern = ""
    for line in normal(shown).splitlines():
        if line == ELLIPSIS:
            pattern += r"(?:.*\n)*?"
        else:
            pattern += r"[^\n]*".join(re.escape(part) for part in line.split(ELLIPSIS)) + r"\n"
    return re.fullmatch(pattern, normal(output) + "\n") is not None
