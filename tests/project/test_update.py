"""`new --update` over three versions of a small template: nothing of the author's is lost."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories.template_versions import (
    ANSWERS,
    CHANGED,
    LINES,
    commit,
    git,
    make_first_project,
    make_project,
    readme,
    tree,
    write_versions,
)

from lls_provider.errors import Code, SdkError
from lls_provider.project.template import TemplateVersions
from lls_provider.project.update import ProjectUpdate, update_project

if TYPE_CHECKING:
    from lls_provider.project.answers import Question

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> TemplateVersions:
    return write_versions(tmp_path_factory.mktemp("versions"))


@pytest.fixture
def project(versions: TemplateVersions, tmp_path: Path) -> Path:
    """A project of the first version, committed."""
    return make_project(versions, 1, tmp_path)


def update(project: Path, versions: TemplateVersions, *, dry: bool = False) -> ProjectUpdate:
    return update_project(project, versions=versions, dry=dry)


def refused(project: Path, versions: TemplateVersions, answers: Mapping[str, str] = {}) -> SdkError:
    before = tree(project), git_state(project)
    with pytest.raises(SdkError) as caught:
        update_project(project, answers, versions=versions)
    assert (tree(project), git_state(project)) == before
    return caught.value


def git_state(project: Path) -> str:
    """What git says of a project, if it is in a repository."""
    inside = any((it / ".git").exists() for it in (project, *project.absolute().parents))
    return git(project, "status", "--porcelain", "--ignored") if inside else ""


def made_from(versions: TemplateVersions, version: int, directory: Path) -> Path:
    return make_project(versions, version, directory, {**ANSWERS, "license": "Apache-2.0"})


def test_without_changes_of_the_author_it_is_what_new_makes(
    versions: TemplateVersions, tmp_path: Path
) -> None:
    for version in (1, 2):
        project = make_project(versions, version, tmp_path / str(version))
        result = update(project, versions)
        assert result.merge is not None
        assert result.merge.conflicts == ()
        commit(project)
        again = update(project, versions)
        assert again.merge is None or not again.merge.files
        fresh = make_project(versions, 3, tmp_path / f"fresh-{version}", answers_of(project))
        assert tree(project) == tree(fresh)


def answers_of(project: Path) -> dict[str, str]:
    import tomllib

    document = tomllib.loads((project / "pyproject.toml").read_text())
    answers: dict[str, str] = document["tool"]["lls-provider"]["template"]["answers"]
    return answers


def test_every_kind_of_change_arrives(project: Path, versions: TemplateVersions) -> None:
    result = update(project, versions)
    assert result.merge is not None
    assert result.merge.files == {
        "README.md": "changed",
        "added/LICENSE": "added",
        "data/logo.bin": "changed",
        "gone.txt": "deleted",
        "new_name.py": "added",
        "old_name.py": "deleted",
        "pyproject.toml": "changed",
        "tool.sh": "changed",
    }
    assert os.access(project / "tool.sh", os.X_OK)
    assert git(project, "diff") == ""  # all of it is staged, as by `git merge --no-commit`
    assert (result.before, result.after) == (1, 3)


def test_what_undoes_it_leaves_nothing(project: Path, versions: TemplateVersions) -> None:
    before = tree(project)
    update(project, versions)
    assert tree(project) != before
    git(project, "restore", "--source=HEAD", "--staged", "--worktree", ".")
    assert tree(project) == before
    assert git_state(project) == ""


def test_two_steps_are_one(versions: TemplateVersions, tmp_path: Path) -> None:
    second = TemplateVersions(versions.current_directory.parent / "2", versions.recorded_directory)
    slow, fast = (make_project(versions, 1, tmp_path / name) for name in ("slow", "fast"))
    update(slow, second)
    commit(slow)
    update(slow, versions)
    update(fast, versions)
    assert tree(slow) == tree(fast)


def test_a_dry_run_shows_the_diff_and_writes_nothing(
    project: Path, versions: TemplateVersions
) -> None:
    objects = {it for it in (project / ".git").rglob("*") if it.is_file()}
    before, state = tree(project), (project / ".git" / "index").read_bytes()
    result = update(project, versions, dry=True)
    assert result.merge is not None
    assert "-line 20\n+line 20 of version 2\n" in result.merge.diff
    assert "rename from old_name.py\nrename to new_name.py\n" in result.merge.diff
    assert "old mode 100644\nnew mode 100755\n" in result.merge.diff
    assert tree(project) == before
    assert (project / ".git" / "index").read_bytes() == state
    assert {it for it in (project / ".git").rglob("*") if it.is_file()} == objects


def test_the_same_version_changes_nothing_outside_git_too(
    versions: TemplateVersions, tmp_path: Path
) -> None:
    answers = complete(versions)
    project = make_project(versions, 3, tmp_path, answers)
    shutil.rmtree(project / ".git")
    before = tree(project)
    assert update(project, versions).merge is None
    assert tree(project) == before


def complete(versions: TemplateVersions) -> dict[str, str]:
    from lls_provider.project.answers import complete_answers

    return complete_answers(ANSWERS, None, versions.current.context)


def test_a_new_question_is_asked_and_answered(project: Path, versions: TemplateVersions) -> None:
    asked: list[str] = []

    def ask(question: Question) -> str:
        asked.append(question.key)
        return "none" if question.key == "license" else question.default

    update_project(project, ask=ask, versions=versions)
    assert "license" in asked
    assert not set(asked) & set(ANSWERS)
    assert (project / "added" / "LICENSE").read_text() == "none\n"
    assert answers_of(project)["license"] == "none"


def test_another_answer_changes_what_comes_from_it(
    versions: TemplateVersions, tmp_path: Path
) -> None:
    project = make_project(versions, 3, tmp_path, complete(versions))
    result = update_project(project, {"description": "Says it again."}, versions=versions)
    assert result.merge is not None
    assert result.merge.files == {"pyproject.toml": "changed"}
    assert 'description = "Says it again."\n\n' in (project / "pyproject.toml").read_text()
    assert answers_of(project)["description"] == "Says it again."


def test_an_answer_that_is_no_longer_asked_is_dropped(
    project: Path, versions: TemplateVersions
) -> None:
    file = project / "pyproject.toml"
    file.write_text(f'{file.read_text()}colour = "red"\n')
    commit(project)
    assert update(project, versions).dropped == ("colour",)


# conflicts, as git has them


def conflicts(result: ProjectUpdate) -> dict[str, str]:
    assert result.merge is not None
    return {it.path: it.message for it in result.merge.conflicts}


def test_one_line_changed_in_two_ways_is_marked(project: Path, versions: TemplateVersions) -> None:
    file = project / "README.md"
    file.write_text(file.read_text().replace("line 20\n", "my line\n"))
    commit(project)
    result = update(project, versions)
    assert list(conflicts(result)) == ["README.md"]
    text = file.read_text()
    assert "<<<<<<< yours\nmy line\n|||||||" in text
    assert "\nline 20\n=======\nline 20 of version 2\n>>>>>>> template-3\n" in text
    assert "line 30 of version 3\n" in text  # what does not conflict is merged
    assert "UU README.md" in git(project, "status", "--porcelain")
    error = result.conflict_error()
    assert error is not None
    assert error.code is Code.UPDATE_CONFLICT
    assert error.problems[0].where.file == str(file)


@pytest.mark.parametrize("side", ["theirs", "ours"])
def test_following_the_advice_resolves_a_conflict(
    project: Path, versions: TemplateVersions, side: str
) -> None:
    file = project / "README.md"
    file.write_text(file.read_text().replace("line 20\n", "my line\n"))
    commit(project)
    error = update(project, versions).conflict_error()
    assert error is not None
    assert f"`git checkout --{side} FILE`" in error.resolution
    git(project, "checkout", f"--{side}", "README.md")
    git(project, "add", "README.md")
    commit(project)
    assert ("line 20 of version 2\n" if side == "theirs" else "my line\n") in file.read_text()
    again = update(project, versions)
    assert again.merge is None or not again.merge.files


def test_a_dry_run_says_what_would_conflict(project: Path, versions: TemplateVersions) -> None:
    (project / "README.md").write_text("mine\n")
    commit(project)
    error = update(project, versions, dry=True).conflict_error()
    assert error is not None
    assert error.what == "The update would leave 1 file in conflict"
    assert git_state(project) == ""
    error = update(project, versions).conflict_error()  # as it advises
    assert error is not None
    assert error.what == "The update left 1 file in conflict"


def test_a_binary_file_keeps_the_authors_and_has_the_templates_in_the_index(
    project: Path, versions: TemplateVersions
) -> None:
    logo = project / "data" / "logo.bin"
    logo.write_bytes(b"\0mine")
    commit(project)
    assert "data/logo.bin" in conflicts(update(project, versions))
    assert logo.read_bytes() == b"\0mine"
    git(project, "checkout", "--theirs", "data/logo.bin")
    assert logo.read_bytes()[-1] == 3


def test_a_file_that_the_author_changed_and_the_template_deleted_stays(
    project: Path, versions: TemplateVersions
) -> None:
    (project / "gone.txt").write_text("mine\n")
    commit(project)
    found = conflicts(update(project, versions))
    assert "modify/delete" in found["gone.txt"]
    assert (project / "gone.txt").read_text() == "mine\n"


def test_a_file_that_the_author_deleted_and_the_template_changed_is_told(
    project: Path, versions: TemplateVersions
) -> None:
    (project / "README.md").unlink()
    commit(project)
    assert "modify/delete" in conflicts(update(project, versions))["README.md"]


def test_a_deleted_file_that_the_template_leaves_alone_stays_deleted(
    project: Path, versions: TemplateVersions
) -> None:
    (project / "equal.txt").unlink()
    commit(project)
    assert conflicts(update(project, versions)) == {}
    assert not (project / "equal.txt").exists()


def test_a_file_that_the_author_renamed_gets_what_the_template_changes(
    project: Path, versions: TemplateVersions
) -> None:
    (project / "README.md").rename(project / "ABOUT.md")
    commit(project)
    assert conflicts(update(project, versions)) == {}
    assert not (project / "README.md").exists()
    assert (project / "ABOUT.md").read_text().splitlines() == readme(3)


def test_a_file_that_the_template_renamed_keeps_what_the_author_changed(
    project: Path, versions: TemplateVersions
) -> None:
    file = project / "old_name.py"
    file.write_text(file.read_text().replace("return 15\n", "return 'mine'\n"))
    commit(project)
    assert conflicts(update(project, versions)) == {}
    assert not file.exists()
    text = (project / "new_name.py").read_text()
    assert "return 'mine'\n" in text
    assert "return 300\n" in text


def test_an_added_file_that_the_author_has_too_conflicts(
    project: Path, versions: TemplateVersions
) -> None:
    (project / "added").mkdir()
    (project / "added" / "LICENSE").write_text("mine\n")
    commit(project)
    assert list(conflicts(update(project, versions))) == ["added/LICENSE"]
    assert "<<<<<<< yours\nmine\n" in (project / "added" / "LICENSE").read_text()


def test_a_directory_where_the_template_adds_a_file_stays(
    project: Path, versions: TemplateVersions
) -> None:
    (project / "new_name.py").mkdir()
    (project / "new_name.py" / "mine").touch()
    commit(project)
    assert conflicts(update(project, versions))
    assert (project / "new_name.py" / "mine").exists()


def test_the_authors_mode_and_link_stay(project: Path, versions: TemplateVersions) -> None:
    (project / "README.md").chmod(0o755)
    (project / "equal.txt").unlink()
    (project / "equal.txt").symlink_to("README.md")
    commit(project)
    assert conflicts(update(project, versions)) == {}
    assert stat.S_IMODE((project / "README.md").stat().st_mode) == 0o755
    assert (project / "equal.txt").readlink() == Path("README.md")
    assert (project / "README.md").read_text().splitlines() == readme(3)


def test_a_project_below_the_root_of_its_repository(
    versions: TemplateVersions, tmp_path: Path
) -> None:
    project = make_project(versions, 1, tmp_path / "repository" / "pröviders")
    shutil.rmtree(project / ".git")
    (tmp_path / "repository" / "README.md").write_text("of the repository\n")
    (project / "README.md").write_text("mine\n")
    commit(tmp_path / "repository")
    (tmp_path / "repository" / "elsewhere").write_text("not committed\n")
    assert list(conflicts(update(project, versions))) == ["README.md"]
    assert (tmp_path / "repository" / "README.md").read_text() == "of the repository\n"
    shown = git(project, "-c", "core.quotePath=false", "status", "--porcelain")
    assert "UU pröviders/acme-echo/README.md\n" in shown
    assert "?? elsewhere\n" in shown
    assert "A  pröviders/acme-echo/added/LICENSE\n" in shown
    assert os.access(project / "tool.sh", os.X_OK)


def test_a_worktree_of_a_repository_with_long_hashes(
    project: Path, versions: TemplateVersions, tmp_path: Path
) -> None:
    shutil.rmtree(project / ".git")
    git(project, "init", "--quiet", "--object-format=sha256")
    (project / "README.md").write_text("mine\n")
    commit(project)
    git(project, "worktree", "add", "--quiet", str(tmp_path / "other"))
    assert list(conflicts(update(tmp_path / "other", versions))) == ["README.md"]
    assert "UU README.md\n" in git(tmp_path / "other", "status", "--porcelain")
    assert git_state(project) == ""


# what is refused, with nothing touched


@pytest.mark.parametrize("change", ["untracked", "changed", "staged", "deleted"])
def test_a_dirty_tree_is_not_touched(
    project: Path, versions: TemplateVersions, change: str
) -> None:
    if change == "deleted":
        (project / "equal.txt").unlink()
    else:
        name = "equal.txt" if change == "changed" else "mine.txt"
        (project / name).write_text("mine\n")
    if change == "staged":
        git(project, "add", "--all")
    error = refused(project, versions)
    assert error.code is Code.PROJECT_UNCOMMITTED
    assert ("mine.txt" if change in ("untracked", "staged") else "equal.txt") in error.why
    # either way of the resolution
    if change == "untracked":
        git(project, "stash", "--include-untracked")
    else:
        commit(project)
    assert conflicts(update(project, versions)) == {}


def test_a_project_outside_git_is_refused_until_it_is_committed(
    project: Path, versions: TemplateVersions
) -> None:
    shutil.rmtree(project / ".git")
    error = refused(project, versions)
    assert error.code is Code.PROJECT_UNCOMMITTED
    assert "git init && git add --all && git commit" in error.resolution
    commit(project)
    assert conflicts(update(project, versions)) == {}


def test_a_repository_without_a_commit_is_refused(
    project: Path, versions: TemplateVersions
) -> None:
    shutil.rmtree(project / ".git")
    git(project, "init", "--quiet")
    assert refused(project, versions).what.endswith("has uncommitted changes")


def test_a_project_that_its_repository_ignores_is_refused(
    versions: TemplateVersions, tmp_path: Path
) -> None:
    project = make_project(versions, 1, tmp_path)
    shutil.rmtree(project / ".git")
    (tmp_path / ".gitignore").write_text("acme-echo/\n")
    commit(tmp_path)
    error = refused(project, versions)
    assert (error.code, error.why) == (Code.PROJECT_UNCOMMITTED, "Its repository ignores it.")


@pytest.mark.parametrize("obstacle", ["file", "link", "parent"])
def test_a_file_that_git_ignores_is_not_written_over(
    project: Path, versions: TemplateVersions, tmp_path: Path, obstacle: str
) -> None:
    (project / ".gitignore").write_text("/added\n")
    commit(project)
    place = project / "added"
    if obstacle == "parent":
        (tmp_path / "outside").mkdir()
        place.symlink_to(tmp_path / "outside")
    else:
        place.mkdir()
        file = place / "LICENSE"
        file.write_text("mine\n") if obstacle == "file" else file.symlink_to("nowhere")
    error = refused(project, versions)
    assert error.code is Code.PROJECT_UNCOMMITTED
    assert error.why == "added/LICENSE"
    place.rename(tmp_path / "moved")  # as it advises
    assert conflicts(update(project, versions)) == {}
    assert (place / "LICENSE").read_text() == "Apache-2.0\n"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("[tool.lls-provider.template]", "[tool.other]", "does not say which template"),
        ("version = 1\n", "version = 17\n", "was made from version 17 of the template"),
        ("version = 1\n", "version = 0\n", "There is no version 0 of the template"),
        ("version = 1\n", 'version = "1"\n', "does not say which template"),
        ('vendor = "Acme"', "vendor = 1", "does not say which template"),
    ],
)
def test_an_unknown_origin_is_refused(
    project: Path, versions: TemplateVersions, old: str, new: str, what: str
) -> None:
    file = project / "pyproject.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new).replace("[tool.lls-provider.template.", "[tool.a."))
    if new != "[tool.other]":
        file.write_text(text.replace(old, new))
    commit(project)
    error = refused(project, versions)
    assert error.code is Code.TEMPLATE_UNKNOWN
    assert what in error.what
    # what the table was is in the history, where the resolution sends the reader
    if "history" in error.resolution:
        git(project, "checkout", "HEAD~1", "--", "pyproject.toml")
        commit(project)
        assert conflicts(update(project, versions)) == {}


@pytest.mark.parametrize(
    ("key", "text"), [("name", "../../../outside"), ("api", "files/.."), ("license", "../x")]
)
def test_a_recorded_answer_leads_to_no_file_outside_of_the_project(
    versions: TemplateVersions, tmp_path: Path, key: str, text: str
) -> None:
    recorded = complete(versions)
    project = make_project(versions, 3, tmp_path, recorded)
    file = project / "pyproject.toml"
    line = f'\n{key} = "{recorded[key]}"'
    before, _, after = file.read_text().rpartition(line)
    file.write_text(f'{before}\n{key} = "{text}"{after}')
    commit(project)
    error = refused(project, versions, {key: recorded[key]})  # the new answer is a good one
    assert error.code is Code.TEMPLATE_UNKNOWN
    assert f"the answer {key} is '{text}'" in error.why
    assert error.where.line == before.count("\n") + 2


def test_a_recorded_value_that_is_no_answer_is_not_rendered(tmp_path: Path) -> None:
    project = make_first_project(tmp_path)
    file = project / "pyproject.toml"
    table = "[tool.lls-provider.template.answers]\n"
    assert table in file.read_text()
    outside = tmp_path / "outside"
    file.write_text(
        file.read_text().replace(table, f'{table}__package = "{"../" * 20}{outside}"\n')
    )
    commit(project)
    update_project(project, dry=True)
    assert not outside.exists()


def test_a_wrong_answer_is_refused(project: Path, versions: TemplateVersions) -> None:
    assert refused(project, versions, {"license": "WTF"}).code is Code.USAGE
    assert refused(project, versions, {"colour": "red"}).code is Code.USAGE


# failures: all or nothing

WRAPPER = """\
#!/bin/sh
case " $* " in
*" {words} "*) {before}; echo 'fatal: no space' >&2; exit 128;;
esac
exec {git} "$@"
"""


@pytest.mark.parametrize("words", ["read-tree -m -u HEAD", "update-index -z --index-info"])
def test_a_failure_after_files_were_written_puts_them_back(
    project: Path,
    versions: TemplateVersions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
) -> None:
    (project / "README.md").write_text("mine\n")  # a conflict, for the last step
    commit(project)
    real = shutil.which("git")
    # the first `update-index` fills an index of ours; the second one the project's
    before = (
        f'{real} "$@"' if "read-tree" in words else f'[ -z "$GIT_INDEX_FILE" ] || exec {real} "$@"'
    )
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(WRAPPER.format(words=words, before=before, git=real))
    wrapper.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}")
        error = refused(project, versions)
    assert error.code is Code.TOOL_FAILED
    assert "fatal: no space" in error.why
    assert not (project / "added").exists()
    assert list(conflicts(update(project, versions))) == ["README.md"]


def test_a_filter_that_fails_half_way_leaves_the_files(
    project: Path, versions: TemplateVersions
) -> None:
    (project / ".gitattributes").write_text("tool.sh filter=broken\n")
    commit(project)
    git(project, "config", "filter.broken.clean", "cat")
    git(project, "config", "filter.broken.smudge", "false")
    git(project, "config", "filter.broken.required", "true")
    assert "smudge filter" in refused(project, versions).why
    git(project, "config", "--remove-section", "filter.broken")
    assert conflicts(update(project, versions)) == {}


def test_git_is_needed(
    project: Path, versions: TemplateVersions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SdkError) as caught:
        update(project, versions)
    assert caught.value.code is Code.TOOL_MISSING
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 2.34.1\n")
    old.chmod(0o755)
    with pytest.raises(SdkError) as caught:
        update(project, versions)
    assert caught.value.what == "git version 2.34.1 is too old"
    monkeypatch.undo()  # as it advises: a later one first on PATH
    assert conflicts(update(project, versions)) == {}


def test_a_repository_of_another_user_says_what_git_advises(
    project: Path, versions: TemplateVersions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    with pytest.raises(SdkError) as caught:
        update(project, versions)
    assert caught.value.code is Code.TOOL_FAILED
    assert "git config --global --add safe.directory" in caught.value.why
    git(tmp_path, "config", "--global", "--add", "safe.directory", str(project))
    assert conflicts(update(project, versions)) == {}


def test_variables_of_a_hook_do_not_lead_elsewhere(
    project: Path, versions: TemplateVersions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert conflicts(update(project, versions)) == {}
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("key", ["merge.conflictStyle", "core.autocrlf", "diff.renames"])
def test_settings_of_the_user_change_nothing(
    project: Path, versions: TemplateVersions, key: str
) -> None:
    value = {"merge.conflictStyle": "merge", "core.autocrlf": "input", "diff.renames": "false"}[key]
    git(project, "config", key, value)
    (project / "README.md").rename(project / "ABOUT.md")
    commit(project)
    assert conflicts(update(project, versions)) == {}
    assert (project / "ABOUT.md").read_text().splitlines() == readme(3)


# random edits

TOUCHED = {number for changed in CHANGED.values() for number in changed}
# git needs an unchanged line between two changes; three make certain that it finds them
FREE = [it for it in range(LINES) if all(abs(it - number) > 3 for number in TOUCHED)]
WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=9
)
EDITS = st.dictionaries(
    st.sampled_from(FREE), st.tuples(st.sampled_from("crad"), WORDS), max_size=6
)
OWN_FILES = st.dictionaries(
    st.from_regex(r"mine-[a-z]{1,5}(/[a-z]{1,5})?", fullmatch=True),
    st.binary(max_size=50),
    max_size=3,
)


def edited(lines: list[str], edits: dict[int, tuple[str, str]], base: list[str]) -> list[str]:
    """The lines after the author's edits, which are by the number of a line of ``base``."""
    found = list(lines)
    for number, (kind, word) in edits.items():
        at = found.index(base[number])
        text = f"mine {number} {word}"
        found[at : at + 1] = {
            "c": [text],
            "r": [],
            "a": [found[at], text],
            "d": [text, found[at]],
        }[kind]
    return found


