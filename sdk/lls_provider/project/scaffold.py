"""Makes a new provider project from the template (`project.template`).

`ANSWERS` lists what a project is made from. `scaffold` checks the given answers, asks for the
others or takes their defaults, and renders the template.
"""

from __future__ import annotations

import contextlib
import keyword
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.contract.models import provider_id_from_name, provider_id_problem
from lls_provider.contract.schema import nearest, shown
from lls_provider.errors import Code, Problem, SdkError, Where
from lls_provider.project.pyproject import metadata_rule
from lls_provider.project.template import TemplateVersions, render
from lls_provider.project.template_apis import template_apis

if TYPE_CHECKING:
    from lls_provider.progress import Progress

ANSWERS = {
    "name": "the provider's name, such as acme-echo: its type and providerId come from it",
    "api": "the API that it implements",
    "kind": "remote (it calls a service) or inline (it does the work itself)",
    "vendor": "the organisation that makes it",
    "description": "what it does, in one sentence",
    "maintainer": "a contact e-mail address, or nothing",
    "license": "its licence",
    "sdk": "the requirement that installs this SDK in its CI",
}
"""The answers by key, in the order of the questions."""

_LICENSES = ("Apache-2.0", "none")
_LIMIT = 200  # characters of a text; it becomes one line of a file
_EMAIL = r"[^@\s<>\"]+@[^@\s<>\"]+"

# packages that would shadow those that servers and tests import
_TAKEN = {"llama_stack", "llama_stack_api", "ogx", "ogx_api", "pydantic", "pytest", "test", "tests"}
_WHAT = "the project"


@dataclass(frozen=True, slots=True)
class Question:
    """A question for an answer that was not given."""

    key: str
    text: str
    default: str
    choices: tuple[str, ...] = ()

    def problem(self, answer: str) -> str | None:
        """Return what is wrong with an answer, in one sentence; None if it is valid."""
        found = _problem(self.key, answer)
        return found.what if found else None


Ask = Callable[[Question], str]


@dataclass(frozen=True, slots=True)
class ScaffoldedProject:
    """A scaffolded project, its files, and the answers that it was made from.

    Of a dry run, what would be made.
    """

    path: Path
    answers: Mapping[str, str]
    files: tuple[str, ...] = ()
    dry: bool = False

    def to_document(self) -> dict[str, Any]:
        """Return the result as plain data, for ``--format json``."""
        return {
            "dry_run": self.dry,
            "path": str(self.path),
            "answers": dict(self.answers),
            "files": list(self.files),
        }


def scaffold(
    directory: Path | None,
    answers: Mapping[str, str],
    *,
    interactive: bool = False,
    ask: Ask | None = None,
    dry: bool = False,
    progress: Progress | None = None,
) -> ScaffoldedProject:
    """Make a project in ``directory`` (default: a directory of the provider's name).

    A missing answer is asked for with ``ask`` (on the terminal if ``interactive``) or takes its
    default; that of ``name`` is the directory's name. With ``dry`` nothing is written. The project
    records the template's version and the answers. The user's cookiecutter configuration is not
    read. Raises SdkError USAGE for unknown or wrong answers, TARGET_EXISTS when the directory is
    not empty, NO_SPACE or OUTPUT_UNWRITABLE; no files remain then.
    """
    if directory is not None:
        _require_empty(directory)
    if interactive and ask is None:
        ask = prompt
    template = TemplateVersions.shipped().current
    context = template.context
    suggested = _suggested_name(directory) if directory is not None else None
    found = complete_answers(answers, ask, {**context, "name": suggested or context["name"]})
    target = directory if directory is not None else Path(found["name"])
    _require_empty(target)
    if progress is not None:
        progress.step(f"making {found['name']} in {target}")
    from lls_provider.system.cache import scratch

    with scratch("new") as temporary:
        rendered = render(template, found, temporary)
        made = (it.relative_to(rendered) for it in rendered.rglob("*") if it.is_file())
        files = tuple(sorted(map(str, made)))
        if not dry:
            _place(rendered, target)
    return ScaffoldedProject(target, found, files, dry)


def parse_answers(texts: Iterable[str]) -> dict[str, str]:
    """Parse ``key=value`` strings. Raises SdkError USAGE for other strings and repeated keys."""
    answers: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key in answers:
            raise SdkError(
                Code.USAGE,
                f"{shown(text)} is not an answer" if not equals else f"'{key}' is answered twice",
                resolution="Give each answer once, as key=value, such as name=acme-echo.",
            )
        answers[key] = value
    return answers


def complete_answers(
    given: Mapping[str, str], ask: Ask | None, defaults: Mapping[str, str]
) -> dict[str, str]:
    """Return all answers in order, checked; a missing one is asked for or takes its default.

    ``defaults`` are the template's. Raises SdkError USAGE with every wrong answer.
    """
    _refuse([*_unknown(given), *(found for it in given.items() if (found := _problem(*it)))])
    answers: dict[str, str] = {}
    for key in ANSWERS:
        if key in given:
            answers[key] = given[key]
            continue
        question = _question(key, answers, defaults)
        # a single choice needs no question; the SDK's requirement is for experts
        may_ask = ask is not None and key != "sdk" and len(question.choices) != 1
        answers[key] = ask(question) if ask is not None and may_ask else question.default
        _refuse([found] if (found := _problem(key, answers[key])) else [])
    return answers


