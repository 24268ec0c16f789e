"""The CI files of generated projects: valid for each system, alike, and with few rights."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from tests.factories.template_versions import commit
from tests.templates import pipelines
from tests.templates.pipelines import GITHUB, GITLAB, TEKTON, TEKTON_RUN, Job, load

from lls_provider.project.scaffold import scaffold
from lls_provider.project.settings import read_settings
from lls_provider.project.template_apis import template_apis

pytestmark = pytest.mark.unmeasured

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Read = Callable[[Path, Mapping[str, str]], Iterator[Job]]

FILES = {
    "github": {GITHUB},
    "gitlab": {GITLAB},
    "tekton": {TEKTON, TEKTON_RUN},
    "none": set(),
    "all": {GITHUB, GITLAB, TEKTON, TEKTON_RUN},
}
KNOWN: dict[Read, dict[str, str]] = {
    pipelines.github: {"secrets.GITHUB_TOKEN": "token"},
    pipelines.gitlab: {},
    pipelines.tekton: {
        "params.repo-url": "url",
        "params.image": "image",
        "workspaces.source.path": "source",
        "workspaces.registry-auth.path": "auth",
    },
}


@pytest.fixture(scope="module", params=list(template_apis()))
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that is read only."""
    made = tmp_path_factory.mktemp("project") / "made"
    return scaffold(made, {"name": "acme-thing", "api": request.param}).path


def jobs(project: Path) -> dict[str, list[Job]]:
    """The jobs of each system."""
    return {read.__name__: list(read(project, known)) for read, known in KNOWN.items()}


def check_schema(path: Path, *options: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *options, path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("ci", FILES)
def test_a_project_has_the_files_of_its_ci(tmp_path: Path, ci: str) -> None:
    made = scaffold(tmp_path / "made", {"name": "acme", "ci": ci})

    found = {name for name in FILES["all"] if (made.path / name).exists()}

    assert found == FILES[ci]
    assert (made.path / ".tekton").exists() == (ci in ("all", "tekton"))
    assert (made.path / ".github").exists() == (ci in ("all", "github"))
    readme = (made.path / "README.md").read_text()
    assert {name for name in FILES["all"] if f"`{name}`" in readme} == FILES[ci]


@pytest.mark.slow
def test_the_files_agree_with_the_published_schemas(tmp_path: Path) -> None:
    index = "https://index.example/simple"
    answers = {"name": "acme", "sdk": 'x @ https://x.example/"a"', "sdk_index": index}
    made = scaffold(tmp_path / "made", answers)

    check_schema(made.path / GITHUB, "--builtin-schema", "vendor.github-workflows")
    gitlab = ("--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci")
    check_schema(made.path / GITLAB, *gitlab)


@pytest.mark.parametrize("index", ["", "https://index.example/simple"])
def test_what_installs_the_sdk_is_a_setting(tmp_path: Path, index: str) -> None:
    sdk = "lls-provider-sdk @ git+https://git.example/sdk@v0.1.0"
    made = scaffold(tmp_path / "made", {"name": "acme", "sdk": sdk, "sdk_index": index})

    for system, found in jobs(made.path).items():
        for job in found:
            if job.name != "fetch":
                assert job.variables["LLS_PROVIDER_SDK"] == sdk, system
                assert job.variables.get("PIP_INDEX_URL", "") == index, system
                assert 'pip install "$LLS_PROVIDER_SDK"' in "\n".join(job.scripts)
    readme = (made.path / "README.md").read_text()
    option = f" --index-url {index}" if index else ""
    assert f'\npip install{option} "{sdk}"\n' in readme
    assert "--update" not in readme
    assert f'ARG LLS_PROVIDER_SDK="{sdk}"\n' in (made.path / "Containerfile").read_text()


def test_the_readme_says_how_the_sdk_comes_from_elsewhere(cli: Cli, tmp_path: Path) -> None:
    """Its command is followed: no file asks an index for the SDK afterwards."""
    made = scaffold(tmp_path / "made", {"name": "acme"})
    commit(made.path)
    (line,) = (
        it
        for it in (made.path / "README.md").read_text().splitlines()
        if it.startswith("lls-provider new ")
    )
    words = shlex.split(line)[1:]
    done = cli(*words, cwd=made.path)
    assert done.returncode == 0, done.stderr
    address = words[-1].removeprefix("sdk=")
    assert address.startswith("lls-provider-sdk @ git+https://")
    for name in (*FILES["all"] - {TEKTON_RUN}, "README.md", "Containerfile"):
        text = (made.path / name).read_text()
        assert address in text, name
        assert "lls-provider-sdk~=" not in text, name


def test_every_system_lints_tests_builds_and_pushes(project: Path) -> None:
    servers = list(template_apis()[read_settings(project).api].servers)
    platforms = "--platform linux/amd64 --platform linux/arm64"
    for system, found in jobs(project).items():
        commands = [(job.name, line) for job in found for line in job.commands]
        assert [line for name, line in commands if name == "lint"] == ["lls-provider check ."]
        assert [line for name, line in commands if name == "test"] == [
            'lls-provider test . --distribution "$SERVER"',
            'lls-provider up . --server "$SERVER" --check',
        ] * len(servers)
        variables = [job.variables for job in found if job.name == "test"]
        tested = [it["SERVER"].partition("==")[0] for it in variables]
        assert tested == servers, system
        rest = [line for name, line in commands if name not in ("lint", "test")]
        assert [line.split()[1] for line in rest] == ["build", "check", "push", "inspect"]
        assert rest[0].startswith(f"lls-provider build . {platforms} --output oci:oci"), system
        linting = next("\n".join(job.scripts) for job in found if job.name == "lint")
        assert "pre-commit run --all-files --show-diff-on-failure" in linting, system


def test_the_distributions_of_the_settings_are_tested(project: Path) -> None:
    for found in jobs(project).values():
        tested = {job.variables["SERVER"] for job in found if job.name == "test"}
        assert set(read_settings(project).distributions) <= tested


def test_the_workflow_has_few_rights_and_names_no_secret_in_a_script(project: Path) -> None:
    workflow = load(project / GITHUB)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        rights = {"contents": "read"} | ({"packages": "write"} if name == "image" else {})
        assert job["permissions"] == rights
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")  # a value could be read as code there
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] == "false"
    push = workflow["jobs"]["image"]["steps"][-1]
    assert push["if"] == "github.event_name == 'push'"
    assert workflow["jobs"]["image"]["needs"] == ["lint", "test"]


def test_what_gitlab_keeps_is_what_the_build_wrote(project: Path) -> None:
    pipeline = load(project / GITLAB)
    assert pipeline["build"]["artifacts"]["paths"] == ["oci"]
    assert pipeline["build"]["artifacts"]["reports"] == {"cyclonedx": "bundle/*/sbom.cdx.json"}
    assert pipeline["push"]["needs"] == ["build"]
    assert pipeline["push"]["rules"] == [
        {"if": '$CI_PIPELINE_SOURCE != "merge_request_event"'},
    ]
