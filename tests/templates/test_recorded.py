"""The versions of the template that releases recorded lead to the current one, whatever the API."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.factories.template_versions import commit, git, make_project, tree
from tools.record_template import contents, record

from lls_provider.project.answers import ANSWERS
from lls_provider.project.scaffold import scaffold
from lls_provider.project.template import Template, TemplateVersions
from lls_provider.project.template_apis import template_apis
from lls_provider.project.update import update_project

VERSIONS = TemplateVersions.shipped()


def made(template: Template) -> Iterator[dict[str, str]]:
    """Answers that a version of the template was made for: one set for each API."""
    context = template.context
    for api in context["api"]:
        plain = {key: text for key, text in context.items() if isinstance(text, str)}
        known = {key: text for key, text in plain.items() if key in ANSWERS and "{" not in text}
        yield {
            **known,
            "api": api,
            "kind": template_apis()[api].kinds[0],
            "description": f"A provider for {api}.",
            **({"license": context["license"][0]} if "license" in context else {}),
        }


def recorded() -> list[tuple[int, dict[str, str]]]:
    found = []
    for version in VERSIONS.recorded:
        with VERSIONS.opened(version) as template:
            assert template is not None
            found += [(version, answers) for answers in made(template)]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("version", "answers"), recorded(), ids=lambda it: str(it)[:60])
def test_an_untouched_project_becomes_what_new_makes(
    tmp_path: Path, version: int, answers: dict[str, str]
) -> None:
    project = make_project(VERSIONS, version, tmp_path / "old", answers)
    result = update_project(project)
    assert result.merge is not None
    assert result.merge.conflicts == ()
    commit(project)
    assert update_project(project).merge is None
    fresh = scaffold(tmp_path / "new", answers)
    assert tree(project) == tree(fresh.path)


def test_an_authors_implementation_is_kept(tmp_path: Path) -> None:
    version, answers = recorded()[0]
    project = make_project(VERSIONS, version, tmp_path, answers)
    mine = {
        "src/acme_echo/mine.py": b"MINE = 1\n",
        "src/acme_echo/__init__.py": b'"""Mine."""\n',
        "tests/test_mine.py": b"def test_mine() -> None: ...\n",
    }
    for name, data in mine.items():
        (project / name).write_bytes(data)
    commit(project)
    result = update_project(project)
    assert result.merge is not None
    assert result.merge.conflicts == ()
    assert {name: (project / name).read_bytes() for name in mine} == mine
    assert git(project, "diff", "--name-only", "HEAD") != ""


def test_the_newest_record_is_of_the_current_version_or_of_an_earlier_one() -> None:
    newest = VERSIONS.recorded[-1]
    assert VERSIONS.recorded == tuple(range(1, newest + 1))
    assert newest <= VERSIONS.current.version
    if newest == VERSIONS.current.version:
        with VERSIONS.opened(newest) as template:
            assert template is not None
            assert contents(template.directory) == contents(VERSIONS.current_directory)


def test_a_record_holds_what_was_there(tmp_path: Path) -> None:
    versions = TemplateVersions(VERSIONS.current_directory, tmp_path / "recorded")
    archive = record(versions)
    assert archive is not None
    with versions.opened(VERSIONS.current.version) as template:
        assert template is not None
        assert contents(template.directory) == contents(VERSIONS.current_directory)
    assert zipfile.ZipFile(archive).testzip() is None
