"""Makes a new provider project from the template (`project.template`).

`scaffold` completes the answers (`project.answers`) and renders the template with them.
"""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.errors import Code, SdkError, Where
from lls_provider.project.answers import complete_answers, name_problem
from lls_provider.project.template import TemplateVersions, render

if TYPE_CHECKING:
    from lls_provider.progress import Progress
    from lls_provider.project.answers import Ask

_WHAT = "the project"


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
    ask: Ask | None = None,
    dry: bool = False,
    progress: Progress | None = None,
) -> ScaffoldedProject:
    """Make a project in ``directory`` (default: a directory of the provider's name).

    A missing answer is asked for with ``ask``, or takes its default; that of ``name`` is the
    directory's name. With ``dry`` nothing is written. The project records the template's version
    and the answers. The user's cookiecutter configuration is not read. Raises SdkError USAGE for
    unknown or wrong answers, TARGET_EXISTS when the directory is not empty, NO_SPACE or
    OUTPUT_UNWRITABLE, and what ``ask`` raises; no files remain then.
    """
    # before the first question: what was answered would be lost
    if directory is not None:
        _require_empty(directory)
    elif "name" in answers and name_problem(answers["name"]) is None:
        _require_empty(Path(answers["name"]))
    template = TemplateVersions.shipped().current
    context = template.context
    suggested = _suggested_name(directory) if directory is not None else None
    defaults = {**context, "name": suggested or context["name"]}
    also = {"name": _occupied_name} if directory is None else {}
    found = complete_answers(answers, ask, defaults, also=also)
    target = directory if directory is not None else Path(found["name"])
    _require_empty(target)
    if progress is not None and not dry:
        progress.step(f"making {found['name']} in {target}")
    from lls_provider.system.cache import scratch

    with scratch("new") as temporary:
        rendered = render(template, found, temporary)
        made = (it.relative_to(rendered) for it in rendered.rglob("*") if it.is_file())
        files = tuple(sorted(map(str, made)))
        if not dry:
            _place(rendered, target)
    return ScaffoldedProject(target, found, files, dry)


def _require_empty(directory: Path) -> None:
    occupied = _occupied(directory)
    if occupied is None:
        return
    free = _free_beside(directory)
    # a relative path with '=' would be read as an answer
    shown = shlex.quote(str(free.absolute() if "=" in str(free) else free))
    raise SdkError(
        Code.TARGET_EXISTS,
        occupied,
        why="A new project is only written where nothing could be lost.",
        where=Where(file=str(directory)),
        resolution=f"Name a directory that does not exist or is empty: `lls-provider new {shown}`.",
    )


def _occupied_name(name: str) -> str | None:
    """Return why no project can be made in a directory of this name, here; None if one can."""
    occupied = _occupied(Path(name))
    return f"{occupied}; {_free_beside(Path(name))} is free" if occupied else None


def _occupied(directory: Path) -> str | None:
    """Return what is in the way. Raises SdkError OUTPUT_UNWRITABLE if that cannot be read."""
    from lls_provider.system.files import wrapping_write_errors

    with wrapping_write_errors(directory, _WHAT):
        if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
            return None
        return f"{directory} is not empty" if directory.is_dir() else f"{directory} is a file"


def _free_beside(directory: Path) -> Path:
    """Return a path near ``directory`` where nothing is: acme-echo-2 for acme-echo."""
    if directory.name in ("", ".."):  # the working directory, or one above it
        directory = directory / "acme-echo"
    numbered = (directory.with_name(f"{directory.name}-{it}") for it in itertools.count(2))
    return next(it for it in itertools.chain([directory], numbered) if not os.path.lexists(it))


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
    return name if name_problem(name) is None else None
