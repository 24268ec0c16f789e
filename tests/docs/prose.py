"""The house's rules of style, as checks of proselint, beside those that proselint has.

Plain language: a reader who is not a native speaker understands each sentence the first time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, partial

from proselint.checks import __register__ as general
from proselint.config import DEFAULT
from proselint.registry import CheckRegistry
from proselint.registry.checks import Check, CheckResult
from proselint.registry.checks.types import Existence, PreferredForms, PreferredFormsSimple
from proselint.tools import LintFile

GUIDES = re.compile(r"docs/(index|tutorial|how-to/.*|explanation(/.*)?)\.md|README\.md")
"""Pages that are read from top to bottom, as a lesson; the others are looked up."""
LONGEST = {True: 34, False: 45}
"""Words of a sentence: in a guide, elsewhere."""

HIDDEN = re.compile(
    r"^( *)(```+)[^\n]*\n.*?^\1\2 *$|<!--.*?-->|`[^`]*`|(?<=\])\([^)\s]*\)|^ {4,}\S[^\n]*$",
    re.MULTILINE | re.DOTALL,
)
"""What is no prose: code, comments, addresses."""
STARTS = re.compile(r"\n\s*\n|\n *(?:[-*]|\d+\.) |\n#+ |\||(?<=[.!?:;])\s+(?=[^a-z])|(?<=[:;])\s+")

PRIVATE = {
    # words that only this project used, and what the field calls them (docs/glossary.md)
    "outlook": "what reconciling would do",
    "surroundings": "the server's packages",
    "elves": "native code",
    "waysout": "resolution hints",
    "nevertheless": "all the same",
    "toml places": "TOML positions",
    "the overlay": "python-packages",
}
PLAIN = {
    "in order to": "to",
    "utilize": "use",
    "utilise": "use",
    "leverage": "use",
    "prior to": "before",
    "subsequent to": "after",
    "in the event that": "if",
    "due to the fact that": "because",
    "is able to": "can",
    "are able to": "can",
    "whether or not": "whether",
}
EMPTY = ("simply", "obviously", "basically", "of course", "seamless", "seamlessly", "effortless",
         "blazing", "powerful", "robust", "state of the art", "easily", "trivially")  # fmt: skip
PASSIVE = (
    "should be noted",
    "is being used",
    "can be seen",
    "it is recommended",
    "it is possible to",
    "has to be done",
    "is to be",
    "are to be",
)
SPEAKER = ("we", "us", "let's", "our", "one can", "one has to")

NOT_OURS = {"typography": False}  # Markdown has straight quotes


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """The sentences of a text and their places; a table's cell is not longer than itself."""
    place = 0
    for start in [*STARTS.finditer(text), None]:
        end = start.start() if start else len(text)
        yield place, text[place:end]
        place = start.end() if start else end


def too_long(text: str, check: Check, *, limit: int) -> Iterator[CheckResult]:
    """Sentences with more words than a reader keeps in mind."""
    for place, sentence in sentences(text):
        words = len(sentence.split())
        if words > limit:
            message = check.message.format(words, limit)
            start = place + len(sentence) - len(sentence.lstrip())
            yield CheckResult(check.path, message, (start, start + len(sentence)), None)


@cache
def house(*, guide: bool) -> tuple[Check, ...]:
    """The house's own checks, for a kind of page."""
    length = LONGEST[guide]
    found = [
        Check(partial(too_long, limit=length), path="house.length", message="{} words; {} at most"),
        Check(PreferredForms(PRIVATE), path="house.private", message="write '{}' for '{}'"),
        Check(PreferredFormsSimple(PLAIN), path="house.plain", message="write '{}' for '{}'"),
        Check(Existence(EMPTY), path="house.empty", message="'{}' says nothing"),
        Check(Existence(PASSIVE), path="house.passive", message="'{}': say who does it"),
    ]
    if guide:
        found.append(
            Check(Existence(SPEAKER), path="house.person", message="'{}': say 'you' to the reader")
        )
    return tuple(found)


def prose(text: str) -> str:
    """A page with everything but prose blanked out; each line stays where it is."""
    return HIDDEN.sub(_blank, text)


def _blank(found: re.Match[str]) -> str:
    code = found[0].startswith("`") and not found[0].startswith("```")
    # a code span is a word of its sentence, and not the same word as the next one
    letter = "BCDFGHJKLM"[found.start() % 10] if code else " "
    text = re.sub(r"[^\n]", letter, found[0])
    # a block stands between what is before it and what follows
    return f"—{text[1:]}" if found[0].startswith("```") else text


def complaints(page: str, text: str) -> list[str]:
    """What is wrong with a page, each with its line."""
    registry = CheckRegistry()
    registry.checks[:] = [*general, *house(guide=bool(GUIDES.fullmatch(page)))]
    enabled = {**DEFAULT["checks"], **NOT_OURS, "house": True}
    found = LintFile(page, prose(text)).lint({"max_errors": 1000, "checks": enabled})
    return [
        f"{page}:{it.pos[0]}: {it.check_result.message} ({it.check_result.check_path})"
        for it in found
    ]
