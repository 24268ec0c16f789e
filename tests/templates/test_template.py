"""The template itself: what it renders is clean code, whatever the name, and equals the samples."""

from __future__ import annotations

import compileall
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from cookiecutter.main import cookiecutter
from packaging.licenses import canonicalize_license_expression

from lls_provider import resources
from lls_provider.contract.models import PROVIDER_ID_LIMIT
from lls_provider.project.answers import ANSWERS
from lls_provider.project.scaffold import scaffold
from lls_provider.project.settings import read_settings
from lls_provider.project.template import TEMPLATE, Template, TemplateVersions, render
from lls_provider.project.template_apis import template_apis

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

SAMPLES = {"guard-safety": "safety", "text-file-processor": "file_processors"}
EARLIER = {"echo-inference": 1}
"""Samples that stay what an earlier version of the template made, with that version."""
NAMES = ["a", "acme-echo", "acme-" + "x" * (PROVIDER_ID_LIMIT - 5)]
CELLS = [(api, kind) for api, it in template_apis().items() for kind in it.kinds]
LEFT_BY_TOOLS = {"__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache"}


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not LEFT_BY_TOOLS & set(path.parts)
    }


def samples() -> Path:
    root = resources.checkout()
    assert root is not None
    return root / "samples"


def run(project: Path, *command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(params=list(template_apis()))
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """A project of each cell, all with the same name."""
    root = tmp_path_factory.mktemp("projects")
    answers = {"name": "acme-thing", "sdk": "x @ https://x.example/file"}
    return {
        (api, kind): scaffold(root / api / kind, {**answers, "api": api, "kind": kind}).path
        for api, kind in CELLS
    }


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_what_the_template_renders(tmp_path: Path, name: str) -> None:
    made = scaffold(tmp_path / "made", {"name": name, "api": SAMPLES[name]})

    assert tree(samples() / name) == tree(made.path)


@pytest.mark.parametrize("name", EARLIER)
def test_a_sample_is_what_an_earlier_version_rendered(tmp_path: Path, name: str) -> None:
    recorded = read_settings(samples() / name).pyproject.data["tool"]["lls-provider"]["template"]

    with TemplateVersions.shipped().opened(EARLIER[name]) as template:
        assert template is not None
        made = render(template, recorded["answers"], tmp_path)

    assert tree(samples() / name) == tree(made)


def test_every_sample_of_the_template_is_compared() -> None:
    """Samples that were written by hand record no answers."""
    settings = samples().glob("*/pyproject.toml")
    found = {it.parent.name for it in settings if "[tool.lls-provider.template]" in it.read_text()}

    assert found == SAMPLES.keys() | EARLIER.keys()


@pytest.mark.parametrize("name", NAMES)
def test_the_code_is_clean_for_any_name(tmp_path: Path, name: str) -> None:
    """Of all projects at once: each has its own settings of ruff."""
    for api, kind in CELLS:
        scaffold(tmp_path / api / kind, {"name": name, "api": api, "kind": kind})

    run(tmp_path, "ruff", "check", "--no-cache", ".")
    run(tmp_path, "ruff", "format", "--no-cache", "--check", ".")


@pytest.mark.parametrize("cell", CELLS)
def test_files_end_with_one_line_end_and_hold_no_template(
    projects: dict[tuple[str, str], Path], cell: tuple[str, str]
) -> None:
    for path in projects[cell].rglob("*"):
        text = path.read_text() if path.is_file() and path.suffix != ".zip" else ""
        assert not text or text.endswith("\n"), path
        assert path.suffix == ".py" or "\n\n\n" not in text, path
        assert not text.endswith("\n\n"), path
        assert not text.startswith("\n") or path.name == "LICENSE", path
        assert "cookiecutter" not in text, path
        assert "{%" not in text, path


def test_the_sample_skill_is_what_a_reader_of_the_archive_would_expect(
    projects: dict[tuple[str, str], Path],
) -> None:
    """cookiecutter copies a binary file as it is; nothing but the skill is in this one."""
    made = {cell: list(it.rglob("*.zip")) for cell, it in projects.items()}
    (archive,) = made.pop(("skills", "inline"))
    assert not any(made.values())
    with zipfile.ZipFile(archive) as skill:
        assert skill.namelist() == ["SKILL.md"]
        assert skill.read("SKILL.md").decode() == (
            "---\nname: Greeting\ndescription: Says hello.\n---\nSay hello.\n"
        )


@pytest.mark.parametrize(
    ("licence", "expression", "words"),
    [
        ("Apache-2.0", "Apache-2.0", "Version 2.0, January 2004"),
        ("MIT", "MIT", "Copyright (c) Söhne & Co\n\nPermission is hereby granted"),
        ("BSD-3-Clause", "BSD-3-Clause", "3. Neither the name of the copyright holder"),
        ("proprietary", "LicenseRef-Proprietary", "Söhne & Co. All rights reserved."),
        ("none", None, None),
    ],
)
def test_a_licence_is_in_the_file_and_in_the_metadata(
    tmp_path: Path, licence: str, expression: str | None, words: str | None
) -> None:
    answers = {"name": "acme", "license": licence, "vendor": "Söhne & Co"}
    made = scaffold(tmp_path / "made", answers)

    project = read_settings(made.path).pyproject.data["project"]
    text = (made.path / "LICENSE").read_text() if (made.path / "LICENSE").exists() else None

    assert project.get("license") == expression
    assert expression is None or canonicalize_license_expression(expression) == expression
    assert (text is None) == (words is None)
    assert words is None or words in str(text)
    # PyPI refuses what nobody may use
    private = "Private :: Do Not Upload" in project.get("classifiers", [])
    assert private == (licence in ("proprietary", "none"))


@pytest.mark.parametrize("cell", CELLS)
def test_the_readme_names_every_file_that_it_explains(
    projects: dict[tuple[str, str], Path], cell: tuple[str, str]
) -> None:
    text = (projects[cell] / "README.md").read_text()

    named = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)

    assert {"CHANGELOG.md", "Containerfile", "pyproject.toml", ".gitlab-ci.yml"} <= set(named)
    assert f"src/acme_thing/{cell[0]}.py" in named
    assert all((projects[cell] / name).is_file() for name in named)


