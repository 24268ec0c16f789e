"""Makes a new provider project from the template (``templates/provider``, cookiecutter)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lls_provider import resources
from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import SILENT, Progress
from lls_provider.project.answers import Ask, Question, complete_answers, name_of_folder
from lls_provider.system.cache import scratch
from lls_provider.system.files import output_directory, wrapping_write_errors

TEMPLATE = "templates/provider"
_WHAT = "the project"
# what the template derives other values from; checked to hold nothing that is special anywhere
_IDENTIFIERS = ("name", "api", "kind", "license")


@dataclass(frozen=True, slots=True)
class ScaffoldedProject:
    """A project that was made, and the answers it was made from."""

    path: Path
    answers: Mapping[str, str]


def scaffold(
    directory: Path | None,
    answers: Mapping[str, str],
    *,
    interactive: bool = False,
    ask: Ask | None = None,
    progress: Progress = SILENT,
) -> ScaffoldedProject:
    """Make a project in ``directory`` (default: a directory of the provider's name).

    What ``answers`` leaves open is asked with ``ask`` (on the terminal when ``interactive``), or
    takes its default; the default of ``name`` is the directory's. The project records template
    version and answers. The user's own cookiecutter settings have no influence. Raises SdkError
    USAGE for unknown or wrong answers, TARGET_EXISTS when the directory holds anything, NO_SPACE,
    OUTPUT_UNWRITABLE; nothing is left behind then.
    """
    if directory is not None:
        _require_empty(directory)
    if interactive and ask is None:
        ask = _prompt
    context = _context()
    suggested = name_of_folder(directory) if directory is not None else None
    found = complete_answers(answers, ask, {**context, "name": suggested or context["name"]})
    target = directory if directory is not None else Path(found["name"])
    _require_empty(target)
    progress.step(f"making {found['name']} in {target}")
    with scratch("new") as folder:
        _place(_render(context, found, folder), target)
    return ScaffoldedProject(target, found)


def _context() -> dict[str, Any]:
    context: dict[str, Any] = json.loads(resources.read_data(f"{TEMPLATE}/cookiecutter.json"))
    return context


def _prompt(question: Question) -> str:
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


def _render(context: Mapping[str, Any], answers: Mapping[str, str], folder: Path) -> Path:
    """The project as cookiecutter renders it, in a directory of its own below ``folder``.

    No configuration of the user's is read and no hook run. Derived values come from identifiers
    only, and the other answers go in afterwards: braces in a text are never a template.
    """
    from cookiecutter.generate import generate_files
    from cookiecutter.prompt import prompt_for_config

    identifiers = {key: answers[key] for key in _IDENTIFIERS}
    derived = prompt_for_config({"cookiecutter": {**context, **identifiers}}, no_input=True)
    rendered = generate_files(
        repo_dir=str(resources.data_path(TEMPLATE)),
        context={"cookiecutter": {**derived, **answers}},
        output_dir=str(folder),
        accept_hooks=False,
    )
    return Path(rendered)


def _require_empty(directory: Path) -> None:
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
    """Publish the project; an empty directory is filled, since a shell may be in it."""
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


def _clear(folder: Path) -> None:
    """Empty a directory that was empty before."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
