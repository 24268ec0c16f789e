"""Each kind of expectation is met by the right volume or output, and by no other."""

from __future__ import annotations

from typing import Any

import pytest

from lls_provider.conformance.cases import Expectation, ExpectedMessage
from lls_provider.conformance.judge import Observed, differences
from lls_provider.conformance.process import CommandResult, Ending
from lls_provider.conformance.volume_state import VolumeState

PACKAGE = "external-providers/python-packages/dep-1.0.dist-info/METADATA"


def observed(
    status: int | None = 0, err: str = "", files: dict[str, str] | None = None, **more: Any
) -> Observed:
    ending = Ending.EXIT if status is not None else Ending.TIME
    result = CommandResult(ending, status, more.pop("out", "").encode(), err.encode())
    after = VolumeState({path: text.encode() for path, text in (files or {}).items()})
    return Observed(result, after=after, **more)


def found(expect: dict[str, Any], seen: Observed) -> list[str]:
    return [f"{it.expected} / {it.found}" for it in differences(Expectation(**expect), seen)]


OVERRIDE = (
    "External provider 'a' overrides base provider in API 'inference'\n"
    "  Base type: remote::b\n  External type: remote::c"
)
IN_LOG = ExpectedMessage("override", {"providerId": "a"}, ("remote::b",), "log")
STATE = VolumeState({PACKAGE: b"x"})


@pytest.mark.parametrize(
    ("expect", "right", "wrong", "cause"),
    [
        ({}, observed(), observed(1, "no\nway\n"), "exit status 1; stderr ends in: no | way"),
        ({}, observed(), observed(None), "it ran longer than the time limit; nothing on stderr"),
        ({"status": 1}, observed(1), observed(2), "expected exit status 1 / exit status 2"),
        ({"status": "failure"}, observed(3), observed(0), "other than 0 / exit status 0"),
        ({"status": "failure"}, observed(3), observed(None), "other than 0 / it ran longer"),
        (
            {"packages": {"dep": "1.0"}},
            observed(files={PACKAGE: ""}),
            observed(),
            "distributions in python-packages: dep 1.0 / none",
        ),
        (
            {"files": {"a": "text", "b": None}},
            observed(files={"a": "text"}),
            observed(files={"a": "other", "b": "there"}),
            "no file b / there",
        ),
        (
            {"lines": {"a": ["one", "two"]}},
            observed(files={"a": "one\ntwo\n"}),
            observed(files={"a": "two\none\n"}),
            "a has the lines ['one', 'two'] / two\none\n",
        ),
        (
            {"copies": {"a": "spec"}},
            observed(files={"a": "x"}, image={"spec": b"x"}),
            observed(files={"a": "y"}, image={"spec": b"x"}),
            "a is the image's spec / other content",
        ),
        (
            {"documents": {"a": {"x": 1, "y": [True]}}},
            observed(files={"a": "{x: 1, y: [yes]}"}),
            observed(files={"a": "{x: 1, y: [1]}"}),
            "a is {'x': 1, 'y': [True]} / {'x': 1, 'y': [1]}",
        ),
        (
            {"documents": {"a": {"x": 1, "y": 2}}},
            observed(files={"a": "{x: 1, y: 2}"}),
            observed(files={"a": "{y: 2, x: 1}"}),
            "/ {'y': 2, 'x': 1}",
        ),
        (
            {"documents": {"a": {}}},
            observed(files={"a": "{}"}),
            observed(files={"a": "{"}),
            "a is a YAML document / ",
        ),
        ({"documents": {"a": {}}}, observed(files={"a": "{}"}), observed(), "no such file"),
        (
            {"includes": {"a": {"x": 1}}},
            observed(files={"a": "{x: 1, z: 1}"}),
            observed(files={"a": "[]"}),
            "a has x: 1 / None",
        ),
        (
            {"lacks": {"a": ["x"]}},
            observed(files={"a": "{y: 1}"}),
            observed(files={"a": "{x: 1}"}),
            "a has no x / x: 1",
        ),
        ({"output": ["word"]}, observed(out="a word"), observed(), "output with 'word' / nothing"),
        ({"numbers": [5]}, observed(err=":5:1"), observed(err="15 50"), "the number 5 / 15 50"),
        (
            {"no_messages": ["override"]},
            observed(err="fine"),
            observed(err=OVERRIDE),
            "no message in the layout override",
        ),
        (
            {"messages": [IN_LOG]},
            observed(files={"config/merge-log.txt": f"x\n{OVERRIDE}\ny"}),
            observed(files={"config/merge-log.txt": OVERRIDE.replace("::b", "::d")}),
            "log: a message in the layout override that names 'remote::b' / External",
        ),
        (
            {"messages": [IN_LOG]},
            observed(files={"config/merge-log.txt": OVERRIDE}),
            observed(err=OVERRIDE),
            "in the layout override\nExternal provider 'a' overrides base provider in API '…'",
        ),
        (
            {"messages": [ExpectedMessage("override", stream="termination_log")]},
            observed(termination_log=OVERRIDE.encode()),
            observed(termination_log=OVERRIDE.encode() + b"x" * 4096),
            "at most 4,096 bytes",
        ),
        (
            {"unchanged": True},
            observed(files={PACKAGE: "x"}, before=STATE),
            observed(files={PACKAGE: "y"}, before=STATE),
            f"the volume as it was before / {PACKAGE} differs",
        ),
        (
            {"as_clean": [0]},
            observed(files={PACKAGE: "x"}, clean=STATE),
            observed(clean=STATE),
            f"the volume as after one clean run / {PACKAGE} is missing",
        ),
    ],
)
def test_the_right_is_right_and_the_wrong_is_not(
    expect: dict[str, Any], right: Observed, wrong: Observed, cause: str
) -> None:
    assert found(expect, right) == []
    assert any(cause in f"expected {it}" for it in found(expect, wrong)), found(expect, wrong)


