"""What a new project is made from: answers, the questions for them, and which are valid.

Nothing here reads or writes a file: `complete_answers` is given the defaults of the template and a
function that asks.
"""

from __future__ import annotations

import contextlib
import keyword
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from lls_provider.contract.models import provider_id_from_name, provider_id_problem
from lls_provider.contract.schema import shown
from lls_provider.errors import Code, Problem, SdkError, nearest_word
from lls_provider.project.pyproject import metadata_rule
from lls_provider.project.template_apis import template_apis

ANSWERS = {
    "name": "the provider's name, such as acme-echo; its type and providerId come from it",
    "api": "the API that it implements",
    "kind": "remote (it calls a service) or inline (it does the work itself)",
    "vendor": "the organisation that makes it",
    "description": "what it does, in one sentence",
    "maintainer": "a contact e-mail address, or nothing",
    "license": "its licence",
    "ci": "the systems that test, build and push it",
    "sdk": "what installs this SDK: a requirement with a bound, a git address or a URL",
    "sdk_index": "the index to install it from in place of PyPI, or nothing",
}
"""The answers by key, in the order of the questions."""

_ABOUT = {
    "kind": {
        "remote": "it calls a service",
        "inline": "it does the work itself",
    },
    "license": {
        "Apache-2.0": "permissive, with a grant of patents",
        "MIT": "permissive and short",
        "BSD-3-Clause": "permissive, and your name endorses nothing",
        "proprietary": "all rights reserved; PyPI refuses it",
        "none": "no licence file yet; PyPI refuses it",
    },
    "ci": {
        "all": "GitHub Actions, GitLab CI and Tekton",
        "github": "GitHub Actions",
        "gitlab": "GitLab CI",
        "tekton": "Tekton, with or without Pipelines as Code",
        "none": "no files for CI",
    },
}
UNASKED = {"sdk", "sdk_index"}
"""The answers that no question asks for: the template's defaults are for nearly everybody."""

_OPTIONAL = {"maintainer", "sdk_index"}
_LIMIT = 200  # characters of a text; it becomes one line of a file
_EMAIL = r"[^@\s<>\"]+@[^@\s<>\"]+"

# packages that would shadow those that servers and tests import
_TAKEN = {"llama_stack", "llama_stack_api", "ogx", "ogx_api", "pydantic", "pytest", "test", "tests"}


@dataclass(frozen=True, slots=True)
class Question:
    """A question for an answer that was not given.

    ``choices`` explains each answer, by answer. ``also`` says what else is wrong with an answer
    that is valid by itself. ``instead`` is how to answer without being asked.
    """

    key: str
    text: str
    default: str
    choices: Mapping[str, str] = field(default_factory=dict)
    also: Callable[[str], str | None] | None = None
    instead: str = "Give answers as key=value, with --no-input for the other defaults."

    def problem(self, answer: str) -> str | None:
        """Return what is wrong with an answer, in one sentence; None if it is valid."""
        found = answer_problem(self.key, answer, self.choices)
        if found is not None:
            return found.what
        return self.also(answer) if self.also is not None else None


Ask = Callable[[Question], str]


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
    given: Mapping[str, str],
    ask: Ask | None,
    defaults: Mapping[str, str],
    *,
    also: Mapping[str, Callable[[str], str | None]] = {},
) -> dict[str, str]:
    """Return all answers in order, checked; a missing one is asked for or takes its default.

    ``defaults`` are the template's. ``also`` has what a question checks beside the answer itself,
    by key (`Question.also`). Raises SdkError USAGE with every wrong answer.
    """
    _refuse([*_unknown(given), *(found for it in given.items() if (found := answer_problem(*it)))])
    answers: dict[str, str] = {}
    for key in ANSWERS:
        if key in given:
            answers[key] = given[key]
            continue
        question = _question(key, answers, defaults, also.get(key))
        # a single choice needs no question
        may_ask = ask is not None and key not in UNASKED and len(question.choices) != 1
        answers[key] = ask(question) if ask is not None and may_ask else question.default
        _refuse([found] if (found := answer_problem(key, answers[key])) else [])
    return answers


def choices(key: str) -> Mapping[str, str]:
    """Return what may answer a question, with an explanation each; nothing for a free text."""
    if key == "api":
        return {name: it.explanation for name, it in template_apis().items()}
    return _ABOUT.get(key, {})