@pytest.mark.parametrize("cell", CELLS)
def test_the_readme_says_where_it_runs(
    projects: dict[tuple[str, str], Path], cell: tuple[str, str]
) -> None:
    servers = template_apis()[cell[0]].servers

    text = (projects[cell] / "README.md").read_text()

    only = [name for name in ("llama-stack", "ogx") if f"**It runs on {name} only.**" in text]
    assert only == ([] if len(servers) > 1 else list(servers))
    assert ("--server" in text) == (len(servers) > 1)


def test_cookiecutter_alone_renders_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # cookiecutter writes a replay file there
    made = scaffold(tmp_path / "made", {"name": "acme-thing", "api": api})

    rendered = cookiecutter(
        str(resources.data_path(TEMPLATE)),
        no_input=True,
        default_config=True,
        output_dir=str(tmp_path),
        extra_context={"name": "acme-thing", "api": api},
    )

    assert tree(Path(rendered)) == tree(made.path)


def test_bytecode_of_an_installed_template_is_in_no_project(tmp_path: Path) -> None:
    shutil.copytree(resources.data_path(TEMPLATE), tmp_path / "template")
    assert compileall.compile_dir(tmp_path / "template", quiet=2) is False  # some are no Python
    assert any((tmp_path / "template").rglob("{{*/src/*/__pycache__/*.pyc"))
    current = TemplateVersions.shipped().current
    answers = scaffold(tmp_path / "made", {"name": "acme"}).answers
    (tmp_path / "rendered").mkdir()

    installed = Template(tmp_path / "template", current.context)
    project = render(installed, answers, tmp_path / "rendered")

    assert tree(project) == tree(tmp_path / "made")
    assert not any(project.rglob("__pycache__"))


def test_cookiecutter_asks_for_what_new_asks_for() -> None:
    text = resources.read_data(f"{TEMPLATE}/cookiecutter.json").decode()
    context = yaml.safe_load(text)

    assert [key for key in context if not key.startswith("_")] == list(ANSWERS)


STUB = """
class Api:
    inference = "inference"

class RemoteProviderSpec:
    def __init__(self, **fields):
        self.__dict__.update(fields)

ProviderSpec = RemoteProviderSpec
"""
ASK = "from acme.provider import get_provider_spec as get; print(get().provider_type)"


def ask(project: Path, packages: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=project,
        env={"PYTHONPATH": f"{project / 'src'}:{packages}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def package(folder: Path, name: str, content: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(content)


@pytest.mark.parametrize("server", ["ogx_api", "llama_stack_api"])
def test_either_api_package_will_do(tmp_path: Path, server: str) -> None:
    made = scaffold(tmp_path / "made", {"name": "acme", "api": "inference"})
    package(tmp_path / "packages", server, STUB)

    assert ask(made.path, tmp_path / "packages").stdout == "remote::acme\n"


def test_a_broken_api_package_is_not_mistaken_for_a_missing_one(tmp_path: Path) -> None:
    made = scaffold(tmp_path / "made", {"name": "acme", "api": "inference"})
    package(tmp_path / "packages", "ogx_api", "import not_installed")
    package(tmp_path / "packages", "llama_stack_api", STUB)

    done = ask(made.path, tmp_path / "packages")

    assert done.returncode == 1
    assert "No module named 'not_installed'" in done.stderr


def test_a_server_without_the_safety_api_is_told_so(tmp_path: Path) -> None:
    made = scaffold(tmp_path / "made", {"name": "acme", "api": "safety"})
    package(tmp_path / "packages", "ogx_api", STUB.replace("Remote", "Inline"))

    done = ask(made.path, tmp_path / "packages")

    assert "inline::acme needs the safety API, which this server (ogx_api)" in done.stderr
