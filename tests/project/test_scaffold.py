from __future__ import annotations

import keyword
import string
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lls_provider.contract.models import PROVIDER_ID_LIMIT
from lls_provider.errors import Code, SdkError
from lls_provider.project.scaffold import (
    ANSWERS,
    Question,
    complete_answers,
    parse_answers,
    scaffold,
)
from lls_provider.project.settings import read_settings
from lls_provider.project.template import TemplateVersions
from lls_provider.project.template_apis import template_apis

DEFAULTS = {
    "name": "acme-echo",
    "api": "inference",
    "vendor": "Acme",
    "maintainer": "",
    "license": "Apache-2.0",
    "sdk": "lls-provider-sdk",
}


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def refused(answers: dict[str, str], directory: Path | None = None) -> SdkError:
    with pytest.raises(SdkError) as caught:
        scaffold(directory, answers)
    return caught.value


CELLS = [(api, kind) for api, it in template_apis().items() for kind in it.kinds]


@pytest.mark.parametrize(("api", "kind"), CELLS)
def test_a_new_project_has_valid_settings(tmp_path: Path, api: str, kind: str) -> None:
    made = scaffold(tmp_path / "made", {"name": "acme-thing", "api": api, "kind": kind})

    settings = read_settings(made.path)

    assert made.path == tmp_path / "made"
    assert settings.name == "acme-thing"
    assert settings.module == "acme_thing"
    assert settings.api == api
    assert settings.provider_type == f"{kind}::acme-thing"
    assert settings.up.call is not None


@pytest.mark.parametrize("there", [True, False])
def test_a_project_is_made_where_a_link_leads(tmp_path: Path, there: bool) -> None:
    link, end = tmp_path / "link", tmp_path / "end"
    link.symlink_to("end")
    if there:
        end.mkdir()
    scaffold(link, {"name": "acme-thing"})
    assert link.is_symlink()
    assert read_settings(link).module == read_settings(end).module == "acme_thing"


@pytest.mark.parametrize("target", ["link", "file"])
def test_a_link_to_what_is_no_folder_is_told(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(target)
    error = refused({"name": "acme-thing"}, tmp_path / "link")
    assert (error.code, error.what) == {
        "link": (Code.OUTPUT_UNWRITABLE, f"Cannot write the project to {tmp_path / 'link'}"),
        "file": (Code.TARGET_EXISTS, f"{tmp_path / 'link'} is a file"),
    }[target]


def test_a_project_records_template_version_and_answers(tmp_path: Path) -> None:
    made = scaffold(tmp_path / "made", {"name": "acme-thing", "vendor": "Acme & Söhne"})

    recorded = read_settings(made.path).pyproject.data["tool"]["lls-provider"]["template"]

    assert recorded == {
        "version": TemplateVersions.shipped().current.version,
        "answers": made.answers,
    }
    assert set(made.answers) == set(ANSWERS)


def test_the_recorded_answers_make_the_same_project_again(tmp_path: Path) -> None:
    first = scaffold(tmp_path / "first", {"name": "acme-thing", "api": "safety", "license": "none"})

    second = scaffold(tmp_path / "second", first.answers)

    assert tree(first.path) == tree(second.path)


@pytest.mark.parametrize(
    "text",
    ['say "hi" \\o/', "{{ cookiecutter.name }} {% raw %}", "Zürich 😀", "it's", "# [x]", "a: b"],
)
def test_any_text_survives(tmp_path: Path, text: str) -> None:
    made = scaffold(tmp_path / "made", {"name": "acme", "vendor": text, "description": text})

    settings = read_settings(made.path)

    assert (settings.vendor, settings.description) == (text, text)


def test_without_a_licence_there_is_none(tmp_path: Path) -> None:
    made = scaffold(tmp_path / "made", {"license": "none", "maintainer": "me@acme.example"})

    assert not (made.path / "LICENSE").exists()
    assert read_settings(made.path).maintainer == "me@acme.example"


def test_without_a_directory_the_name_is_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert scaffold(None, {"name": "acme-thing"}).path == Path("acme-thing")
    assert (tmp_path / "acme-thing" / "pyproject.toml").is_file()


@pytest.mark.parametrize(("folder", "name"), [("my-thing", "my-thing"), ("My Thing", "acme-echo")])
def test_without_a_name_the_folder_suggests_one(tmp_path: Path, folder: str, name: str) -> None:
    assert scaffold(tmp_path / folder, {}).answers["name"] == name


def test_an_empty_working_folder_is_filled_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    inode = folder.stat().st_ino

    scaffold(Path(), {"name": "acme-thing"})

    assert folder.stat().st_ino == inode
    assert Path("pyproject.toml").is_file()


def test_a_folder_with_content_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")

    error = refused({"name": "acme-thing"}, tmp_path)

    assert error.code is Code.TARGET_EXISTS
    assert tree(tmp_path) == {"mine": b"precious"}


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")

    assert refused({}, tmp_path / "file").code is Code.TARGET_EXISTS


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    def copy_half(_source: Path, target: Path, **_options: bool) -> None:
        (target / "half").mkdir(parents=True)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copytree", copy_half)
    empty = tmp_path / "empty"
    empty.mkdir()

    for target in (tmp_path / "new", empty):
        assert refused({"name": "acme-thing"}, target).code is Code.NO_SPACE

    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "tmp"]
    assert not any(empty.iterdir())
    assert not any(temporary.iterdir())


