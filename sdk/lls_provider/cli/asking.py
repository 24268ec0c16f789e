"""Asks for what a command was not told: with arrow keys on a terminal, else one line an answer.

Questions go to stderr, since stdout is for results. questionary draws them where input and stderr
are a terminal that moves its cursor; what is drawn is erased, and one line with the answer stays.
Everywhere else a choice is a number or a name.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from lls_provider.cli.boundary import show
from lls_provider.errors import Code, SdkError

if TYPE_CHECKING:
    import questionary
    from prompt_toolkit.key_binding import KeyPressEvent

    from lls_provider.project.answers import Ask, Question

_NO_CURSOR = {"", "dumb", "unknown"}


def asker() -> Ask:
    """Return what asks here. It raises SdkError USAGE when the input ends before the answers."""
    return _until_valid(_ask_on_terminal if _is_capable() else _ask_by_line)


def _until_valid(ask: Callable[[Question, str | None], str]) -> Ask:
    """Return what asks again until the answer is valid, and passes the text that was not."""

    def asked(question: Question) -> str:
        answer = ask(question, None)
        while (problem := question.problem(answer)) is not None:
            show(problem, err=True)
            answer = ask(question, answer)
        return answer

    return asked


def somebody_answers() -> bool:
    """Whether there is a terminal to ask on."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _is_capable() -> bool:
    return somebody_answers() and os.environ.get("TERM", "") not in _NO_CURSOR


def _ask_on_terminal(question: Question, refused: str | None) -> str:
    import questionary
    from prompt_toolkit.output import create_output

    options: dict[str, Any] = {
        "qmark": "?",  # questionary's own signs are outside ASCII
        "output": create_output(stdout=sys.stderr),
        "erase_when_done": True,
    }
    message = f"{question.key}: {question.text}"
    if question.choices:
        prompt = questionary.select(
            message,
            [questionary.Choice(title, value) for value, title in _titles(question).items()],
            default=question.default,
            instruction="(arrow keys or first letters, then Enter)",
            pointer=">",
            use_jk_keys=False,
            **options,
        )
        _find_by_letters(prompt, list(question.choices))
    else:
        # a default that is there as text would be in the way of who types another
        prompt = questionary.text(
            # questionary sets a second space before an instruction
            f"{message}: {_hint(question)}",
            default=refused or "",
            **options,
        )
    try:
        answer = str(prompt.unsafe_ask()).strip() or question.default
    except EOFError:
        _refuse_end(question)
    show(f"? {question.key}: {answer}".rstrip(), err=True)
    return answer


def _find_by_letters(prompt: questionary.Question, values: Sequence[str]) -> None:
    """Let letters move the pointer to the value that begins with them.

    questionary's own filter looks at the explanations too: 'gitlab' would first find 'all'.
    """
    from prompt_toolkit.key_binding import KeyBindings, merge_key_bindings
    from prompt_toolkit.keys import Keys
    from questionary.prompts.common import InquirerControl

    application = prompt.application
    controls = [it.content for it in application.layout.find_all_windows()]
    (listed,) = (it for it in controls if isinstance(it, InquirerControl))
    typed, reached = "", listed.pointed_at

    def find(event: KeyPressEvent) -> None:
        nonlocal typed, reached
        begun = typed if listed.pointed_at == reached else ""  # an arrow key ends a word
        for text in (begun + event.data, event.data):
            found = index_of(values, text)
            if found is not None:
                typed, listed.pointed_at, reached = text, found, found
                return

    letters = KeyBindings()
    letters.add(Keys.Any)(find)
    both = (application.key_bindings, letters)
    application.key_bindings = merge_key_bindings([it for it in both if it is not None])


def index_of(values: Sequence[str], letters: str) -> int | None:
    """Return the place of the first value that begins with these letters, in either case."""
    wanted = letters.casefold()
    found = (place for place, it in enumerate(values) if it.casefold().startswith(wanted))
    return next(found, None)


def _titles(question: Question) -> dict[str, str]:
    """Return the line of each choice, no longer than the terminal is wide."""
    room = shutil.get_terminal_size().columns - len(" > ") - 1
    width = max(map(len, question.choices))
    return {
        value: f"{value:{width}}  {about}".rstrip()[:room]
        for value, about in question.choices.items()
    }


def _hint(question: Question) -> str:
    return f"[Enter: {question.default or 'nothing'}]"


def _ask_by_line(question: Question, refused: str | None) -> str:
    values = list(question.choices)
    if refused is None:
        show(f"{question.key}: {question.text}", err=True)
        width = max(map(len, values), default=0)
        for number, (value, about) in enumerate(question.choices.items(), 1):
            show(f"  {number:>2}) {value:{width}}  {about}".rstrip(), err=True)
    show(f"{'A number or a name' if values else 'Your answer'} {_hint(question)}", err=True)
    line = sys.stdin.readline()
    if not line:
        _refuse_end(question)
    answer = line.strip() or question.default
    if answer.isdecimal() and 0 < int(answer) <= len(values):
        answer = values[int(answer) - 1]
    return answer


def _refuse_end(question: Question) -> NoReturn:
    raise SdkError(
        Code.USAGE,
        f"No answer to '{question.key}'",
        why="The input ended.",
        resolution=question.instead,
    )
