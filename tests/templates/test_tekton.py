"""The Tekton files: fields of the v1 API only, and references that lead somewhere.

No package index has Tekton's schemas, so `TEKTON_V1` restates the part of the v1 API that is used
(https://tekton.dev/docs/pipelines/pipeline-api/). For what is Kubernetes' own there are schemas.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from tests.templates.pipelines import TEKTON, TEKTON_RUN

from lls_provider.project.scaffold import scaffold


def closed(required: str = "", **properties: Any) -> dict[str, Any]:
    """An object with these properties and no other."""
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": False,
    }


def array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


TEXT = {"type": "string"}
NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"}
PARAM = closed("name value", name=NAME, value={"type": ["string", "array"], "items": TEXT})
PARAM_SPEC = closed("name type", name=NAME, type={"enum": ["string", "array", "object"]},
                    description=TEXT, default=TEXT)  # fmt: skip
STEP = closed("name image script", name=NAME, image=TEXT, script=TEXT, workingDir=TEXT,
              env=array(closed("name value", name=TEXT, value=TEXT)))  # fmt: skip
TASK_SPEC = closed(
    "steps",
    params=array(PARAM_SPEC),
    workspaces=array(closed("name", name=NAME, readOnly={"type": "boolean"})),
    steps=array(STEP),
)
TASK = closed(
    "name taskSpec",
    name=NAME,
    runAfter=array(NAME),
    params=array(PARAM),
    matrix=closed("params", params=array(PARAM)),
    workspaces=array(closed("name", name=NAME, workspace=NAME)),
    taskSpec=TASK_SPEC,
)
PIPELINE = closed(
    "tasks",
    params=array(PARAM_SPEC),
    workspaces=array(closed("name", name=NAME, description=TEXT)),
    tasks=array(TASK),
)
BINDING = closed("name", name=NAME, volumeClaimTemplate={"type": "object"},
                 secret={"type": "object"})  # fmt: skip
RUN = closed(
    "pipelineRef",
    pipelineRef=closed("name", name=NAME),
    params=array(PARAM),
    workspaces=array(BINDING),
)
METADATA = closed(
    name=NAME,
    generateName=TEXT,
    annotations={"type": "object", "additionalProperties": TEXT},
)
TEKTON_V1 = {
    kind: closed(
        "apiVersion kind metadata spec",
        apiVersion={"const": "tekton.dev/v1"},
        kind={"const": kind},
        metadata=METADATA,
        spec=spec,
    )
    for kind, spec in (("Pipeline", PIPELINE), ("PipelineRun", RUN))
}


@pytest.fixture(params=["", "https://index.example/simple"])
def documents(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Any]:
    """The pipeline and its run."""
    made = scaffold(tmp_path / "made", {"name": "acme", "sdk_index": request.param}).path
    pipeline, run = (yaml.safe_load((made / name).read_text()) for name in (TEKTON, TEKTON_RUN))
    return pipeline, run


def test_the_files_have_fields_of_the_v1_api_only(documents: tuple[Any, Any]) -> None:
    for document in documents:
        jsonschema.Draft7Validator(TEKTON_V1[document["kind"]]).validate(document)


def test_every_parameter_and_workspace_leads_somewhere(documents: tuple[Any, Any]) -> None:
    pipeline = documents[0]["spec"]
    declared = {f"$(params.{it['name']})" for it in pipeline["params"]}
    workspaces = {it["name"] for it in pipeline["workspaces"]}
    before: set[str] = set()
    for task in pipeline["tasks"]:
        assert set(task.get("runAfter", ())) <= before, task["name"]
        before.add(task["name"])
        given = {it["name"] for it in task["params"]}
        assert {it["value"] for it in task["params"]} <= declared
        given |= {it["name"] for it in task.get("matrix", {}).get("params", ())}
        spec = task["taskSpec"]
        assert {it["name"] for it in spec["params"]} == given
        its = {it["name"] for it in spec["workspaces"]}
        assert {it["name"] for it in task["workspaces"]} == its <= workspaces
        known = {f"$(params.{it})" for it in given} | {f"$(workspaces.{it}.path)" for it in its}
        for step in spec["steps"]:
            used = {it["value"] for it in step["env"] if it["value"].startswith("$(")}
            assert used | {step["workingDir"]} <= known
    assert "image" in before


def test_the_run_gives_what_the_pipeline_wants(documents: tuple[Any, Any]) -> None:
    pipeline, run = documents
    assert run["spec"]["pipelineRef"]["name"] == pipeline["metadata"]["name"]
    wanted = {it["name"] for it in pipeline["spec"]["params"] if "default" not in it}
    assert wanted <= {it["name"] for it in run["spec"]["params"]}
    bound = {it["name"]: it for it in run["spec"]["workspaces"]}
    assert set(bound) == {it["name"] for it in pipeline["spec"]["workspaces"]}
    volume = {"name": "auth", "secret": bound["registry-auth"]["secret"]}
    pod = {"containers": [{"name": "a", "image": "b"}], "volumes": [volume]}
    claim = bound["source"]["volumeClaimTemplate"]
    for kind, fields in (("Pod", {"spec": pod}), ("PersistentVolumeClaim", claim)):
        document = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}, **fields}
        kubernetes_validate.validate(document, "1.34", strict=True)