def test_of_many_differing_files_some_are_listed() -> None:
    files = {f"external-providers/python-packages/{n}.py": "" for n in range(9)}
    (text,) = found({"unchanged": True}, observed(files=files))
    assert text.endswith("4.py is there besides and 4 more differences")


def test_a_volume_that_cannot_be_read_is_a_difference() -> None:
    seen = Observed(CommandResult(Ending.EXIT, 0), after=VolumeState({}, ("gone",)))
    assert found({}, seen) == ["a volume that can be read / gone"]


POD = """\
# a comment
---
kind: ConfigMap
---
kind: Deployment
spec:
  template:
    spec:
      volumes: [{name: v, emptyDir: {sizeLimit: 2Gi}}]
      securityContext: {runAsNonRoot: true}
      initContainers:
      - &first
        name: install-provider-a
        image: a:1
        imagePullPolicy: Always
        volumeMounts: [{name: v, mountPath: /opt/llama-stack}]
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {drop: [ALL]}
      containers:
      - <<: *first
        name: server
        env: [{name: PYTHONPATH, value: '/opt/llama-stack/external-providers/python-packages:/x'}]
"""
RULES = {
    "providers": [{"name": "install-provider-a", "image": "a:1", "imagePullPolicy": "Always"}],
    "security": True,
    "volume": True,
    "path": True,
}


def test_a_pod_in_a_template_is_found_and_right() -> None:
    assert found({"pod": RULES}, observed(out=POD)) == []


@pytest.mark.parametrize(
    ("before", "after", "cause"),
    [
        ("image: a:1", "image: a:2", "init containers "),
        ("runAsNonRoot: true", "runAsNonRoot: false", "a secure runAsNonRoot"),
        ("Escalation: false", "Escalation: true", "a secure allowPrivilegeEscalation"),
        ("drop: [ALL]", "drop: []", "a secure capabilities.drop"),
        ("Filesystem: true", "Filesystem: 1", "a secure readOnlyRootFilesystem"),
        ("{sizeLimit: 2Gi}", "{}", "an emptyDir with a sizeLimit"),
        ("mountPath: /opt", "mountPath: /other", "an emptyDir with a sizeLimit"),
        ("/opt/llama-stack/external-providers/python-packages:/x", "/x", "PYTHONPATH"),
        ("containers:\n", "others:\n", "with a Pod"),
        ("securityContext: {run", "securityContext: [run", "with a Pod"),
    ],
)
def test_a_wrong_pod_is_not(before: str, after: str, cause: str) -> None:
    assert before in POD
    texts = found({"pod": RULES}, observed(out=POD.replace(before, after)))
    assert any(cause in text for text in texts), texts


def test_a_list_of_resources_and_json_are_read() -> None:
    import json

    import yaml

    pod = {"kind": "Pod", "spec": list(yaml.safe_load_all(POD))[-1]["spec"]["template"]["spec"]}
    text = json.dumps({"kind": "List", "items": [{"kind": "Secret"}, pod]})
    assert found({"pod": RULES}, observed(out=text)) == []