def name_problem(name: str) -> str | None:
    """Return why a provider cannot have this name, in one sentence; None if it can."""
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


def _question(
    key: str,
    answers: Mapping[str, str],
    defaults: Mapping[str, str],
    also: Callable[[str], str | None] | None,
) -> Question:
    offered = choices(key)
    default = next(iter(offered), None) or defaults.get(key, "")
    if key == "kind":
        kinds = template_apis()[answers["api"]].kinds
        default = kinds[0]
        # one order for every API: who has learned it may answer without looking
        offered = {kind: about for kind, about in offered.items() if kind in kinds}
    elif key == "description":
        kind = answers["kind"].capitalize()
        default = f"{kind} {answers['api']} provider {answers['name']}"
    return Question(key, ANSWERS[key], default, offered, also)


def _unknown(given: Mapping[str, str]) -> list[Problem]:
    found = []
    for key in given:
        if key not in ANSWERS:
            meant = nearest_word(key, ANSWERS)
            what = f"unknown answer {shown(key)}" + (f"; did you mean '{meant}'?" if meant else "")
            known = "".join(f"\n  {name}: {text}" for name, text in ANSWERS.items())
            found.append(Problem(Code.USAGE, what, resolution=f"The answers are:{known}"))
    return found


def answer_problem(key: str, text: str, offered: Collection[str] | None = None) -> Problem | None:
    """Return what is wrong with an answer, and what to do; None if it is valid.

    ``offered`` are the choices (default: all that there are for ``key``).
    """
    if offered := choices(key) if offered is None else offered:
        if text in offered:
            return None
        meant = nearest_word(text, offered)
        what = f"{key} cannot be {shown(text)}" + (f"; did you mean '{meant}'?" if meant else "")
        return Problem(Code.USAGE, what, resolution=f"Use one of {', '.join(offered)}.")
    if key == "name":
        wrong = name_problem(text)
        resolution = f"Use a name such as {_better_name(text)}."
    else:
        wrong = _text_problem(key, text) if key in ANSWERS else None
        resolution = f"Give {ANSWERS.get(key)}."
    return Problem(Code.USAGE, wrong, resolution=resolution) if wrong else None


def _better_name(name: str) -> str:
    with contextlib.suppress(SdkError):
        better = provider_id_from_name(name).lstrip("-0123456789")
        for candidate in (better, f"{better}-provider"):
            if better and name_problem(candidate) is None:
                return candidate
    return "acme-echo"


def _text_problem(key: str, text: str) -> str | None:
    if not text.isprintable():
        return f"{key} must be one line of printable text, not {shown(text)}"
    if len(text) > _LIMIT:
        return f"{key} has {len(text)} characters; {_LIMIT} are allowed"
    if not text.strip():
        return None if key in _OPTIONAL and not text else f"{key} may not be empty"
    if key == "maintainer":
        rule = metadata_rule("metadata", "maintainer")
        if not (rule.allows(text) and re.fullmatch(_EMAIL, text)):
            return f"maintainer cannot be {shown(text)}, expected {rule.about}"
    if key == "sdk":
        return _sdk_problem(text)
    if key == "sdk_index":
        return _address_problem(key, text)
    return None


def _sdk_problem(text: str) -> str | None:
    """Return why pip could not install this, or should not: a file of the project will hold it."""
    from packaging.requirements import InvalidRequirement, Requirement

    address = text if "://" in text.partition("@")[0] else None
    if address is None:
        try:
            address = Requirement(text).url
        except InvalidRequirement:
            return f"sdk cannot be {shown(text)}, expected a requirement, a git address or a URL"
    return _address_problem("sdk", address) if address is not None else None


def _address_problem(key: str, text: str) -> str | None:
    try:
        parts = urlsplit(text)
        secret = parts.password is not None
    except ValueError:
        return f"{key} cannot be {shown(text)}, expected an address such as https://index.example"
    if secret:
        return f"{key} has a password in it, which is not for a file that is committed"
    schemes = {"https", "http", "file"}
    if key == "sdk":
        schemes |= {"git+https", "git+ssh", "git+file", "git+http"}
    if parts.scheme not in schemes or not (parts.netloc or parts.path):
        return f"{key} cannot be {shown(text)}, expected an address such as https://index.example"
    return None
