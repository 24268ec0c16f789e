"""Each recorded Pod: the phases of its providers, the cause, the resolution, the exit status."""

from __future__ import annotations

import json
from typing import NamedTuple

import pytest
from tests.deploy.recordings import PODS, diagnosed, document, recorded

from lls_provider.deploy.diagnose import diagnose_json
from lls_provider.deploy.pod_status import (
    EXTRACT_CONTAINER,
    MERGE_CONTAINER,
    PREFLIGHT_CONTAINER,
    PodDiagnosis,
)
from lls_provider.errors import Code, ExitStatus, SdkError

OK, WRONG = ExitStatus.OK, ExitStatus.WRONG
LOGIN = "pull credentials"
LOGS = "kubectl logs pod/my-server-6c9f7d4b8-x2k9q -c {} -n llama"
GUARD = "install-provider-acme-guard"


class Expected(NamedTuple):
    """``providers`` are the phases of acme-echo and acme-guard; None has no failure."""

    providers: str
    server: str
    reason: str | None
    what: str = ""
    resolution: str = ""
    status: ExitStatus = WRONG


READY = "Ready Ready"
GUARD_WAITS = "Ready Pending"
GUARD_FAILED = "Ready Failed"
PULL = "Failed to pull provider image registry.example.com/acme/guard:1.0"
LOOP = "CrashLoopBackOff, restarted 4 times; before that "