def test_settings_of_cookiecutter_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = scaffold(tmp_path / "expected", {"name": "acme-thing"})
    home = tmp_path / "home"
    home.mkdir()
    (home / ".cookiecutterrc").write_text("default_context:\n  vendor: Other\n  api: safety\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("COOKIECUTTER_CONFIG", str(home / ".cookiecutterrc"))

    made = scaffold(tmp_path / "made", {"name": "acme-thing"})

    assert tree(made.path) == tree(expected.path)
    assert [path.name for path in home.iterdir()] == [".cookiecutterrc"]


@pytest.mark.parametrize(
    ("answers", "what", "resolution"),
    [
        ({"nmae": "x"}, "unknown answer 'nmae'; did you mean 'name'?", "vendor: the organisation"),
        ({"api": "inferense"}, "did you mean 'inference'?", "safety"),
        ({"api": "agents"}, "api cannot be 'agents'", "inference, "),
        ({"kind": "inlin"}, "kind cannot be 'inlin'; did you mean 'inline'?", "remote, inline"),
        ({"name": "acme_Echo"}, "must consist of lower-case letters", "such as acme-echo."),
        ({"name": "7up"}, "begins with a digit", "such as up."),
        ({"name": "email"}, "Python knows another 'email'", "such as email-provider."),
        ({"name": "class"}, "is taken", "such as class-provider."),
        (
            {"name": "yaml"},
            "'yaml' would shadow that of the server's pyyaml",
            "such as yaml-provider.",
        ),
        ({"name": "google"}, "would shadow that of the server's", "such as google-provider."),
        ({"name": "typing-extensions"}, "server's typing-extensions", "such as typing-ext"),
        ({"name": "a" * 99}, "has 99 characters", "such as aaa"),
        ({"name": ""}, "must consist of lower-case letters", "such as acme-echo."),
        ({"vendor": " "}, "vendor may not be empty", "the organisation"),
        ({"description": "a\nb"}, "one line of printable text", "in one sentence"),
        ({"description": "a" * 201}, "201 characters; 200 are allowed", "in one sentence"),
        ({"maintainer": "nobody"}, "maintainer cannot be 'nobody'", "e-mail"),
        ({"license": "MIT"}, "license cannot be 'MIT'", "Apache-2.0, none"),
    ],
)
def test_wrong_answers_are_refused_with_a_way_out(
    tmp_path: Path, answers: dict[str, str], what: str, resolution: str
) -> None:
    error = refused(answers, tmp_path / "made")

    assert error.code is Code.USAGE
    assert what in error.what
    assert resolution in error.resolution
    assert not any(tmp_path.iterdir())


def test_several_wrong_answers_are_told_at_once(tmp_path: Path) -> None:
    error = refused({"api": "x", "name": "X", "colour": "red"}, tmp_path / "made")

    assert error.what == "3 answers cannot be used"
    assert len(error.problems) == 3


def test_key_value_texts_are_answers() -> None:
    assert parse_answers(["name=acme", "description=a=b"]) == {"name": "acme", "description": "a=b"}


@pytest.mark.parametrize("texts", [["name"], ["name=a", "name=b"]])
def test_other_texts_are_no_answers(texts: list[str]) -> None:
    with pytest.raises(SdkError) as caught:
        parse_answers(texts)
    assert caught.value.code is Code.USAGE


def test_only_what_is_open_is_asked() -> None:
    asked: list[Question] = []

    def ask(question: Question) -> str:
        asked.append(question)
        return "safety" if question.key == "api" else question.default

    answers = complete_answers({"vendor": "Acme"}, ask, DEFAULTS)

    assert [question.key for question in asked] == [
        "name",
        "api",
        "kind",
        "description",
        "maintainer",
        "license",
    ]
    assert answers["kind"] == "inline"
    assert answers["description"] == "Inline safety provider acme-echo"
    assert asked[0].problem("Acme") is not None
    assert asked[0].problem("acme") is None


def test_an_ended_input_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "empty").open("w+") as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        with pytest.raises(SdkError) as caught:
            scaffold(tmp_path / "made", {}, interactive=True)

    assert caught.value.code is Code.USAGE
    assert "--no-input" in caught.value.resolution


NAMES = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=50)


@given(NAMES)
def test_an_accepted_name_is_a_package_and_a_provider_id(name: str) -> None:
    try:
        answers = complete_answers({"name": name}, None, DEFAULTS)
    except SdkError as error:
        assert error.code is Code.USAGE
        better = error.resolution.removeprefix("Use a name such as ").removesuffix(".")
        assert complete_answers({"name": better}, None, DEFAULTS)["name"] == better
    else:
        package = answers["name"].replace("-", "_")
        assert package.isidentifier()
        assert not keyword.iskeyword(package)
        assert len(name) <= PROVIDER_ID_LIMIT
