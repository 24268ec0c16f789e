"""The words of Kubernetes for what a Pod waits for and how it ended: their meaning, and what to do.

Each row names the page of Kubernetes' documentation that is about it; a word that no page explains
is from the source of the kubelet or the scheduler. `pod_causes` applies the tables to a Pod.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_DOCS = "https://kubernetes.io/docs"
LIFECYCLE = f"{_DOCS}/concepts/workloads/pods/pod-lifecycle/"
IMAGES = f"{_DOCS}/concepts/containers/images/"
DEBUG = f"{_DOCS}/tasks/debug/debug-application/debug-pods/"
TERMINATION = f"{_DOCS}/tasks/debug/debug-application/determine-reason-pod-failure/"
MEMORY = f"{_DOCS}/concepts/configuration/manage-resources-containers/"
PROBES = f"{_DOCS}/concepts/configuration/liveness-readiness-startup-probes/"
EVICTION = f"{_DOCS}/concepts/scheduling-eviction/node-pressure-eviction/"
EMPTY_DIR = f"{_DOCS}/concepts/storage/volumes/"
PREEMPTION = f"{_DOCS}/concepts/scheduling-eviction/pod-priority-preemption/"
SCHEDULING = f"{_DOCS}/concepts/scheduling-eviction/kube-scheduler/"
DISRUPTIONS = f"{_DOCS}/concepts/workloads/pods/disruptions/"
NODES = f"{_DOCS}/concepts/architecture/nodes/"
SHUTDOWN = f"{_DOCS}/concepts/cluster-administration/node-shutdown/"


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row of a table: ``what`` and ``resolution`` with names in braces, see `pod_causes`."""

    what: str
    resolution: str
    source: str
    is_failure: bool = True


@dataclass(frozen=True, slots=True)
class Hint:
    """What to do where a message matches ``pattern``; braces name groups of it."""

    pattern: str
    resolution: str


Advice = tuple[Hint, ...]
"""The first hint that matches counts."""

PULL = "Failed to pull {role} {image}"
LOGIN = (
    "If the registry is private, the Pod needs pull credentials: name a Secret of type "
    "kubernetes.io/dockerconfigjson in imagePullSecrets of the Pod or of its ServiceAccount."
)
PULLED = f"Check that the image exists, and that the node reaches the registry. {LOGIN}"
DESCRIBE = "Read the Pod's events: {describe}"
LOGS = "Read the container's log: {logs}"

WAITING: Mapping[str, Meaning] = {
    "ErrImagePull": Meaning(PULL, "", IMAGES),
    "ImagePullBackOff": Meaning(PULL, "", IMAGES),
    "RegistryUnavailable": Meaning(
        PULL, "Check that the node reaches the registry; the kubelet tries again.", IMAGES
    ),
    "SignatureValidationFailed": Meaning(
        PULL, "Sign the image as the policy of the node's container runtime demands.", IMAGES
    ),
    "InvalidImageName": Meaning(
        f"{PULL}: the reference is not valid",
        "Correct the image's reference: registry/name:tag or registry/name@sha256:digest.",
        IMAGES,
    ),
    "ErrImageNeverPull": Meaning(
        f"{PULL}: it is not on the node, and the pull policy is Never",
        "Set the pull policy to IfNotPresent, or load the image onto the node.",
        IMAGES,
    ),
    "ImageInspectError": Meaning(
        "The node cannot read the image {image} that it has pulled",
        "Remove the image from the node so that it is pulled again; when that does not help, the "
        "node's container runtime is at fault.",
        IMAGES,
    ),
    "CreateContainerConfigError": Meaning(
        "The container cannot be created: its configuration refers to something that is missing",
        DESCRIBE,
        DEBUG,
    ),
    "CreateContainerError": Meaning(
        "The container runtime cannot create the container",
        "Correct the command, the mounts or the security context that the message names.",
        DEBUG,
    ),
    "RunContainerError": Meaning(
        "The container runtime cannot start the container",
        "Correct the command, the mounts or the security context that the message names.",
        DEBUG,
    ),
    "PreCreateHookError": Meaning("A hook of the node failed", DESCRIBE, DEBUG),
    "PreStartHookError": Meaning("A hook of the node failed", DESCRIBE, DEBUG),
    "PostStartHookError": Meaning(
        "The container's postStart hook failed", "Correct the hook, or take it out.", LIFECYCLE
    ),
    "CrashLoopBackOff": Meaning(
        "The container ended {restarts} times; the kubelet waits before it starts it again",
        LOGS,
        LIFECYCLE,
    ),
    "ContainerCreating": Meaning(
        "The node prepares the container: volumes, network, image",
        "Wait; when it lasts, a volume or the network is missing. " + DESCRIBE,
        LIFECYCLE,
        is_failure=False,
    ),
    "PodInitializing": Meaning(
        "It waits for the init containers before it", "", LIFECYCLE, is_failure=False
    ),
}
"""What a container waits for, by ``state.waiting.reason``."""

