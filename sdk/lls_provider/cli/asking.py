"""Asks for what a command was not told: with arrow keys on a terminal, else one line an answer.

Questions go to stderr, since stdout is for results. questionary draws them where input and stderr
are a terminal that moves its cursor. Everywhere else a choice is a number or a name.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from lls_provider.cli.boundary import show
from lls_provider.errors import Code, SdkError

if TYPE_CHECKING:
    from lls_provider.project.answers import Ask, Question

_NO_CURSOR = {"", "dumb", "unknown"}


def asker() -> Ask:
    """Return what asks here. It raises SdkError USAGE when the input ends before the answers."""
    return _ask_on_terminal if _is_capable() else _ask_by_line


def _is_capable() -> bool:
    terminal = sys.stdin.isatty() and sys.stderr.isatty()
    return terminal and os.environ.get("TERM", "") not in _NO_CURSOR


def _ask_on_terminal(question: Question) -> str:
    import questionary
    from prompt_toolkit.output import create_output

    # questionary's own signs are outside ASCII
    options: dict[str, Any] = {"qmark": "?", "output": create_output(stdout=sys.stderr)}
    message = f"{question.key}: {question.text}"
    if question.choices:
        prompt = questionary.select(
            message,
            [questionary.Choice(title, value) for value, title in _titles(question).items()],
            default=question.default,
            instruction="(arrow keys, then Enter)",
            pointer=">",
            **options,
        )
    else:
        prompt = questionary.text(
            f"{message}:",
            default=question.default,
            validate=lambda text: question.problem(text.strip()) or True,
            **options,
        )
    try:
        return str(prompt.unsafe_ask()).strip()
    except EOFError:
        _refuse_end(question)


def _titles(question: Question) -> dict[str, str]:
    """Return the line of each choice, no longer than the terminal is wide."""
    room = shutil.get_terminal_size().columns - len(" > ") - 1
    width = max(map(len, question.choices))
    return {
        value: f"{value:{width}}  {about}".rstrip()[:room]
        for value, about in question.choices.items()
    }


def _ask_by_line(question: Question) -> str:
    show(f"{question.key}: {question.text}", err=True)
    values = list(question.choices)
    width = max(map(len, values), default=0)
    for number, (value, about) in enumerate(question.choices.items(), 1):
        show(f"  {number:>2}) {value:{width}}  {about}".rstrip(), err=True)
    hint = f"[Enter: {question.default or 'nothing'}]"
    while True:
        show(f"{'A number or a name' if values else 'Your answer'} {hint}", err=True)
        line = sys.stdin.readline()
        if not line:
            _refuse_end(question)
        answer = line.strip() or question.default
        if answer.isdecimal() and 0 < int(answer) <= len(values):
            answer = values[int(answer) - 1]
        problem = question.problem(answer)
        if problem is None:
            return answer
        show(problem, err=True)


def _refuse_end(question: Question) -> NoReturn:
    raise SdkError(
        Code.USAGE,
        f"No answer to '{question.key}'",
        why="The input ended.",
        resolution="Give answers as key=value, with --no-input for the other defaults.",
    )
