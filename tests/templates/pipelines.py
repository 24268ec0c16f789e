"""Generated CI files as the systems read them: jobs with variables and the scripts that they run.

Only what the template uses is known here; anything else is an error, so that no step is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml

GITHUB = ".github/workflows/provider.yml"
GITLAB = ".gitlab-ci.yml"
TEKTON = ".tekton/pipeline.yaml"
TEKTON_RUN = ".tekton/push.yaml"

# what prepares the machine; nothing of it is run here
_ACTIONS = {"actions/checkout@v4", "actions/setup-python@v5", "actions/upload-artifact@v4"}


@dataclass(frozen=True, slots=True)
class Job:
    """A job: its variables, and its scripts in order, each with the shell that runs it."""

    name: str
    variables: Mapping[str, str]
    scripts: tuple[str, ...]
    shell: tuple[str, ...]

    @property
    def commands(self) -> list[str]:
        """The lines that run our own command, with folded lines joined."""
        lines = [line.strip() for script in self.scripts for line in script.splitlines()]
        return [line for line in lines if line.startswith("lls-provider ")]


def load(path: Path) -> Any:
    """The document of a file; its keys are texts, since CI systems read YAML 1.2."""
    return yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader)  # noqa: S506


def github(project: Path, known: Mapping[str, str]) -> Iterator[Job]:
    """The jobs of the workflow, one for each server; ``known`` are the values of expressions."""
    workflow = load(project / GITHUB)
    for name, job in workflow["jobs"].items():
        for server in job.get("strategy", {}).get("matrix", {}).get("server", [None]):
            values = {**known, "matrix.server": server}
            variables = {**workflow["env"], **job.get("env", {})}
            scripts = []
            for step in job["steps"]:
                if "run" in step:
                    variables |= step.get("env", {})
                    scripts.append(step["run"])
                else:
                    assert step["uses"] in _ACTIONS, step
            yield Job(
                name,
                {key: _evaluated(text, values) for key, text in variables.items()},
                tuple(scripts),
                ("bash", "-e"),
            )


def _evaluated(text: str, values: Mapping[str, str | None]) -> str:
    return re.sub(r"\$\{\{ (.*?) \}\}", lambda found: str(values[found[1]]), text)


def gitlab(project: Path, known: Mapping[str, str]) -> Iterator[Job]:
    """The jobs of the pipeline, one for each server; ``known`` are GitLab's own variables."""
    pipeline = load(project / GITLAB)
    settings = {"stages", "workflow", "variables", "default"}
    before = pipeline["default"]["before_script"]
    for name, job in pipeline.items():
        if name in settings:
            continue
        assert job["stage"] in pipeline["stages"]
        (matrix,) = job.get("parallel", {}).get("matrix", [{"SERVER": [""]}])
        for server in matrix["SERVER"]:
            variables = {**known, **pipeline["variables"], "SERVER": server}
            yield Job(
                name,
                {key: Template(text).safe_substitute(known) for key, text in variables.items()},
                ("\n".join([*before, *job["script"]]),),
                ("bash", "-e"),
            )


def tekton(project: Path, known: Mapping[str, str]) -> Iterator[Job]:
    """The tasks of the pipeline, one for each server; ``known`` are its params and workspaces."""
    pipeline = load(project / TEKTON)["spec"]
    given = {f"params.{it['name']}": it["default"] for it in pipeline["params"] if "default" in it}
    given |= known
    for task in pipeline["tasks"]:
        (matrix,) = task.get("matrix", {}).get("params", [{"name": "server", "value": [""]}])
        for server in matrix["value"]:
            values = {f"params.{matrix['name']}": server}
            for it in task.get("params", ()):
                values[f"params.{it['name']}"] = _replaced(it["value"], given)
            for it in task["workspaces"]:
                values[f"workspaces.{it['name']}.path"] = given[f"workspaces.{it['name']}.path"]
            variables: dict[str, str] = {}
            scripts = []
            for step in task["taskSpec"]["steps"]:
                assert step["workingDir"] == "$(workspaces.source.path)"
                variables |= {it["name"]: _replaced(it["value"], values) for it in step["env"]}
                assert "$(params" not in step["script"]  # a value could be read as code there
                scripts.append(step["script"])
            yield Job(task["name"], variables, tuple(scripts), ("sh",))


def _replaced(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$\(([\w.-]+)\)", lambda found: values[found[1]], text)