ENDED: Mapping[str, Meaning] = {
    "OOMKilled": Meaning(
        "The container used more memory than its limit{limit} and was killed",
        "Raise resources.limits.memory of the container '{container}'.",
        MEMORY,
    ),
    "ContainerCannotRun": Meaning(
        "The container runtime cannot start the container",
        "Correct the command, the mounts or the security context that the message names.",
        DEBUG,
    ),
    "StartError": Meaning(
        "The container runtime cannot start the container",
        "Correct the command, the mounts or the security context that the message names.",
        DEBUG,
    ),
    "ContainerStatusUnknown": Meaning(
        "The node lost the container before it said how it ended",
        "Delete the Pod so that it is made again; when it happens again, look at the node.",
        LIFECYCLE,
    ),
    "Evicted": Meaning("The container ended with its Pod, which was evicted", DESCRIBE, EVICTION),
    "DeadlineExceeded": Meaning(
        "The container ended with its Pod, which reached its deadline", DESCRIBE, LIFECYCLE
    ),
}
"""How a run of a container ended, by ``state.terminated.reason``."""

EXITED: Mapping[int, Meaning] = {
    0: Meaning(
        "The container ended, and should run; ogx ends like this when a provider does not load",
        LOGS,
        LIFECYCLE,
    ),
    1: Meaning("The container failed without a message", LOGS, TERMINATION),
    2: Meaning(
        "The command line of the container is wrong",
        f"Render the manifest again with the SDK that built the image. {LOGS}",
        TERMINATION,
    ),
    3: Meaning("The container lacks something of its environment", LOGS, TERMINATION),
    126: Meaning(
        "The command of the container cannot be executed",
        "Correct the container's command, or the permissions of that file in the image.",
        TERMINATION,
    ),
    127: Meaning(
        "The command of the container is not in the image",
        "Correct the container's command, or build the image on a base that has it.",
        TERMINATION,
    ),
    130: Meaning("The container was interrupted (SIGINT)", DESCRIBE, LIFECYCLE),
    134: Meaning("The process aborted (SIGABRT), most likely in native code", LOGS, TERMINATION),
    137: Meaning(
        "The container was killed (SIGKILL): by the kubelet after a grace period, or for memory",
        "Raise resources.limits.memory of the container '{container}' if it was memory. "
        + DESCRIBE,
        LIFECYCLE,
    ),
    139: Meaning(
        "The process crashed (SIGSEGV), most likely in native code",
        "Build the provider image for the machine and the C library of the server's image. " + LOGS,
        TERMINATION,
    ),
    143: Meaning(
        "The container was stopped (SIGTERM): its Pod was deleted, or a probe failed",
        DESCRIBE,
        LIFECYCLE,
    ),
}
"""How a run of a container ended, by ``state.terminated.exitCode``."""

POD_REASONS: Mapping[str, Meaning] = {
    "Evicted": Meaning("The kubelet evicted the Pod", DESCRIBE, EVICTION),
    "DeadlineExceeded": Meaning(
        "The Pod did not become ready within activeDeadlineSeconds",
        "Raise activeDeadlineSeconds, or leave it out: a server has no deadline.",
        LIFECYCLE,
    ),
    "NodeLost": Meaning(
        "The node does not answer, so this status is old",
        "Wait for the node '{node}', or delete the Pod so that another node takes it.",
        NODES,
    ),
    "Preempting": Meaning(
        "The kubelet ended the Pod to make room for a critical one",
        "Give the Pod a higher priority class, or the cluster another node.",
        PREEMPTION,
    ),
    "Terminated": Meaning(
        "The Pod ended because its node shuts down",
        "Nothing, if a Deployment makes a new Pod on another node; else create the Pod again.",
        SHUTDOWN,
    ),
    "NodeShutdown": Meaning(
        "The node shuts down and takes no Pod",
        "Nothing, if a Deployment makes a new Pod on another node; else create the Pod again.",
        SHUTDOWN,
    ),
    "NodeAffinity": Meaning(
        "The node does not have the labels that the Pod selects",
        "Correct nodeSelector or affinity of the Pod, or label the node.",
        SCHEDULING,
    ),
    "UnexpectedAdmissionError": Meaning(
        "The node refused the Pod", "Delete the Pod so that it is made again.", LIFECYCLE
    ),
}
"""Why a Pod as a whole ended, by ``status.reason``."""