CASES = {
    "ready": Expected(READY, "Ready", None, status=OK),
    "installing": Expected("Ready Installing", "Pending", None, status=OK),
    "pending": Expected("Pending Pending", "Pending", None, status=OK),
    "sidecar-ready": Expected(READY, "Ready", None, status=OK),
    "not-started-yet": Expected(READY, "Running", None, status=OK),
    "not-ready": Expected(READY, "Running", None, status=OK),
    "running-again": Expected("Ready Installing", "Pending", None, status=OK),
    "scheduling-gated": Expected("Pending Pending", "Pending", None, status=OK),
    # images
    "err-image-pull": Expected(GUARD_WAITS, "Pending", "ErrImagePull", PULL, LOGIN),
    "image-pull-backoff": Expected(GUARD_WAITS, "Pending", "ImagePullBackOff", PULL, LOGIN),
    "image-pull-backoff-without-cause": Expected(
        GUARD_WAITS, "Pending", "ImagePullBackOff", PULL, LOGIN
    ),
    "image-pull-backoff-platform": Expected(
        GUARD_WAITS, "Pending", "ImagePullBackOff", PULL, "lls-provider build --platform"
    ),
    "image-pull-backoff-network": Expected(
        GUARD_WAITS, "Pending", "ImagePullBackOff", PULL, "Check the registry's name"
    ),
    "image-pull-backoff-tls": Expected(
        GUARD_WAITS, "Pending", "ImagePullBackOff", PULL, "trust the registry's certificate"
    ),
    "registry-unavailable": Expected(
        GUARD_WAITS, "Pending", "RegistryUnavailable", PULL, "the node reaches the registry"
    ),
    "signature-validation-failed": Expected(
        GUARD_WAITS, "Pending", "SignatureValidationFailed", PULL, "Sign the image"
    ),
    "invalid-image-name": Expected(
        GUARD_WAITS,
        "Pending",
        "InvalidImageName",
        "registry.example.com/acme/guard:1.0:latest: the reference is not valid",
        "registry/name:tag",
    ),
    "err-image-never-pull": Expected(
        GUARD_WAITS, "Pending", "ErrImageNeverPull", "the pull policy is Never", "IfNotPresent"
    ),
    "image-inspect-error": Expected(
        GUARD_WAITS, "Pending", "ImageInspectError", "cannot read the image", "Remove the image"
    ),
    # creating and starting containers
    "secret-missing": Expected(
        GUARD_WAITS,
        "Pending",
        "CreateContainerConfigError",
        "refers to something that is missing",
        "Create the Secret 'acme-guard-config' in the namespace 'llama'",
    ),
    "secret-key-missing": Expected(
        GUARD_WAITS,
        "Pending",
        "CreateContainerConfigError",
        "refers to something that is missing",
        "Add the key 'config' to the Secret 'llama/acme-guard-config'",
    ),
    "configmap-missing": Expected(
        READY,
        "Pending",
        "CreateContainerConfigError",
        "refers to something that is missing",
        "Create the ConfigMap 'server-settings' in the namespace 'llama'",
    ),
    "image-runs-as-root": Expected(
        GUARD_WAITS, "Pending", "CreateContainerConfigError", "", "Set runAsUser of the container"
    ),
    "create-container-error": Expected(
        GUARD_WAITS, "Pending", "CreateContainerError", "cannot create", "The image lacks the"
    ),
    "run-container-error": Expected(
        GUARD_WAITS, "Pending", "RunContainerError", "cannot start", "A data image (base scratch)"
    ),
    "start-error": Expected(
        GUARD_FAILED, "Pending", f"{LOOP}StartError, exit status 128", "cannot start", "data image"
    ),
    "container-cannot-run": Expected(
        GUARD_FAILED,
        "Pending",
        f"{LOOP}ContainerCannotRun, exit status 127",
        "cannot start",
        "data image",
    ),
    # our own messages
    "crash-loop-conflict": Expected(
        GUARD_FAILED,
        "Pending",
        f"{LOOP}exit status 1",
        "Cannot install provider 'acme-guard' due to dependency conflict",
        "Update provider images to use compatible dependency versions, or reorder providers in "
        "the CRD if one provider's dependencies are a superset of another's.",
    ),
    "failed-conflict": Expected(
        GUARD_FAILED,
        "Pending",
        "exit status 1",
        "Cannot install provider 'acme-guard' due to dependency conflict",
        "Update provider images to use compatible dependency versions",
    ),
    "metadata-missing": Expected(
        "Failed Pending",
        "Pending",
        f"{LOOP}exit status 1",
        "Missing /lls-provider/lls-provider-spec.yaml in image registry.example.com/acme/echo:1.0",
        "Build the provider image again",
    ),
    "api-mismatch": Expected(
        "Failed Pending",
        "Pending",
        f"{LOOP}exit status 1",
        "Provider API type mismatch",
        "Move the provider to externalProviders.inference section in the LLSD spec.",
    ),
    "exit-2": Expected(
        GUARD_FAILED,
        "Pending",
        f"{LOOP}exit status 2",
        "'lls-provider.pyz install' cannot be run like this",
        "Correct the arguments of the container",
    ),
    "exit-3": Expected(
        GUARD_FAILED,
        "Pending",
        f"{LOOP}exit status 3",
        "No space left while installing the packages",
        "Raise the sizeLimit of the volume, or free space on the node.",
    ),
    "message-cut": Expected(
        GUARD_FAILED,
        "Pending",
        f"{LOOP}exit status 1",
        "Cannot install provider 'acme-guard' due to dependency conflict",
        "if one provider's dependencies are a superset of another's. The message is cut; the "
        "container's log has all of it: " + LOGS.format(GUARD),
    ),
    "extract-failed": Expected(
        READY,
        "Pending",
        f"{LOOP}exit status 1",
        "The distribution's image has no configuration at a known path",
        "Supply the configuration in a ConfigMap",
    ),
    "merge-failed": Expected(
        READY, "Pending", f"{LOOP}exit status 1", "Invalid YAML", "Correct the YAML at this place."
    ),
    "preflight-failed": Expected(
        READY,
        "Pending",
        f"{LOOP}exit status 1",
        "Provider validation failed",
        "Add 'tqdm' to the dependencies of the provider and build its image again.",
    ),
    "preflight-in-server-failed": Expected(
        READY,
        "Pending",
        f"{LOOP}exit status 1",
        "Provider validation failed",
        "Build the provider image for linux/arm64.",
    ),
    "preflight-in-server-running": Expected(READY, "Running", None, status=OK),
    # exit statuses without a message
    "exit-1": Expected(
        GUARD_FAILED,
        "Pending",
        f"{LOOP}exit status 1",
        "The container failed without a message",
        LOGS.format(GUARD) + " --previous",
    ),
    "exit-130": Expected(
        GUARD_FAILED, "Pending", f"{LOOP}exit status 130", "SIGINT", "kubectl describe pod/"
    ),
    "exit-137": Expected(
        GUARD_FAILED, "Pending", f"{LOOP}exit status 137", "SIGKILL", "resources.limits.memory"
    ),
    "exit-139": Expected(
        READY, "Failed", f"{LOOP}exit status 139", "SIGSEGV", "for the machine and the C library"
    ),
    "exit-143": Expected(
        GUARD_FAILED, "Pending", f"{LOOP}exit status 143", "SIGTERM", "kubectl describe pod/"
    ),
    "oom-killed": Expected(
        GUARD_FAILED,
        "Pending",
        f"{LOOP}OOMKilled, exit status 137",
        "used more memory than its limit of 512Mi",
        f"Raise resources.limits.memory of the container '{GUARD}'.",
    ),
    # the server
    "server-completed": Expected(
        READY,
        "Failed",
        f"{LOOP}Completed, exit status 0",
        "The container ended, and should run",
        LOGS.format("llama-stack") + " --previous",
    ),
    "server-failed": Expected(
        READY,
        "Failed",
        f"{LOOP}exit status 1",
        "The container failed without a message",
        LOGS.format("llama-stack") + " --previous",
    ),
    "startup-probe-running": Expected(
        READY,
        "Failed",
        "running again, restarted 2 times; before that exit status 137",
        "The startup probe failed for 300 s",
        "raise failureThreshold of the probe",
    ),
    "startup-probe-backoff": Expected(
        READY,
        "Failed",
        f"{LOOP}exit status 143",
        "The startup probe failed for 300 s",
        "raise failureThreshold of the probe",
    ),
    "liveness-probe": Expected(
        READY,
        "Failed",
        "running again, restarted once; before that exit status 137",
        "The liveness probe failed",
        LOGS.format("llama-stack") + " --previous",
    ),
    "readiness-gate": Expected(
        READY, "Ready", "ReadinessGatesNotReady", "a readiness gate", "the condition"
    ),
    # sidecars
    "sidecar-failed": Expected(
        "Pending Pending",
        "Pending",
        f"{LOOP}exit status 1",
        "The container failed without a message",
        LOGS.format("proxy") + " --previous",
    ),
    "sidecar-beside-server-failed": Expected(
        READY,
        "Ready",
        "CrashLoopBackOff, restarted 5 times; before that exit status 1",
        "The container failed without a message",
        LOGS.format("proxy") + " --previous",
    ),
    # the Pod as a whole
    "evicted-volume": Expected(
        GUARD_FAILED,
        "Pending",
        "Evicted",
        "The kubelet evicted the Pod",
        "Raise sizeLimit of the volume 'external-providers' above 2Gi",
    ),
    "evicted-container-storage": Expected(
        GUARD_FAILED,
        "Pending",
        "Evicted",
        "",
        f"Raise resources.limits.ephemeral-storage of the container '{GUARD}' above 1Gi.",
    ),
    "evicted-pod-storage": Expected(
        GUARD_FAILED, "Pending", "Evicted", "", "of the containers, 3Gi in total"
    ),
    "evicted-node-memory": Expected(
        GUARD_FAILED, "Pending", "Evicted", "", "Raise resources.requests.memory"
    ),
    "evicted-node-disk": Expected(
        GUARD_FAILED, "Pending", "Evicted", "", "Free disk space on the node"
    ),
    "deadline-exceeded": Expected(
        GUARD_FAILED, "Pending", "DeadlineExceeded", "", "Raise activeDeadlineSeconds"
    ),
    "unschedulable-memory": Expected(
        "Pending Pending",
        "Pending",
        "Unschedulable",
        "No node can take the Pod",
        "Lower the containers' requests for memory, or add a node",
    ),
    "unschedulable-taint": Expected(
        "Pending Pending", "Pending", "Unschedulable", "", "Give the Pod a toleration"
    ),
    "preempted-by-scheduler": Expected(
        READY, "Ready", "PreemptionByScheduler", "of higher priority", "higher priority class"
    ),
    "preempted-by-kubelet": Expected(
        GUARD_FAILED, "Pending", "Preempting", "room for a critical one", "higher priority class"
    ),
    "node-lost": Expected(
        READY, "Ready", "NodeLost", "this status is old", "Wait for the node 'worker-1'"
    ),
    "node-unreachable": Expected(
        READY, "Ready", "DeletionByTaintManager", "does not tolerate", "the node 'worker-1'"
    ),
    "node-drained": Expected(
        READY, "Ready", "EvictionByEvictionAPI", "when a node is drained", "Wait for the Pod"
    ),
    "node-shutdown": Expected(READY, "Failed", "Terminated", "its node shuts down", "Nothing, if"),
    "out-of-memory-admission": Expected(
        "Pending Pending", "Pending", "OutOfmemory", "it lacks a resource", "Delete the Pod"
    ),
    # images as volumes
    "image-volume-ready": Expected(READY, "Ready", None, status=OK),
    "image-volume-pull": Expected(GUARD_WAITS, "Pending", "ImagePullBackOff", PULL, LOGIN),
    # the main container installs
    "ogxserver-ready": Expected(READY, "Ready", None, status=OK),
    "ogxserver-creating": Expected("Pending Pending", "Pending", None, status=OK),
    "ogxserver-installing": Expected("Installing Installing", "Running", None, status=OK),
    "ogxserver-conflict": Expected(
        GUARD_FAILED,
        "Pending",
        "CrashLoopBackOff, restarted 3 times; before that exit status 1",
        "Cannot install provider 'acme-guard' due to dependency conflict",
        "Update provider images to use compatible dependency versions",
    ),
    "ogxserver-preflight": Expected(
        READY,
        "Pending",
        "CrashLoopBackOff, restarted 3 times; before that exit status 1",
        "Provider validation failed",
        "Add 'tqdm' to the dependencies of the provider and build its image again.",
    ),
    "ogxserver-startup-probe": Expected(
        "Installing Installing",
        "Failed",
        "running again, restarted 2 times; before that exit status 137",
        "The startup probe failed for 45 s",
        "raise failureThreshold of the probe",
    ),
    "ogxserver-volume-pull": Expected(
        "Pending Pending", "Pending", "ImagePullBackOff", PULL, LOGIN
    ),
}
ELSEWHERE = {"list", "other-pod", "message-cut-4096"}


