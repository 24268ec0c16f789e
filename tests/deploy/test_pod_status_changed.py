"""What differs from the recorded Pods: which container is the server, what it left, and when."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.deploy.recordings import PODS, diagnosed, document

from lls_provider.cli.diagnose import describe
from lls_provider.errors import SdkError


def without(name: str, *path: str | int) -> dict[str, Any]:
    """A recorded Pod without one of its fields."""
    pod = document(name)
    inner: Any = pod
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return pod


def test_a_pod_without_container_statuses_is_pending() -> None:
    found = diagnosed(without("ready", "status", "initContainerStatuses"))
    assert [it.phase.value for it in found.providers] == ["Pending", "Pending"]


def test_a_back_off_without_the_run_before_it_is_explained_all_the_same() -> None:
    path = ("status", "initContainerStatuses", 1, "lastState")
    (failure,) = diagnosed(without("crash-loop-conflict", *path)).failures
    assert failure.reason == "CrashLoopBackOff"
    assert "ended 4 times" in failure.what


def test_an_unknown_reason_is_shown_with_where_to_look() -> None:
    pod = document("image-pull-backoff")
    waiting = pod["status"]["initContainerStatuses"][1]["state"]["waiting"]
    waiting |= {"reason": "SomethingNew", "message": "said so"}
    (failure,) = diagnosed(pod).failures
    assert (failure.reason, failure.details) == ("SomethingNew", "said so")
    assert "kubectl describe pod/my-server-6c9f7d4b8-x2k9q -n llama" in failure.resolution


def test_an_unknown_reason_of_the_pod_is_shown() -> None:
    pod = document("evicted-volume")
    pod["status"] |= {"reason": "SomethingNew"}
    (failure,) = diagnosed(pod).failures
    assert failure.reason == "SomethingNew"


@pytest.mark.parametrize(("status", "shown"), [(42, "exit status 42"), (255, "exit status 255")])
def test_an_unknown_exit_status_is_shown(status: int, shown: str) -> None:
    pod = document("exit-1")
    ended = pod["status"]["initContainerStatuses"][1]["lastState"]["terminated"]
    ended["exitCode"] = status
    (failure,) = diagnosed(pod).failures
    assert failure.what == f"The container failed with {shown}"


def by_script(install: str) -> dict[str, Any]:
    """A recorded Pod whose main container runs a script that somebody wrote by hand."""
    pod = document("ogxserver-ready")
    script = "".join(
        f"python3 -I -S /images/{it}/lls-provider/lls-provider.pyz install {install}\n"
        for it in ("acme-echo", "acme-guard")
    )
    container = pod["spec"]["containers"][0]
    container |= {"command": ["/bin/sh", "-c", f"pip install requests\n{script}"], "args": []}
    container["env"] = [it for it in container["env"] if it["name"] != "LLS_PROVIDERS"]
    for name in ("acme-echo", "acme-guard"):
        container["command"][-1] = container["command"][-1].replace("ID", name, 1)
    return pod


def test_the_providers_of_a_script_are_read_from_its_command_lines() -> None:
    found = diagnosed(by_script("--provider-id=ID --api safety --image 'registry.test/a:1'"))
    assert [(it.provider_id, it.image) for it in found.providers] == [
        ("acme-echo", "registry.test/a:1"),
        ("acme-guard", "registry.test/a:1"),
    ]


def test_the_image_of_a_provider_is_that_of_its_volume_where_the_command_has_none() -> None:
    pod = by_script('--provider-id "ID"')
    assert [it.image for it in diagnosed(pod).providers] == [
        "registry.example.com/acme/echo:1.0",
        "registry.example.com/acme/guard:1.0",
    ]
    for volume in pod["spec"]["volumes"]:
        volume.pop("image", None)
    assert [it.to_document()["image"] for it in diagnosed(pod).providers] == ["", ""]


@pytest.mark.parametrize("value", ["", "x", "[]", "[" * 50_000, '[{"id": 1}]', "null"])
def test_providers_that_cannot_be_read_are_none(value: str) -> None:
    pod = document("ogxserver-ready")
    for variable in pod["spec"]["containers"][0]["env"]:
        if variable["name"] == "LLS_PROVIDERS":
            variable["value"] = value
    found = diagnosed(pod)
    assert found.providers == ()
    assert [it.name for it in found.phases] == ["preflight", "server"]


def test_a_long_list_of_providers_is_read_whole() -> None:
    pod = document("ogxserver-ready")
    entries = [
        {"id": f"p{number}", "api": "safety", "image": "i", "source": "/s", "config": "x" * 500}
        for number in range(200)
    ]
    for variable in pod["spec"]["containers"][0]["env"]:
        if variable["name"] == "LLS_PROVIDERS":
            variable["value"] = json.dumps(entries)
    assert len(diagnosed(pod).providers) == 200


@pytest.mark.parametrize(
    ("name", "annotations"),
    [("ogx", {}), ("server", {"kubectl.kubernetes.io/default-container": "server"})],
)
def test_the_server_is_found_by_its_name_where_it_has_no_volume(
    name: str, annotations: dict[str, str]
) -> None:
    pod = document("sidecar-beside-server-failed")
    pod["metadata"]["annotations"] = annotations
    server, proxy = pod["spec"]["containers"]
    server |= {"name": name, "volumeMounts": []}
    pod["spec"]["containers"] = [proxy, server]
    pod["status"]["containerStatuses"][0]["name"] = name
    assert [it.container for it in diagnosed(pod).phases if it.name == "server"] == [name]


def test_the_server_is_the_container_with_the_volume_before_one_of_its_name() -> None:
    pod = document("sidecar-beside-server-failed")
    server, proxy = pod["spec"]["containers"]
    names = {"llama-stack": "main", "proxy": "ogx"}
    for container in (server, proxy, *pod["status"]["containerStatuses"]):
        container["name"] = names[container["name"]]
    pod["spec"]["containers"] = [proxy, server]
    assert [it.container for it in diagnosed(pod).phases if it.name == "server"] == ["main"]


def test_a_server_that_has_started_has_its_providers() -> None:
    pod = document("ogxserver-ready")
    pod["status"]["containerStatuses"][0]["ready"] = False
    assert [it.phase.value for it in diagnosed(pod).providers] == ["Ready", "Ready"]
    del pod["spec"]["containers"][0]["startupProbe"]  # then started only says that it runs
    assert [it.phase.value for it in diagnosed(pod).providers] == ["Installing", "Installing"]


def test_the_first_container_is_the_server_where_nothing_says_which() -> None:
    pod = document("ready")
    pod["spec"]["containers"][0] |= {"name": "main", "volumeMounts": []}
    pod["status"]["containerStatuses"][0]["name"] = "main"
    assert diagnosed(pod).is_ready


def test_a_container_that_the_node_lost_has_the_message_of_its_pod() -> None:
    message = diagnosed("evicted-node-memory").providers[1].message
    assert message.startswith("The kubelet evicted the Pod (Evicted)\n\nThe node was low on")


def test_a_log_in_place_of_a_message_is_kept() -> None:
    pod = document("exit-1")
    ended = pod["status"]["initContainerStatuses"][1]["lastState"]["terminated"]
    ended["message"] = "lls-provider: reading\nKilled\n"
    found = diagnosed(pod)
    assert found.failures[0].details == "lls-provider: reading\nKilled"
    assert "Killed" in found.providers[1].message


def test_an_error_at_the_end_of_a_log_is_read() -> None:
    pod = document("crash-loop-conflict")
    ended = pod["status"]["initContainerStatuses"][1]["lastState"]["terminated"]
    ended["message"] = "lls-provider: reading wheels\n" + ended["message"]
    (failure,) = diagnosed(pod).failures
    assert failure.what == "Cannot install provider 'acme-guard' due to dependency conflict"


@pytest.mark.parametrize(
    ("name", "phases"),
    [
        ("preflight-in-server-running", "preflight Running, server Running"),
        ("ogxserver-ready", "preflight Completed, server Ready"),
        ("ogxserver-installing", "preflight Running, server Running"),
        ("ogxserver-creating", "preflight Pending, server Pending"),
        ("ogxserver-startup-probe", "server Failed"),
        ("ogxserver-conflict", "server Pending"),
        ("ogxserver-preflight", "preflight Failed, server Pending"),
        ("server-failed", "preflight Completed, server Failed"),
    ],
)
def test_the_preflight_of_the_main_container_is_a_phase(name: str, phases: str) -> None:
    found = [it for it in diagnosed(name).phases if it.name in ("preflight", "server")]
    assert ", ".join(f"{it.name} {it.state}" for it in found) == phases


def test_a_server_that_started_once_has_passed_its_preflight() -> None:
    pod = document("preflight-in-server-running")
    pod["status"]["containerStatuses"][0]["started"] = True
    (preflight,) = (it for it in diagnosed(pod).phases if it.name == "preflight")
    assert preflight.state == "Completed"


@pytest.mark.parametrize("name", ["installing", "ready", "sidecar-ready"])
def test_what_runs_as_it_should_has_no_cause(name: str) -> None:
    waiting = {"PodInitializing"}
    causes = [it.cause for it in diagnosed(name).phases if it.cause is not None]
    assert {it.reason for it in causes} <= waiting


def test_a_sidecar_that_does_not_start_yet_is_waited_for() -> None:
    pod = document("sidecar-ready")
    pod["status"]["initContainerStatuses"][0] |= {"ready": False, "started": False}
    assert diagnosed(pod).failures == ()


def terminated(name: str, key: str = "containerStatuses", index: int = 0) -> dict[str, Any]:
    """A recorded Pod whose container has ended, and is not started again."""
    pod = document(name)
    status = pod["status"][key][index]
    status |= {"state": status["lastState"], "lastState": {}}
    return pod


def test_a_main_container_that_ended_names_the_provider_at_fault() -> None:
    found = diagnosed(terminated("ogxserver-conflict"))
    assert [it.phase.value for it in found.providers] == ["Ready", "Failed"]
    golden = (PODS.parents[2] / "contract" / "golden" / "conflict.txt").read_text("utf-8")
    assert found.providers[1].message == golden.rstrip("\n")
    assert found.providers[0].message == ""


def test_a_main_container_that_failed_without_a_message_fails_all_its_providers() -> None:
    for pod in (document("ogxserver-conflict"), terminated("ogxserver-conflict")):
        status = pod["status"]["containerStatuses"][0]
        (status["lastState"] or status["state"])["terminated"]["message"] = "Killed\n"
        found = diagnosed(pod)
        assert [it.phase.value for it in found.providers] == ["Failed", "Failed"]
        for provider in found.providers:
            assert provider.message.startswith("The container failed without a message (")
            assert "Killed" in provider.message


def test_a_failed_sidecar_is_shown_wherever_it_is() -> None:
    pod = document("ogxserver-conflict")
    other = document("sidecar-beside-server-failed")
    for place in (0, len(pod["spec"]["containers"])):
        changed = json.loads(json.dumps(pod))
        changed["spec"]["containers"].insert(place, other["spec"]["containers"][1])
        changed["status"]["containerStatuses"] += [other["status"]["containerStatuses"][1]]
        phases = [it.name for it in diagnosed(changed).phases]
        assert sorted(phases) == ["install", "install", "server", "sidecar"]


def test_of_two_containers_that_could_be_the_server_the_first_is_it() -> None:
    pod = document("sidecar-beside-server-failed")
    server, proxy = pod["spec"]["containers"]
    server |= {"name": "main", "volumeMounts": []}
    pod["status"]["containerStatuses"][0]["name"] = "main"
    assert [it.container for it in diagnosed(pod).phases if it.name == "server"] == ["main"]
    assert proxy["name"] == "proxy"


@pytest.mark.parametrize(
    ("command", "provider"),
    [
        (["sh", "-c", "apt-get install curl"], False),
        (["python3", "lls-provider.pyz", "preflight"], False),
        (["python3", "lls-provider.pyz", "install", "--provider-id", "a"], True),
    ],
)
def test_a_main_container_installs_when_it_runs_our_installer(
    command: list[str], *, provider: bool
) -> None:
    pod = document("other-pod")
    pod["spec"]["containers"][0]["command"] = command
    if provider:
        assert [it.provider_id for it in diagnosed(pod).providers] == ["a"]
    else:
        with pytest.raises(SdkError):
            diagnosed(pod)


@pytest.mark.parametrize(
    ("message", "resolution"),
    [
        ("ERROR: x\n\nProvider: a\n\nwhy", "The message is cut; "),
        (f"ERROR: x\n\n{'y' * 5000}\n\nResolution: do", "do… The message is cut; "),
    ],
)
def test_what_is_left_of_a_cut_message_is_shown(message: str, resolution: str) -> None:
    pod = document("exit-1")
    ended = pod["status"]["initContainerStatuses"][1]["lastState"]["terminated"]
    ended["message"] = message
    (failure,) = diagnosed(pod).failures
    assert failure.resolution.startswith(resolution)


def test_what_failed_before_the_eviction_is_shown_too() -> None:
    pod = document("evicted-volume")
    ended = pod["status"]["initContainerStatuses"][1]["state"]["terminated"]
    for changes in ({"exitCode": 1}, {"message": "ERROR: x\n\nResolution: y\n"}):
        ended |= changes
        first, _ = diagnosed(pod).failures
        assert first.reason == "Evicted"


def test_a_container_killed_for_memory_is_not_explained_by_what_it_said() -> None:
    pod = document("oom-killed")
    ended = pod["status"]["initContainerStatuses"][1]["lastState"]["terminated"]
    ended["message"] = "ERROR: A worker ended\n\nResolution: Try again.\n"
    (failure,) = diagnosed(pod).failures
    assert "more memory than its limit" in failure.what
    assert "A worker ended" in failure.details


@pytest.mark.parametrize(
    ("startup", "liveness", "started", "what"),
    [
        (True, False, False, "The startup probe failed"),
        (True, True, False, "The startup probe failed"),
        (True, True, True, "The liveness probe failed"),
        (False, True, True, "The liveness probe failed"),
        (False, True, False, "The container was killed (SIGKILL)"),
        (True, False, True, "The container was killed (SIGKILL)"),
        (False, False, False, "The container was killed (SIGKILL)"),
    ],
)
def test_the_probe_that_had_a_container_stopped_is_inferred(
    *, startup: bool, liveness: bool, started: bool, what: str
) -> None:
    pod = document("startup-probe-running")
    container, status = pod["spec"]["containers"][0], pod["status"]["containerStatuses"][0]
    if liveness:
        container["livenessProbe"] = container["startupProbe"]
    if not startup:
        del container["startupProbe"]
    status["started"] = started
    (failure,) = diagnosed(pod).failures
    assert failure.what.startswith(what)


def test_a_container_that_waits_does_so_since_the_pod_changed_last() -> None:
    pod = document("unschedulable-memory")
    pod["status"]["conditions"][0]["lastTransitionTime"] = "2026-11-27T11:00:00Z"
    assert diagnosed(pod).providers[0].last_transition_time == "2026-11-27T11:00:00Z"
    initialized = {
        "type": "Initialized",
        "status": "False",
        "lastTransitionTime": "2026-11-27T12:00:00Z",
    }
    pod["status"]["conditions"].append(initialized)
    assert diagnosed(pod).providers[0].last_transition_time == "2026-11-27T12:00:00Z"
    pod["status"]["conditions"] = []
    assert diagnosed(pod).providers[0].last_transition_time == "2026-11-27T10:00:00Z"


@pytest.mark.parametrize("name", ["ready", "ogxserver-ready"])
@pytest.mark.parametrize("exit_code", [0, 137, 143])
def test_a_pod_that_a_rollout_removes_has_not_failed(name: str, exit_code: int) -> None:
    pod = document(name)
    pod["metadata"]["deletionTimestamp"] = "2026-11-27T11:00:00Z"
    status = pod["status"]["containerStatuses"][0]
    status |= {"ready": False, "started": False}
    found = diagnosed(pod)  # it stops answering first
    assert (found.failures, found.is_ready) == ((), False)
    status["state"] = {"terminated": {"exitCode": exit_code, "reason": "Error"}}
    found = diagnosed(pod)
    assert [it.phase.value for it in found.providers] == ["Ready", "Ready"]
    assert [it.state for it in found.phases][-1] == "Completed"
    assert found.failures == ()
    assert describe(found).endswith("The Pod is being deleted.")


def test_what_failed_in_a_pod_that_is_removed_is_shown() -> None:
    pod = document("failed-conflict")
    pod["metadata"]["deletionTimestamp"] = "2026-11-27T11:00:00Z"
    (failure,) = diagnosed(pod).failures
    assert failure.what == "Cannot install provider 'acme-guard' due to dependency conflict"
