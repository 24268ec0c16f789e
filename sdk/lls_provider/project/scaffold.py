"""Makes a new provider project from the template (`project.template`).

`scaffold` completes the answers (`project.answers`) and renders the template with them.
"""

from __future__ import annotations

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
    if directory is not None:
        _require_empty(directory)
    template = TemplateVersions.shipped().current
    context = template.context
    suggested = _suggested_name(directory) if directory is not None else None
    found = complete_answers(answers, ask, {**context, "name": suggested or context["name"]})
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
    return name if name_problem(name) is None else None