def server_state(diagnosis: PodDiagnosis) -> str:
    (found,) = (it.state for it in diagnosis.phases if it.name == "server")
    return found


def test_every_recording_is_expected_somewhere() -> None:
    assert {it.stem for it in PODS.glob("*.json")} == set(CASES) | ELSEWHERE


@pytest.mark.parametrize("name", CASES)
def test_a_recorded_pod_is_diagnosed(name: str) -> None:
    expected = CASES[name]
    found = diagnosed(name)
    assert " ".join(it.phase.value for it in found.providers) == expected.providers
    assert server_state(found) == expected.server
    assert found.status is expected.status
    if expected.reason is None:
        assert found.failures == ()
        return
    (failure,) = found.failures
    assert failure.reason == expected.reason
    assert expected.what in failure.what
    assert expected.resolution in failure.resolution
    assert failure.resolution


@pytest.mark.parametrize("name", CASES)
def test_the_status_has_the_fields_of_the_contract(name: str) -> None:
    for number, provider in enumerate(diagnosed(name).providers):
        entry = provider.to_document()
        assert set(entry) <= {
            "providerId",
            "image",
            "phase",
            "message",
            "initContainerName",
            "lastTransitionTime",
        }
        assert entry["providerId"] == ("acme-echo", "acme-guard")[number]
        assert entry["image"].startswith("registry.example.com/acme/")
        assert entry["lastTransitionTime"].startswith("2026-11-27T10:")
        if name.startswith("ogxserver"):
            assert "initContainerName" not in entry
        else:
            assert entry["initContainerName"] == f"install-provider-{entry['providerId']}"
        assert ("message" in entry) or entry["phase"] in ("Ready", "Installing", "Pending")
        if entry["phase"] == "Failed":
            assert entry["message"]


