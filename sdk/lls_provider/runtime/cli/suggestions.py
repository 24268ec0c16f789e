"""What was meant by arguments that the runtime does not know, or could not parse."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from lls_provider.errors import nearest_word

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def suggestions(argv: Sequence[str], commands: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each unknown command or option that resembles a known one.

    ``commands`` has the help of each command, which lists its options.
    """
    if not argv:
        return
    if argv[0] not in commands:
        yield from _about(argv[0], list(commands))
        return
    known = options_in(commands[argv[0]])
    for word in argv[1:]:
        if word == "--":
            return
        option = word.partition("=")[0]
        if option.startswith("--") and option not in known:
            yield from _about(option, known)


def options_in(text: str) -> list[str]:
    """The options that a command's help names, each once."""
    return list(dict.fromkeys(_OPTION.findall(text)))


def _about(word: str, known: list[str]) -> Iterator[str]:
    if meant := nearest_word(word, known):
        yield f"There is no {word:.100}; did you mean '{meant}'?"


def asks_for_json(argv: Sequence[str]) -> bool:
    """Whether arguments that cannot be parsed have ``--format json``."""
    words = list(argv[: argv.index("--")] if "--" in argv else argv)
    return "--format=json" in words or ("--format", "json") in pairwise(words)
