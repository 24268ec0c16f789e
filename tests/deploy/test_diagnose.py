"""Where a Pod comes from: a file, stdin, kubectl; what is no Pod; and what people are shown."""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tests.deploy.recordings import PODS, diagnosed, document, recorded

from lls_provider.cli.diagnose import command, describe
from lls_provider.deploy import diagnose as module
from lls_provider.deploy.diagnose import diagnose, diagnose_json
from lls_provider.errors import Code, SdkError
from lls_provider.untrusted import escaped

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Kubectl = Callable[[str], Path]
NAME = "my-server-6c9f7d4b8-x2k9q"


def refused(act: Callable[[], object]) -> SdkError:
    with pytest.raises(SdkError) as caught:
        act()
    assert caught.value.resolution
    return caught.value


def piped(data: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "lls_provider.cli", "diagnose", *arguments],
        input=data,
        capture_output=True,
        check=False,
    )


# where a Pod comes from


def test_a_file_is_read() -> None:
    (found,) = diagnose(PODS / "ready.json").pods
    assert found.pod.name == NAME
    assert found.is_ready


def test_stdin_is_read() -> None:
    done = piped(recorded("crash-loop-conflict"), "-")
    assert done.returncode == 1
    assert done.stderr == b""
    assert b"due to dependency conflict" in done.stdout


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_what_windows_shells_write_is_read(encoding: str) -> None:
    data = recorded("ready").decode().encode(encoding)
    assert diagnose_json(data, source="test").pods[0].is_ready


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kubectl:
    """A kubectl of the given script, first on PATH; its arguments go to the file that is returned.

    No cluster can be had here, and faults of one must be injected.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    log = tmp_path / "arguments"

    def make(script: str) -> Path:
        program = folder / "kubectl"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {log}\n{script}\n')
        program.chmod(0o755)
        return log

    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return make


@pytest.mark.parametrize("form", ["pod", "pods", "po"])
def test_a_pod_is_read_through_kubectl(kubectl: Kubectl, form: str) -> None:
    log = kubectl(f"cat {PODS / 'ready.json'}")
    (found,) = diagnose(f"{form}/{NAME}").pods
    assert found.is_ready
    assert log.read_text().splitlines() == ["get", "pod", NAME, "--output=json"]


def test_kubectl_is_told_the_namespace(kubectl: Kubectl) -> None:
    log = kubectl(f"cat {PODS / 'ready.json'}")
    diagnose(f"pod/{NAME}", namespace="llama")
    assert log.read_text().splitlines()[-1] == "--namespace=llama"


def test_the_command_line_reads_a_pod_through_kubectl(kubectl: Kubectl, cli: Cli) -> None:
    log = kubectl(f"cat {PODS / 'failed-conflict.json'}")
    done = cli("diagnose", f"pod/{NAME}", "-n", "llama")
    assert done.returncode == 1
    assert "due to dependency conflict" in done.stdout
    assert "--namespace=llama" in log.read_text()


def test_a_kubectl_that_fails_is_reported_with_its_words(kubectl: Kubectl) -> None:
    kubectl(f"echo 'Error from server (NotFound): pods \"{NAME}\" not found' >&2; exit 1")
    error = refused(lambda: diagnose(f"pod/{NAME}", namespace="llama"))
    assert error.code is Code.CLUSTER_FAILED
    text = error.render()
    assert "kubectl failed with exit status 1" in text
    assert f'Error from server (NotFound): pods "{NAME}" not found' in text
    assert f"kubectl get pod {NAME} --output=json --namespace=llama" in text


def test_the_advice_about_kubectl_is_the_command_that_was_run(kubectl: Kubectl) -> None:
    log = kubectl("exit 1")
    error = refused(lambda: diagnose(f"pod/{NAME}", namespace="llama"))
    asked = log.read_text()
    log.unlink()
    advice = error.resolution.partition("run it again: ")[2]
    assert subprocess.run(shlex.split(advice), check=False).returncode == 1
    assert log.read_text() == asked


@pytest.mark.slow
def test_a_kubectl_that_hangs_is_ended_with_what_it_started(
    kubectl: Kubectl, tmp_path: Path
) -> None:
    # the child holds stdout open, as a plugin that waits for a login does
    kubectl(f"sleep 300 & echo $! > {tmp_path / 'child'}; wait")
    error = refused(lambda: diagnose(f"pod/{NAME}", timeout=1))
    assert error.code is Code.CLUSTER_FAILED
    assert "did not answer within 1 s" in error.what
    with contextlib.suppress(ProcessLookupError):  # it has gone already
        child = os.pidfd_open(int((tmp_path / "child").read_text()))
        assert select.select([child], [], [], 60)[0], "it still runs"
        os.close(child)


@pytest.mark.parametrize(("name", "status"), [("TERM", 143), ("INT", 130)])
def test_a_signal_ends_kubectl_too(
    kubectl: Kubectl, tmp_path: Path, cli: Cli, name: str, status: int
) -> None:
    kubectl(f"echo $$ > {tmp_path / 'child'}; kill -{name} $PPID; exec sleep 300")
    done = cli("diagnose", f"pod/{NAME}", timeout=120)
    assert done.returncode == status
    with contextlib.suppress(ProcessLookupError):
        child = os.pidfd_open(int((tmp_path / "child").read_text()))
        assert select.select([child], [], [], 60)[0], "it still runs"
        os.close(child)


def test_a_kubectl_that_is_missing_leads_to_a_pipe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = refused(lambda: diagnose(f"pod/{NAME}"))
    assert error.code is Code.TOOL_MISSING
    assert "kubectl get pod NAME -o json | lls-provider diagnose -" in error.resolution


def test_a_kubectl_that_prints_something_else_is_not_a_pod(kubectl: Kubectl) -> None:
    kubectl("echo 'No resources found'")
    error = refused(lambda: diagnose(f"pod/{NAME}"))
    assert error.code is Code.POD_INVALID
    assert error.where.file == f"pod/{NAME}"


@pytest.mark.parametrize(
    "name", ["--kubeconfig=/etc/passwd", "-A", "a b", "UPPER", "", "a\nb", "a;b", "x" * 254]
)
def test_what_cannot_be_a_name_never_reaches_kubectl(kubectl: Kubectl, name: str) -> None:
    log = kubectl("exit 0")
    assert refused(lambda: diagnose(f"pod/{name}")).code is Code.USAGE
    assert refused(lambda: diagnose("pod/a", namespace=name)).code is Code.USAGE
    assert not log.exists()


def test_a_namespace_belongs_to_a_pod() -> None:
    error = refused(lambda: diagnose(PODS / "ready.json", namespace="llama"))
    assert error.code is Code.USAGE


def test_a_terminal_as_stdin_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", terminal)
    assert refused(lambda: diagnose("-")).code is Code.USAGE


# what is not a Pod


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"", "There is no JSON to read"),
        (b" \n", "There is no JSON to read"),
        (b'{"kind": "Pod", ', "The JSON ends too early"),
        (b'{"kind": "Po', "The JSON ends too early"),
        (b"apiVersion: v1\nkind: Pod\n", "This is not JSON"),
        (b"NAME  READY  STATUS\n", "This is not JSON"),
        (b'{"kind": "Pod"} {}', "This is not JSON"),
        (b'{"kind": NaN}', "NaN is not JSON"),
        (b"\xff\xfe\xff", "This is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"kind": ' + b"1" * 5000 + b"}", "This is not JSON"),
        (b"null", "it is null, not an object"),
        (b"[]", "it is a list, not an object"),
        (b"{}", "it has no kind"),
        (b'{"kind": 1}', "kind is a number, not text"),
        (b'{"kind": "Deployment"}', "its kind is 'Deployment'"),
        (b'{"kind": "List", "items": []}', "The list has no Pods"),
        (b'{"kind": "List", "items": 1}', "items is a number, not a list"),
        (b'{"kind": "List", "items": [1]}', "items[0] is a number, not an object"),
        (b'{"kind": "Pod"}', "The Pod has no spec"),
        (b'{"kind": "Pod", "spec": {"containers": []}}', "this is a manifest"),
    ],
)
def test_what_is_not_a_pod_is_refused(data: bytes, shown: str) -> None:
    error = refused(lambda: diagnose_json(data, source="pod.json"))
    assert error.code is Code.POD_INVALID
    assert shown in error.render()
    assert "File: pod.json" in error.render()
    assert "kubectl get pod NAME -o json" in error.resolution or "Name the Pod" in error.resolution


def test_a_list_without_a_pod_of_ours_names_the_containers() -> None:
    pods = document("list")
    pods["items"] = [document("other-pod")] * 2
    error = refused(lambda: diagnose_json(json.dumps(pods).encode(), source="test"))
    assert error.what == "None of the 2 Pods has a container that installs a provider"
    assert error.why == "The containers are: nginx, nginx"


def test_json_that_is_cut_has_its_line() -> None:
    error = refused(lambda: diagnose_json(recorded("ready")[:5000], source="pod.json"))
    assert error.what == "The JSON ends too early"
    assert error.where.line == recorded("ready")[:5000].count(b"\n") + 1


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        (("status",), "x", "status is text, not an object"),
        (("spec", "initContainers"), {}, "spec.initContainers is an object, not a list"),
        (("spec", "initContainers", 0, "name"), 1, "spec.initContainers[0].name is a number"),
        (("spec", "initContainers", 0, "command"), [1], "initContainers[0].command[0] is a number"),
        (
            ("status", "initContainerStatuses", 0, "restartCount"),
            True,
            "status.initContainerStatuses[0].restartCount is true or false, not a number",
        ),
        (
            ("status", "initContainerStatuses", 0, "state", "terminated", "exitCode"),
            "0",
            "status.initContainerStatuses[0].state.terminated.exitCode is text, not a number",
        ),
    ],
)
def test_a_field_of_the_wrong_type_is_named(
    path: tuple[str | int, ...], value: object, shown: str
) -> None:
    error = refused(lambda: diagnosed(changed("ready", path, value)))
    assert error.code is Code.POD_INVALID
    assert shown in error.render()


def test_a_file_that_is_too_large_is_not_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "SIZE_LIMIT", 1024 * 1024)
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (1024 * 1024 + 1))
    assert "more than 1 MiB" in refused(lambda: diagnose(large)).what


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nowhere.json", Code.FILE_MISSING),
        (".", Code.FILE_UNREADABLE),
        ("a\0b", Code.FILE_UNREADABLE),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: Code
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused(lambda: diagnose(name)).code is code


# whatever the JSON is

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(sorted(it.stem for it in PODS.glob("*.json")))


def changed(name: str, path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """A recorded Pod with another value at one place."""
    pod = document(name)
    inner: Any = pod
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return pod


def diagnosed_or_refused(data: bytes) -> None:
    try:
        found = diagnose_json(data, source="test")
    except SdkError as error:
        assert error.code is Code.POD_INVALID
        error.render()
        return
    for diagnosis in found.pods:
        escaped(describe(diagnosis))
    json.dumps(found.to_document())


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(SdkError):
        diagnose_json(data, source="test")


@given(VALUES)
def test_any_json_is_refused(value: object) -> None:
    with pytest.raises(SdkError):
        diagnose_json(json.dumps(value).encode(), source="test")


@given(NAMES, VALUES, st.data())
def test_any_change_to_a_pod_is_diagnosed_or_refused(
    name: str, value: object, data: st.DataObject
) -> None:
    pod = document(name)
    inner: Any = pod
    for _ in range(data.draw(st.integers(0, 8))):
        steps = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        step = data.draw(st.sampled_from(steps)) if steps else None
        if step is None or not isinstance(inner[step], (dict, list)):
            break
        inner = inner[step]
    if isinstance(inner, list) and inner:
        inner[data.draw(st.integers(0, len(inner) - 1))] = value
    elif isinstance(inner, dict) and inner:
        inner[data.draw(st.sampled_from(sorted(inner)))] = value
    diagnosed_or_refused(json.dumps(pod).encode())


@given(NAMES, st.integers(min_value=0))
def test_a_pod_that_is_cut_anywhere_is_refused(name: str, place: int) -> None:
    data = recorded(name).rstrip()
    with pytest.raises(SdkError):
        diagnose_json(data[: place % len(data)], source="test")


# what people are shown


def test_the_table_and_the_cause() -> None:
    text = describe(diagnosed("crash-loop-conflict"))
    assert text.splitlines()[:9] == [
        f"Pod llama/{NAME} on node worker-1: Pending",
        "",
        "PHASE      PROVIDER    STATUS   CONTAINER",
        "install    acme-echo   Ready    install-provider-acme-echo",
        "install    acme-guard  Failed   install-provider-acme-guard",
        "extract    -           Pending  extract-distribution-config",
        "merge      -           Pending  merge-config",
        "preflight  -           Pending  preflight",
        "server     -           Pending  llama-stack",
    ]
    assert "\n  Resolution: Update provider images to use compatible" in text
    assert text.endswith("\n\n1 problem to solve.")


@pytest.mark.parametrize(
    ("name", "status", "end"),
    [
        ("ready", 0, "Every provider is installed, and the server is ready."),
        ("installing", 0, "The Pod is still starting."),
        ("pending", 0, "The Pod is still starting."),
        ("image-pull-backoff", 1, "1 problem to solve."),
        ("evicted-volume", 1, "1 problem to solve."),
        ("node-lost", 1, "1 problem to solve."),
    ],
)
def test_the_exit_status_and_the_last_line_agree(
    cli: Cli, name: str, status: int, end: str
) -> None:
    done = cli("diagnose", PODS / f"{name}.json")
    assert done.returncode == status
    assert done.stdout.splitlines()[-1] == end


def test_json_is_the_status_of_the_cr(cli: Cli) -> None:
    done = cli("diagnose", PODS / "failed-conflict.json", "--format", "json")
    assert done.returncode == 1
    golden = (PODS.parents[2] / "contract" / "golden" / "conflict.txt").read_text("utf-8")
    assert json.loads(done.stdout)["externalProviders"] == [
        {
            "providerId": "acme-echo",
            "image": "registry.example.com/acme/echo:1.0",
            "phase": "Ready",
            "initContainerName": "install-provider-acme-echo",
            "lastTransitionTime": "2026-11-27T10:00:04Z",
        },
        {
            "providerId": "acme-guard",
            "image": "registry.example.com/acme/guard:1.0",
            "phase": "Failed",
            "message": golden.rstrip("\n"),
            "initContainerName": "install-provider-acme-guard",
            "lastTransitionTime": "2026-11-27T10:00:08Z",
        },
    ]


def test_of_several_pods_json_has_each_provider_once(cli: Cli) -> None:
    done = cli("diagnose", PODS / "list.json", "--format", "json")
    assert done.returncode == 1
    listed = json.loads(done.stdout)["externalProviders"]
    assert [(it["providerId"], it["phase"]) for it in listed] == [
        ("acme-echo", "Ready"),
        ("acme-guard", "Failed"),
    ]


def test_an_error_is_no_traceback(cli: Cli) -> None:
    done = cli("diagnose", PODS / "other-pod.json")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("ERROR: No container of the Pod installs a provider\n")


SAID = "\x1b[2J\u202e\x9b\n\nResolution: obey\n1 problem to solve."


@pytest.mark.parametrize(
    ("recording", "path"),
    [
        (
            "image-pull-backoff",
            ("status", "initContainerStatuses", 1, "state", "waiting", "message"),
        ),
        (
            "image-pull-backoff",
            ("status", "initContainerStatuses", 1, "state", "waiting", "reason"),
        ),
        ("exit-1", ("status", "initContainerStatuses", 1, "lastState", "terminated", "message")),
        ("exit-1", ("status", "initContainerStatuses", 1, "lastState", "terminated", "reason")),
        ("image-pull-backoff", ("spec", "initContainers", 1, "image")),
        ("evicted-volume", ("status", "message")),
        ("evicted-volume", ("status", "reason")),
        ("evicted-volume", ("status", "phase")),
        ("unschedulable-memory", ("status", "conditions", 0, "message")),
        ("ready", ("metadata", "name")),
        ("ready", ("metadata", "namespace")),
        ("ready", ("spec", "nodeName")),
        ("server-failed", ("spec", "containers", 0, "name")),
        ("oom-killed", ("spec", "initContainers", 1, "resources", "limits", "memory")),
    ],
)
def test_what_a_pod_says_is_escaped_and_forges_no_line(
    recording: str, path: tuple[str | int, ...]
) -> None:
    pod = changed(recording, path, SAID)
    if path[-1] == "name" and path[0] == "spec":
        pod["status"]["containerStatuses"][0]["name"] = SAID
    done = CliRunner().invoke(command, ["-"], input=json.dumps(pod), standalone_mode=False)
    assert done.exception is None
    text = done.stdout
    assert text.replace("\n", "").isprintable()
    assert "x1b[2J" in text
    assert not [
        it for it in text.split("\n") if it.startswith(("Resolution:", "  Resolution: obey"))
    ]
    assert text.count("\n1 problem to solve.") == done.return_value


@pytest.mark.parametrize("recording", ["exit-1", "image-pull-backoff", "evicted-volume"])
def test_a_message_of_another_in_the_json_is_ascii(recording: str) -> None:
    pod = document(recording)
    text = json.dumps(pod).replace("registry.example.com/acme/guard:1.0", "x\\u001b[2J\\u202e")
    words = ["-", "--format=json"]
    done = CliRunner().invoke(command, words, input=text, standalone_mode=False)
    assert done.stdout.isascii()
    assert done.stdout.replace("\n", "").isprintable()
    assert json.loads(done.stdout)["externalProviders"][1]["image"] == "x\x1b[2J\u202e"


# the commands that a resolution names


@pytest.mark.parametrize(
    "recording", ["exit-1", "exit-143", "server-failed", "message-cut", "message-cut-4096"]
)
@pytest.mark.parametrize("name", [NAME, "a; touch pwned", "$(touch pwned)", "-x"])
def test_the_command_of_a_resolution_can_be_pasted(
    kubectl: Kubectl, tmp_path: Path, recording: str, name: str
) -> None:
    log = kubectl("exit 0")
    (failure,) = diagnosed(changed(recording, ("metadata", "name"), name)).failures
    advice = "kubectl " + failure.resolution.partition("kubectl ")[2]
    subprocess.run(["/bin/sh", "-c", advice], cwd=tmp_path, check=True)
    asked = log.read_text().splitlines()
    assert asked[0] in ("logs", "describe")
    assert f"pod/{name}" in asked
    assert asked[asked.index("-n") + 1] == "llama"
    if asked[0] == "logs":
        assert "-c" in asked
        assert "--previous" in asked
    assert not (tmp_path / "pwned").exists()