@pytest.mark.parametrize(
    ("recording", "container", "message"),
    [
        ("crash-loop-conflict", 1, "conflict"),
        ("metadata-missing", 0, "metadata-missing"),
        ("api-mismatch", 0, "api-mismatch"),
    ],
)
def test_a_failed_provider_has_the_golden_message(
    recording: str, container: int, message: str
) -> None:
    golden = (PODS.parents[2] / "contract" / "golden" / f"{message}.txt").read_text("utf-8")
    assert diagnosed(recording).providers[container].message == golden.rstrip("\n")


def test_the_status_of_an_image_that_cannot_be_pulled_says_so() -> None:
    message = diagnosed("image-pull-backoff").providers[1].message
    assert message.startswith(
        "Failed to pull provider image registry.example.com/acme/guard:1.0 (ImagePullBackOff)"
    )
    assert LOGIN in message


def test_the_status_of_an_evicted_provider_names_the_volume_and_its_limit() -> None:
    message = diagnosed("evicted-volume").providers[1].message
    assert 'Usage of EmptyDir volume "external-providers" exceeds the limit "2Gi".' in message
    assert "Raise sizeLimit of the volume 'external-providers' above 2Gi" in message


def test_times_are_those_of_the_last_change() -> None:
    assert diagnosed("installing").providers[0].last_transition_time == "2026-11-27T10:00:04Z"
    assert diagnosed("installing").providers[1].last_transition_time == "2026-11-27T10:00:08Z"
    assert diagnosed("crash-loop-conflict").providers[1].last_transition_time == (
        "2026-11-27T10:01:00Z"
    )
    assert diagnosed("unschedulable-memory").providers[0].last_transition_time == (
        "2026-11-27T10:00:00Z"
    )


