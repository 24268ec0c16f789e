from __future__ import annotations

from pathlib import Path

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.project.answers import ANSWERS
from lls_provider.project.scaffold import scaffold
from lls_provider.project.settings import read_settings
from lls_provider.project.template import TemplateVersions
from lls_provider.project.template_apis import template_apis


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


@pytest.mark.slow
@pytest.mark.parametrize(("api", "kind"), CELLS)
def test_a_new_project_has_valid_settings(tmp_path: Path, api: str, kind: str) -> None:
    made = scaffold(tmp_path / "made", {"name": "acme-thing", "api": api, "kind": kind})

    settings = read_settings(made.path)

    assert made.path == tmp_path / "made"
    assert settings.name == "acme-thing"
    assert settings.module == "acme_thing"
    assert settings.api == api
    assert settings.provider_type == f"{kind}::acme-thing"
    assert settings.up.calls


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
        ({"license": "MTI"}, "license cannot be 'MTI'", "Apache-2.0, MIT, BSD-3-Clause"),
        ({"ci": "jenkins"}, "ci cannot be 'jenkins'", "all, github, gitlab, tekton, none"),
        ({"sdk": ""}, "sdk may not be empty", "a requirement with a bound"),
        ({"sdk": "not a requirement"}, "sdk cannot be 'not a requirement'", "a git address"),
        ({"sdk": "lls-provider-sdk @ ftp://x.example/a.whl"}, "sdk cannot be 'ftp:", "or a URL"),
        ({"sdk": "git+https://me:token@git.example/sdk"}, "sdk has a password", "git address"),
        ({"sdk_index": "index.example"}, "sdk_index cannot be 'index.example'", "in place of PyPI"),
        ({"sdk_index": "https://me:token@x.example"}, "sdk_index has a password", "the index"),
        ({"sdk_index": "https://[x"}, "sdk_index cannot be", "in place of PyPI"),
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