@settings(max_examples=20)
@given(
    version=st.sampled_from([1, 2]),
    edits=EDITS,
    files=OWN_FILES,
    removed=st.sets(st.sampled_from(["equal.txt", "data/equal.bin"])),
    executable=st.booleans(),
)
def test_what_the_template_did_not_touch_is_always_kept(
    versions: TemplateVersions,
    tmp_path_factory: pytest.TempPathFactory,
    version: int,
    edits: dict[int, tuple[str, str]],
    files: dict[str, bytes],
    removed: set[str],
    executable: bool,
) -> None:
    project = make_project(versions, version, tmp_path_factory.mktemp("edited"))
    text = project / "README.md"
    base = readme(version)
    text.write_text("".join(f"{line}\n" for line in edited(base, edits, base)), "utf-8")
    for name, data in files.items():
        path = project / name
        if path.is_dir() or path.parent.is_file():
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    for name in removed:
        (project / name).unlink()
    if executable:
        text.chmod(0o755)
    commit(project)
    mine = {path: it for path, it in tree(project).items() if path.startswith("mine-")}

    assert conflicts(update(project, versions)) == {}

    expected = edited(readme(3), edits, base)
    assert text.read_text("utf-8") == "".join(f"{line}\n" for line in expected)
    after = tree(project)
    assert {path: it for path, it in after.items() if path.startswith("mine-")} == mine
    assert not removed & set(after)
    assert os.access(text, os.X_OK) == executable
    shutil.rmtree(project)