@pytest.mark.parametrize(
    ("recording", "phase", "container"),
    [
        ("extract-failed", "extract", EXTRACT_CONTAINER),
        ("merge-failed", "merge", MERGE_CONTAINER),
        ("preflight-failed", "preflight", PREFLIGHT_CONTAINER),
        ("preflight-in-server-failed", "preflight", "llama-stack"),
        ("ogxserver-conflict", "install", "ogx"),
        ("ogxserver-preflight", "preflight", "ogx"),
        ("sidecar-failed", "sidecar", "proxy"),
        ("sidecar-beside-server-failed", "sidecar", "proxy"),
        ("server-failed", "server", "llama-stack"),
    ],
)
def test_the_phase_that_failed_is_named(recording: str, phase: str, container: str) -> None:
    (failed,) = (
        it for it in diagnosed(recording).phases if it.cause is not None and it.cause.is_failure
    )
    assert (failed.name, failed.container, failed.state) == (phase, container, "Failed")


def test_the_phases_are_in_the_order_of_the_start() -> None:
    assert [(it.name, it.state) for it in diagnosed("merge-failed").phases] == [
        ("install", "Ready"),
        ("install", "Ready"),
        ("extract", "Completed"),
        ("merge", "Failed"),
        ("preflight", "Pending"),
        ("server", "Pending"),
    ]


def test_of_a_list_the_pods_that_install_providers_are_diagnosed() -> None:
    found = diagnose_json(recorded("list"), source="test")
    assert [it.pod.name for it in found.pods] == [
        "my-server-6c9f7d4b8-x2k9q",
        "my-server-84d7c6f5b-q8w2z",
    ]
    assert [it.status for it in found.pods] == [OK, WRONG]
    assert found.status is WRONG
    assert [it.phase.value for it in found.providers] == ["Ready", "Failed"]


@pytest.mark.parametrize("kind", ["List", "PodList"])
def test_both_kinds_of_lists_are_read(kind: str) -> None:
    document_ = document("list") | {"kind": kind}
    for item in document_["items"]:
        if kind == "PodList":  # the API leaves the items' kinds out
            del item["kind"]
    assert len(diagnose_json(json.dumps(document_).encode(), source="test").pods) == 2


def test_a_pod_of_somebody_else_is_refused() -> None:
    with pytest.raises(SdkError) as caught:
        diagnose_json(recorded("other-pod"), source="pod.json")
    assert caught.value.code is Code.POD_INVALID
    text = caught.value.render()
    assert "No container of the Pod installs a provider" in text
    assert "File: pod.json" in text
    assert "The containers are: nginx" in text


@pytest.mark.parametrize("name", CASES)
def test_a_pod_is_ready_when_its_providers_and_its_server_are(name: str) -> None:
    expected = CASES[name]
    assert diagnosed(name).is_ready is (expected[:2] == (READY, "Ready"))