def prompt(question: Question) -> str:
    """Ask a question on the terminal. Raises SdkError USAGE when the input ends."""
    from cookiecutter.prompt import read_user_choice, read_user_variable

    text = {question.key: f"{question.key}: {question.text}"}
    try:
        if question.choices:
            return str(read_user_choice(question.key, list(question.choices), text))
        while True:
            answer = str(read_user_variable(question.key, question.default, text)).strip()
            problem = question.problem(answer)
            if problem is None:
                return answer
            text = {question.key: f"{problem}\n{question.key}"}
    except EOFError as error:
        raise SdkError(
            Code.USAGE,
            f"No answer to '{question.key}'",
            why="The input ended.",
            resolution="Give answers as key=value, with --no-input for the other defaults.",
        ) from error


def _require_empty(directory: Path) -> None:
    from lls_provider.system.files import wrapping_write_errors

    with wrapping_write_errors(directory, _WHAT):
        if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
            return
    raise SdkError(
        Code.TARGET_EXISTS,
        f"{directory} is not empty" if directory.is_dir() else f"{directory} is a file",
        why="A new project is only written where nothing could be lost.",
        where=Where(file=str(directory)),
        resolution="Name a directory that does not exist or is empty.",
    )


def _place(rendered: Path, target: Path) -> None:
    """Publish the project; an existing empty directory is kept, since a shell may be in it."""
    from lls_provider.system.files import output_directory, wrapping_write_errors

    if not target.exists():
        with output_directory(target, _WHAT) as staging:
            shutil.copytree(rendered, staging, dirs_exist_ok=True)
        return
    with wrapping_write_errors(target, _WHAT):
        try:
            shutil.copytree(rendered, target, dirs_exist_ok=True)
        except BaseException:
            _clear(target)
            raise


def _clear(directory: Path) -> None:
    """Empty a directory that was empty before."""
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _suggested_name(directory: Path) -> str | None:
    """Return the directory's name if it is a valid name for a provider."""
    name = directory.absolute().name
    return name if _name_problem(name) is None else None


def _refuse(problems: Sequence[Problem]) -> None:
    """Raise SdkError USAGE when there are problems."""
    if problems:
        single = len(problems) == 1
        raise SdkError(
            Code.USAGE,
            problems[0].what if single else f"{len(problems)} answers cannot be used",
            problems=() if single else problems,
            resolution=problems[0].resolution if single else "Correct each of them.",
        )


def _question(key: str, answers: Mapping[str, str], defaults: Mapping[str, str]) -> Question:
    choices = _choices(key)
    default = choices[0] if choices else defaults.get(key, "")
    if key == "kind":
        choices = template_apis()[answers["api"]].kinds
        default = choices[0]
    elif key == "description":
        kind = answers["kind"].capitalize()
        default = f"{kind} {answers['api']} provider {answers['name']}"
    return Question(key, ANSWERS[key], default, choices)


def _choices(key: str) -> tuple[str, ...]:
    return {"api": tuple(template_apis()), "kind": ("remote", "inline"), "license": _LICENSES}.get(
        key, ()
    )


def _unknown(given: Mapping[str, str]) -> list[Problem]:
    found = []
    for key in given:
        if key not in ANSWERS:
            meant = nearest(key, list(ANSWERS))
            what = f"unknown answer {shown(key)}" + (f"; did you mean '{meant}'?" if meant else "")
            known = "".join(f"\n  {name}: {text}" for name, text in ANSWERS.items())
            found.append(Problem(Code.USAGE, what, resolution=f"The answers are:{known}"))
    return found


def _problem(key: str, text: str) -> Problem | None:
    choices = _choices(key)
    if choices:
        if text in choices:
            return None
        meant = nearest(text, choices)
        what = f"{key} cannot be {shown(text)}" + (f"; did you mean '{meant}'?" if meant else "")
        return Problem(Code.USAGE, what, resolution=f"Use one of {', '.join(choices)}.")
    if key == "name":
        wrong = _name_problem(text)
        resolution = f"Use a name such as {_better_name(text)}."
    else:
        wrong = _text_problem(key, text) if key in ANSWERS else None
        resolution = f"Give {ANSWERS.get(key)}."
    return Problem(Code.USAGE, wrong, resolution=resolution) if wrong else None


def _name_problem(name: str) -> str | None:
    wrong = provider_id_problem(name)
    if wrong is not None:
        return wrong.replace("providerId", "the name", 1)
    package = name.replace("-", "_")
    if not name[0].isalpha():
        return f"the name {shown(name)} begins with a digit, which no Python package can"
    if keyword.iskeyword(package) or package in sys.stdlib_module_names or package in _TAKEN:
        return f"the name {shown(name)} is taken: Python knows another '{package}'"
    from lls_provider.wheels.servers import server_names

    if package in (taken := server_names()):
        return (
            f"the name {shown(name)} is taken: '{package}' would shadow that of the "
            f"server's {taken[package]}"
        )
    return None


def _better_name(name: str) -> str:
    with contextlib.suppress(SdkError):
        better = provider_id_from_name(name).lstrip("-0123456789")
        for candidate in (better, f"{better}-provider"):
            if better and _name_problem(candidate) is None:
                return candidate
    return "acme-echo"


def _text_problem(key: str, text: str) -> str | None:
    if not text.isprintable():
        return f"{key} must be one line of printable text, not {shown(text)}"
    if len(text) > _LIMIT:
        return f"{key} has {len(text)} characters; {_LIMIT} are allowed"
    if key == "maintainer":
        rule = metadata_rule("metadata", "maintainer")
        if text and not (rule.allows(text) and re.fullmatch(_EMAIL, text)):
            return f"maintainer cannot be {shown(text)}, expected {rule.about}"
    elif not text.strip():
        return f"{key} may not be empty"
    return None
