"""Brings a later version of the template into a project that `scaffold` made.

A project records the version of the template and the answers that it was made from. So what it
looked like when it was made can be rendered again, and what the template changed since then is
merged into what the author made of it (`tree_merge`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.contract.schema import shown
from lls_provider.errors import Code, Problem, SdkError, Where
from lls_provider.progress import SILENT, Progress, counted
from lls_provider.project.answers import ANSWERS, answer_problem, complete_answers
from lls_provider.project.pyproject import load_pyproject
from lls_provider.project.settings import TABLE
from lls_provider.project.template import IDENTIFIERS, Template, TemplateVersions, render
from lls_provider.project.toml_values import value_at
from lls_provider.project.tree_merge import CommittedProject, TreeMerge
from lls_provider.system.cache import scratch

if TYPE_CHECKING:
    from lls_provider.project.answers import Ask
    from lls_provider.project.pyproject import PyProject

_TABLE = (*TABLE, "template")
_RESTORE = (
    "Restore the table from the project's history (`git log -p -- pyproject.toml` has it). A "
    "project that `lls-provider new` did not make has no template: make one beside it, and copy "
    "what you need."
)


@dataclass(frozen=True, slots=True)
class ProjectUpdate:
    """What an update did, or, of a dry run, what it would do.

    ``merge`` is None if the project has the current template and these answers already. ``dropped``
    are recorded answers that the current template does not ask for.
    """

    path: Path
    before: int
    after: int
    merge: TreeMerge | None = None
    dropped: tuple[str, ...] = ()
    dry: bool = False

    def to_document(self) -> dict[str, Any]:
        """Return the result as plain data, for ``--format json``."""
        files = self.merge.files if self.merge is not None else {}
        conflicts = self.merge.conflicts if self.merge is not None else ()
        return {
            "dry_run": self.dry,
            "path": str(self.path),
            "before": self.before,
            "after": self.after,
            "files": [{"path": str(path), "change": kind} for path, kind in files.items()],
            "conflicts": [
                {"path": str(it.path), "message": it.message or "it was changed in two ways"}
                for it in conflicts
            ],
            "dropped": list(self.dropped),
        }

    def conflict_error(self) -> SdkError | None:
        """Return the error that lists the files that git could not merge; None without any."""
        if self.merge is None or not self.merge.conflicts:
            return None
        found = self.merge.conflicts
        would = "would leave" if self.dry else "left"
        return SdkError(
            Code.UPDATE_CONFLICT,
            f"The update {would} {counted(len(found), 'file')} in conflict",
            problems=[
                Problem(
                    Code.UPDATE_CONFLICT,
                    it.message or "it was changed in two ways",
                    Where(file=str(self.path / it.path)),
                )
                for it in found
            ],
            where=Where(file=str(self.path)),
            resolution="Update without --dry-run, then resolve them as after a merge: correct each "
            "file between its conflict markers and `git add` it."
            if self.dry
            else "Correct each file between its conflict markers and `git add` it, as after a "
            "merge; then commit. `git checkout --theirs FILE` takes the template's, "
            "`git checkout --ours FILE` yours.",
        )


def update_project(
    path: Path,
    answers: Mapping[str, str] = {},
    *,
    ask: Ask | None = None,
    dry: bool = False,
    versions: TemplateVersions | None = None,
    progress: Progress = SILENT,
) -> ProjectUpdate:
    """Merge the current template into the project at ``path``; conflicts are in the result.

    ``answers`` replace recorded ones. What the project was never asked is asked for with ``ask``
    or takes its default. With ``dry`` nothing is written. Raises SdkError TEMPLATE_UNKNOWN if the
    project does not say which known version it was made from, PROJECT_UNCOMMITTED if it is not
    committed, USAGE for a wrong answer, and TOOL_MISSING or TOOL_FAILED if git cannot do it; the
    project is then as it was.
    """
    versions = versions or TemplateVersions.shipped()
    current = versions.current
    pyproject = load_pyproject(path)
    version, recorded = _recorded(pyproject)
    if version > current.version:
        raise _later(pyproject, version, current.version)
    known = {key: text for key, text in recorded.items() if key in ANSWERS}
    wanted = complete_answers({**known, **answers}, ask, current.context)
    dropped = tuple(key for key in recorded if key not in ANSWERS)
    if version == current.version and wanted == recorded:
        return ProjectUpdate(path, version, version, dropped=dropped, dry=dry)
    project = CommittedProject.of(path)
    progress.step(f"merging version {current.version} of the template into {path}")
    with scratch("update") as temporary, versions.opened(version) as made_from:
        if made_from is None:
            raise _unknown(pyproject, version, versions)
        _require_known(pyproject, made_from, recorded)
        for name in ("before", "after", "merge"):
            (temporary / name).mkdir()
        merge = project.merge(
            render(made_from, recorded, temporary / "before"),
            render(current, wanted, temporary / "after"),
            f"template-{current.version}",
            temporary / "merge",
            dry=dry,
        )
        project.require_free(merge)
        if not dry:
            project.apply(merge, temporary)
    return ProjectUpdate(path, version, current.version, merge, dropped, dry)


def _recorded(pyproject: PyProject) -> tuple[int, dict[str, str]]:
    """Return the version and the answers that a project records. Raises TEMPLATE_UNKNOWN."""
    table = value_at(pyproject.data, *_TABLE)
    title = f"[{'.'.join(_TABLE)}]"
    if not isinstance(table, dict):
        raise SdkError(
            Code.TEMPLATE_UNKNOWN,
            f"{pyproject.source} does not say which template the project was made from",
            why=f"It has no table {title}, which `lls-provider new` writes.",
            where=Where(file=pyproject.source),
            resolution=_RESTORE,
        )
    version, answers = table.get("version"), table.get("answers")
    if not isinstance(version, int) or isinstance(version, bool):
        raise _wrong(pyproject, f"version is {shown(version)}, not a number", "version")
    if not isinstance(answers, dict) or not all(isinstance(it, str) for it in answers.values()):
        raise _wrong(pyproject, "answers is not a table of texts", "answers")
    return version, answers


def _require_known(pyproject: PyProject, template: Template, recorded: Mapping[str, str]) -> None:
    """Refuse recorded answers that become names of files, and that this version does not take."""
    for key in IDENTIFIERS:
        text, offered = recorded.get(key), template.context.get(key)
        if text is None or (isinstance(offered, list) and text in offered):
            continue
        if isinstance(offered, list) or answer_problem(key, text) is not None:
            why = f"the answer {key} is {shown(text)}, which that template does not take"
            raise _wrong(pyproject, why, "answers", key)


def _wrong(pyproject: PyProject, why: str, *keys: str) -> SdkError:
    return SdkError(
        Code.TEMPLATE_UNKNOWN,
        f"{pyproject.source} does not say which template the project was made from",
        why=f"In [{'.'.join(_TABLE)}] {why}.",
        where=pyproject.where((*_TABLE, *keys)),
        resolution=_RESTORE,
    )


def _later(pyproject: PyProject, version: int, current: int) -> SdkError:
    return SdkError(
        Code.TEMPLATE_UNKNOWN,
        f"The project was made from version {version} of the template, and this SDK has {current}",
        where=pyproject.where((*_TABLE, "version")),
        resolution="Install a later lls-provider-sdk, such as with "
        "`python -m pip install --upgrade lls-provider-sdk`.",
    )


def _unknown(pyproject: PyProject, version: int, versions: TemplateVersions) -> SdkError:
    known = sorted({*versions.recorded, versions.current.version})
    return SdkError(
        Code.TEMPLATE_UNKNOWN,
        f"There is no version {version} of the template",
        why=f"There are: {', '.join(map(str, known))}.",
        where=pyproject.where((*_TABLE, "version")),
        resolution=_RESTORE,
    )
