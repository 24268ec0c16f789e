"""What the CI files of a generated project run is run here, against a registry with a login.

Checkout and Python are there already, and the SDK is a wheel of this checkout. All else is as the
systems run it: their shells, their variables, their order.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.factories.template_versions import commit
from tests.templates import pipelines
from tests.templates.pipelines import Job

from lls_provider.project.scaffold import scaffold

Engine = Callable[[str], str]

pytestmark = [
    pytest.mark.engine,
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.xdist_group("ci-steps"),
]

USER, PASSWORD = "me", "s3cret"
SYSTEMS = ("github", "gitlab", "tekton")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Systems:
    """The project's jobs of each system, in order, and a place to run them."""

    project: Path
    jobs: Mapping[str, list[Job]]
    host: str
    home: Path
    sdk: Path
    pushed: dict[str, str] = field(default_factory=dict)  # the digest, by system

    def image(self, system: str) -> str:
        """The name of the image that a system pushes."""
        return f"{self.host}/{system}/acme:main"

    def run(self, system: str, *names: str) -> list[str]:
        """Run the jobs of these names in order; what each wrote."""
        return [self._run(job) for job in self.jobs[system] if job.name in names]

    def _run(self, job: Job) -> str:
        given = {key: it for key, it in job.variables.items() if key != "LLS_PROVIDER_CACHE"}
        environment = {
            **os.environ,
            **given,
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "LLS_PROVIDER_SDK": str(self.sdk),
            "PATH": f"{self.home / 'venv' / 'bin'}:{os.environ['PATH']}",
            "PRE_COMMIT_HOME": str(self.home / "pre-commit"),
        }
        output = []
        for script in job.scripts:
            # a container of its own has its own /tmp
            text = script.replace("/tmp/", f"{self.home}/")
            done = subprocess.run(
                [*job.shell, "-c", text],
                cwd=self.project,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=500,
                check=False,
            )
            assert done.returncode == 0, f"{job.name}: {text}\n{done.stdout}"
            output.append(done.stdout)
        return "".join(output)


@pytest.fixture(scope="module")
def systems(
    engine: Engine,
    locked_registry: str,
    sdk_wheel: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Systems:
    engine("skopeo")
    engine("git")
    host, home = locked_registry, tmp_path_factory.mktemp("home")
    answers = {"name": "acme-safety", "api": "safety", "kind": "inline"}
    project = scaffold(tmp_path_factory.mktemp("project") / "acme", answers).path
    settings = project / "pyproject.toml"
    # the registry of the real base cannot be reached from here
    text = settings.read_text("utf-8")
    assert 'base = "docker://docker.io/library/python:3.12-slim"' in text
    settings.write_text(text.replace("docker://docker.io/library/python:3.12-slim", "scratch"))
    commit(project)
    # skopeo wants TLS on loopback too, unless it is told otherwise
    containers = home / ".config" / "containers" / "registries.conf"
    containers.parent.mkdir(parents=True)
    containers.write_text(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
    # the machine of every job; Tekton's tasks make it themselves, again
    subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (home / "docker").mkdir()
    (home / "docker" / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    github = {"secrets.GITHUB_TOKEN": PASSWORD}
    gitlab = {
        "CI_PROJECT_DIR": str(project),
        "CI_REGISTRY": host,
        "CI_REGISTRY_USER": USER,
        "CI_REGISTRY_PASSWORD": PASSWORD,
        "CI_REGISTRY_IMAGE": f"{host}/gitlab/acme",
        "CI_COMMIT_SHA": COMMIT,
        "CI_COMMIT_REF_SLUG": "main",
    }
    tekton = {
        "params.repo-url": project.as_uri(),
        "params.revision": "main",
        "params.image": f"{host}/tekton/acme:main",
        "workspaces.source.path": str(project),
        "workspaces.registry-auth.path": str(home / "docker"),
    }
    jobs = {
        "github": [for_github(job, host, home) for job in pipelines.github(project, github)],
        "gitlab": list(pipelines.gitlab(project, gitlab)),
        "tekton": list(pipelines.tekton(project, tekton)),
    }
    return Systems(project, jobs, host, home, sdk_wheel)


def for_github(job: Job, host: str, home: Path) -> Job:
    """The same job with what GitHub sets itself, and the registry of the tests."""
    its = {
        "GITHUB_ACTOR": USER,
        "GITHUB_REPOSITORY": "GitHub/Acme",
        "GITHUB_REF_NAME": "main",
        "GITHUB_SHA": COMMIT,
        "RUNNER_TEMP": str(home),
    }
    registry = {"REGISTRY": host} if "REGISTRY" in job.variables else {}
    return Job(job.name, {**job.variables, **its, **registry}, job.scripts, job.shell)


def test_tekton_fetches_a_commit(systems: Systems, tmp_path: Path) -> None:
    (fetch,) = (job for job in systems.jobs["tekton"] if job.name == "fetch")
    if not os.geteuid():
        os.chown(tmp_path, 1234, 1234)  # a volume may belong to anybody; git minds
    Systems(tmp_path, {"tekton": [fetch]}, "", systems.home, systems.sdk).run("tekton", "fetch")

    assert (tmp_path / "pyproject.toml").read_bytes() == (
        systems.project / "pyproject.toml"
    ).read_bytes()


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_new_project_is_lint_free(systems: Systems, system: str) -> None:
    (output,) = systems.run(system, "lint")

    for hook in ("ruff check", "ruff format", "mypy", "end of files", "trailing whitespace"):
        assert f"{hook}..." in output
    assert output.count("Passed") == 5
    assert "0 errors, 0 warnings" in output


@pytest.mark.server
def test_the_new_project_passes_its_tests_and_answers(systems: Systems) -> None:
    (output,) = systems.run("github", "test")

    assert " passed" in output
    assert " -> 200" in output


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_image_is_built_for_two_architectures_and_pushed_with_its_sboms(
    systems: Systems, system: str
) -> None:
    output = "".join(systems.run(system, "image", "build", "push"))

    assert "linux/amd64" in output
    assert "linux/arm64" in output
    command = [sys.executable, "-m", "lls_provider.cli", "inspect", systems.image(system)]
    done = subprocess.run(
        [*command, "--format", "json"],
        env={**os.environ, "DOCKER_CONFIG": str(systems.home / "docker")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pushed = json.loads(done.stdout)
    assert PASSWORD not in output
    systems.pushed[system] = pushed["digest"]
    # one input, one digest: whichever system built it
    assert len(set(systems.pushed.values())) == 1
    if system != "tekton":
        found = sorted(it.parent.name for it in systems.project.glob("bundle/*/sbom.cdx.json"))
        assert found == ["linux-amd64", "linux-arm64"]
        shutil.rmtree(systems.project / "bundle")