CONDITIONS: Mapping[tuple[str, str, str], Meaning] = {
    ("PodScheduled", "False", "Unschedulable"): Meaning(
        "No node can take the Pod", "Change what the message names, or add a node.", SCHEDULING
    ),
    ("PodScheduled", "False", "SchedulingGated"): Meaning(
        "The Pod waits for its scheduling gates to be removed",
        "Wait for the controller that set spec.schedulingGates.",
        SCHEDULING,
        is_failure=False,
    ),
    ("DisruptionTarget", "True", "PreemptionByScheduler"): Meaning(
        "The scheduler removes the Pod for one of higher priority",
        "Give the Pod a higher priority class, or the cluster another node.",
        PREEMPTION,
    ),
    ("DisruptionTarget", "True", "DeletionByTaintManager"): Meaning(
        "The Pod is removed from a node with a taint that it does not tolerate",
        "Wait for the Pod on another node; see what taints the node '{node}'.",
        DISRUPTIONS,
    ),
    ("DisruptionTarget", "True", "EvictionByEvictionAPI"): Meaning(
        "The Pod was evicted through the API, as when a node is drained",
        "Wait for the Pod on another node.",
        DISRUPTIONS,
    ),
    ("DisruptionTarget", "True", "DeletionByPodGC"): Meaning(
        "The Pod is removed because its node no longer exists",
        "Wait for the Pod on another node.",
        DISRUPTIONS,
    ),
    ("Ready", "False", "ReadinessGatesNotReady"): Meaning(
        "All containers are ready, but a readiness gate of the Pod is not",
        "See what sets the condition that the message names.",
        LIFECYCLE,
    ),
}
"""What a Pod waits for, by a condition's type, status and reason."""

PULLS: Advice = (
    Hint(
        r"no match for platform|no matching manifest|exec format error",
        "Build the provider image for the node's architecture ('lls-provider build --platform').",
    ),
    Hint(
        r"x509|certificate|HTTP response to HTTPS client|tls:",
        "Have the node trust the registry's certificate, or serve the registry with TLS.",
    ),
    Hint(
        r"no such host|timeout|connection refused|network is unreachable|reset by peer|EOF$",
        "Check the registry's name in the reference, and that the node reaches it.",
    ),
    Hint(r"toomanyrequests|\b429\b", f"The registry limits pulls: wait, or log in. {LOGIN}"),
    Hint(r"no space left", "Free space on the node, or use another one."),
    Hint(
        r"pull access denied|unauthorized|authorization failed|authentication required|\b40[13]\b|"
        r"denied|no basic auth",
        f"Check that the image exists. {LOGIN}",
    ),
    Hint(
        r"not found|manifest unknown|name unknown|\b404\b",
        f"Push the image, or correct its reference. {LOGIN}",
    ),
)
STARTS: Advice = (
    Hint(
        r"exec format error",
        "The image is for another architecture than the node's: build it for that one "
        "('lls-provider build --platform').",
    ),
    Hint(
        r"executable file not found|no such file or directory|no command specified",
        "The image lacks the command. A data image (base scratch) cannot be an init container: "
        "build it on a base with Python, or correct the command.",
    ),
    Hint(r"permission denied", "Make the file executable for everybody, or correct the command."),
)
CONFIGS: Advice = (
    Hint(
        r"runAsNonRoot",
        "Set runAsUser of the container to a user other than root, such as 1001, or give the image "
        "such a user as a number.",
    ),
    Hint(r"subPath|subpath", "Correct the subPath: the volume has no such file or directory."),
)
EVICTIONS: Advice = (
    Hint(
        r'Usage of EmptyDir volume "(?P<volume>[^"\n]*)" exceeds the limit "(?P<limit>[^"\n]*)"',
        "Raise sizeLimit of the volume '{volume}' above {limit}: 'lls-provider inspect IMAGE' says "
        "how large each provider is when installed.",
    ),
    Hint(
        r'Container (?P<container>\S+) exceeded its local ephemeral storage limit "(?P<limit>\w+)',
        "Raise resources.limits.ephemeral-storage of the container '{container}' above {limit}.",
    ),
    Hint(
        r"ephemeral local storage usage exceeds the total limit of containers (?P<limit>\w+)",
        "Raise resources.limits.ephemeral-storage of the containers, {limit} in total: what is on "
        "an emptyDir counts too.",
    ),
    Hint(
        r"(?:was low on resource|had condition).*memory",
        "Raise resources.requests.memory of the containers to what they use, so that a node with "
        "enough memory is chosen.",
    ),
    Hint(
        r"(?:was low on resource|had condition).*(?:storage|disk|inodes)",
        "Free disk space on the node, or set resources.requests.ephemeral-storage, so that a node "
        "with enough of it is chosen.",
    ),
    Hint(
        r"(?:was low on resource|had condition).*pid", "Run the Pod on a node with fewer processes."
    ),
)
UNSCHEDULABLE: Advice = (
    Hint(
        r"Insufficient (?P<resource>[\w/-]+(?:\.[\w/-]+)*)",
        "Lower the containers' requests for {resource}, or add a node that has as much free: of "
        "init containers the largest request counts.",
    ),
    Hint(r"untolerated taint", "Give the Pod a toleration for the taint, or use other nodes."),
    Hint(r"node affinity|node selector", "Correct nodeSelector or affinity, or label a node."),
    Hint(r"persistentvolumeclaim|PersistentVolume", "Create the volume that the claim asks for."),
)
