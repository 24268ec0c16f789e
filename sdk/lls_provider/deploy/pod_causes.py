"""Why a container or a Pod is where it is, and what to do: `pod_reasons` applied to a Pod.

What a container of ours said when it ended (contract section 6) wins over its exit status. A
kubelet keeps 4,096 bytes of it, and fewer where a Pod has many containers:
https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lls_provider.contract.models import INIT_CONTAINER_PREFIX
from lls_provider.contract.names import TERMINATION_LOG_LIMIT
from lls_provider.deploy import pod_reasons
from lls_provider.deploy.pod_reasons import Advice, Meaning
from lls_provider.runtime.messages import conflict

if TYPE_CHECKING:
    from lls_provider.deploy.pod import Container, Pod, Termination

_ERROR = re.compile(r"^ERROR: ", re.MULTILINE)
_RESOLUTION = "\n\nResolution: "
_LABELLED = re.compile(r"(Provider|Image|Init Container|Module|Reason): (.*)")
_MISMATCH = re.compile(r"Provider '([^'\n]*)' \(image: ([^)\n]*)\)")
_CONFLICT = re.compile(r"Cannot install provider '.*' due to dependency conflict")
_PREFLIGHT = ("Provider validation failed", "Provider spec validation failed")
_SECRET = re.compile(r'(secret|configmap) "([^"\n]+)" not found')
_KEY = re.compile(r"couldn't find key (\S+) in (Secret|ConfigMap) (\S+)")
_ALL_MESSAGES_LIMIT = 12 * 1024
"""Bytes that a kubelet keeps of the messages of all containers of a Pod, shared out equally."""


@dataclass(frozen=True, slots=True)
class TerminationMessage:
    """An error of install, merge or preflight; what it does not say is empty.

    ``details`` are the paragraphs between the first line and the resolution. ``is_cut`` says that
    the end is missing.
    """

    what: str
    details: str
    resolution: str
    provider: str
    image: str
    is_cut: bool

    @property
    def is_of_preflight(self) -> bool:
        """Whether it has a layout that only preflight writes."""
        return self.what in _PREFLIGHT


def read_termination_message(text: str, containers: int = 1) -> TerminationMessage | None:
    """The error that a termination message holds; None where it holds none of ours.

    ``containers`` is how many the Pod has. With ``terminationMessagePolicy: FallbackToLogsOnError``
    the error is at the end of a log.
    """
    starts = [found.end() for found in _ERROR.finditer(text)]
    if not starts:
        return None
    what, _, rest = text[starts[-1] :].strip("\n").partition("\n")
    details, found, resolution = f"\n{rest}".rpartition(_RESOLUTION)
    if not found:
        details, resolution = rest, ""
    values: dict[str, str] = dict(reversed(_LABELLED.findall(details)))
    mismatch = _MISMATCH.search(details)
    provider, image = (mismatch[1], mismatch[2]) if mismatch else ("", "")
    return TerminationMessage(
        what=what.strip(),
        details=details.strip("\n"),
        resolution=resolution.strip(),
        provider=values.get("Provider", provider).strip(),
        image=values.get("Image", image).strip(),
        is_cut=not found or _fills_the_limit(text, containers),
    )


def _fills_the_limit(text: str, containers: int) -> bool:
    # ours ends in a line's end; one that was cut by the kubelet ends anywhere
    limit = min(TERMINATION_LOG_LIMIT, _ALL_MESSAGES_LIMIT // max(containers, 1))
    # a character that the cut parted is one of three bytes now
    return len(text.encode("utf-8", "replace")) >= limit - 3 and not text.endswith("\n")


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a container or a Pod is where it is.

    ``reason`` is Kubernetes' word, ``details`` what the kubelet or the container said. Without
    ``is_failure`` it passes by itself. ``message`` is the container's, where it left one of ours.
    """

    reason: str
    what: str
    resolution: str = ""
    details: str = ""
    is_failure: bool = True
    message: TerminationMessage | None = None


def waiting_cause(pod: Pod, container: Container) -> Cause | None:
    """What a waiting container waits for; None where it just waits for its turn.

    CrashLoopBackOff is explained by the run before it.
    """
    waiting = container.waiting
    if waiting is None or not waiting.reason:
        return None
    if waiting.reason == "CrashLoopBackOff" and container.last is not None:
        return _again(container, termination_cause(pod, container, container.last))
    found = pod_reasons.WAITING.get(waiting.reason)
    if found is None:
        found = Meaning("The container waits", pod_reasons.DESCRIBE, pod_reasons.LIFECYCLE)
    names = _names(pod, container)
    resolution = found.resolution.format(**names)
    if found.what.startswith(pod_reasons.PULL):
        names |= _volume_image(pod, container, waiting.message)
        advice = _advice(pod_reasons.PULLS, waiting.message)
        resolution = resolution or advice or pod_reasons.PULLED
    elif waiting.reason in ("CreateContainerError", "RunContainerError"):
        resolution = _advice(pod_reasons.STARTS, waiting.message) or resolution
    elif waiting.reason == "CreateContainerConfigError":
        advice = _missing(pod, waiting.message) or _advice(pod_reasons.CONFIGS, waiting.message)
        resolution = advice or resolution
    return Cause(
        waiting.reason,
        found.what.format(**names),
        resolution,
        waiting.message,
        found.is_failure,
    )


def termination_cause(pod: Pod, container: Container, ended: Termination) -> Cause:
    """Why a run of a container ended, also with exit status 0."""
    told = f"exit status {ended.exit_code}"
    reason = told if ended.reason in ("", "Error") else f"{ended.reason}, {told}"
    names = _names(pod, container)
    message = read_termination_message(ended.message, pod.container_count)
    if message is not None and ended.reason != "OOMKilled":
        return Cause(
            reason, message.what, _resolution(message, names), message.details, message=message
        )
    found = (
        pod_reasons.ENDED.get(ended.reason)
        or pod_reasons.EXITED.get(ended.exit_code)
        or Meaning(f"The container failed with {told}", pod_reasons.LOGS, pod_reasons.TERMINATION)
    )
    if ended.exit_code in (137, 143) and ended.reason in ("", "Error"):
        found = _probe(container) or found
    resolution = found.resolution.format(**names)
    if ended.reason in ("ContainerCannotRun", "StartError"):
        resolution = _advice(pod_reasons.STARTS, ended.message) or resolution
    return Cause(reason, found.what.format(**names), resolution, ended.message.strip("\n"))


def running_cause(pod: Pod, container: Container) -> Cause | None:
    """What is to be known of a container that runs and is not ready.

    Where it was started again, that is why its last run ended.
    """
    if container.is_ready:
        return None
    ended = container.last
    if ended is not None and container.restarts and (ended.exit_code or not container.is_init):
        return _again(container, termination_cause(pod, container, ended))
    if container.is_init and not container.is_sidecar:
        return None
    if container.startup_seconds is not None and not container.is_started:
        what = f"The startup probe has not succeeded yet; it allows {container.startup_seconds} s"
    else:
        what = "The container runs and is not ready yet"
    names = _names(pod, container)
    resolution = f"Wait. {pod_reasons.LOGS}".format(**names)
    return Cause("ContainersNotReady", what, resolution, is_failure=False)


def pod_causes(pod: Pod) -> list[Cause]:
    """What is wrong with the Pod as a whole: its reason, and its conditions."""
    found = []
    names = _names(pod, None)
    if pod.reason:
        meaning = pod_reasons.POD_REASONS.get(pod.reason)
        if meaning is None:
            short = pod.reason.startswith("OutOf")
            meaning = Meaning(
                "The node refused the Pod: it lacks a resource" if short else "The Pod failed",
                "Delete the Pod so that it is scheduled again." if short else pod_reasons.DESCRIBE,
                pod_reasons.SCHEDULING,
            )
        resolution = _advice(pod_reasons.EVICTIONS, pod.message) if pod.reason == "Evicted" else ""
        resolution = resolution or meaning.resolution.format(**names)
        found.append(Cause(pod.reason, meaning.what, resolution, pod.message.strip()))
    for condition in pod.conditions:
        meaning = pod_reasons.CONDITIONS.get((condition.type, condition.status, condition.reason))
        if meaning is None:
            continue
        resolution = meaning.resolution.format(**names)
        if condition.reason == "Unschedulable":
            resolution = _advice(pod_reasons.UNSCHEDULABLE, condition.message) or resolution
        found.append(
            Cause(condition.reason, meaning.what, resolution, condition.message, meaning.is_failure)
        )
    return found


def _again(container: Container, cause: Cause) -> Cause:
    """The cause of a run that ended, for a container that was started again since."""
    times = "once" if container.restarts == 1 else f"{container.restarts} times"
    state = "CrashLoopBackOff" if container.waiting is not None else "running again"
    return Cause(
        f"{state}, restarted {times}; before that {cause.reason}",
        cause.what,
        cause.resolution,
        cause.details,
        # an init container that runs may succeed; a server that was restarted is not ready yet
        is_failure=container.waiting is not None or not container.is_init,
        message=cause.message,
    )


def _resolution(message: TerminationMessage, names: Mapping[str, str]) -> str:
    """The message's own; where it is cut, what the layout has, and where to read all of it."""
    if not message.is_cut:
        return message.resolution
    rest = f"The message is cut; the container's log has all of it: {names['logs']}"
    if _CONFLICT.fullmatch(message.what):
        whole = read_termination_message(conflict("", "", "", ""))
        return f"{whole.resolution if whole else ''} {rest}"
    return f"{message.resolution}… {rest}" if message.resolution else rest


def _probe(container: Container) -> Meaning | None:
    """The probe that most likely had the kubelet stop the container; events alone name it."""
    if container.startup_seconds is not None and not container.is_started:
        return Meaning(
            f"The startup probe failed for {container.startup_seconds} s, so the kubelet stopped "
            "the container",
            "See what takes the server so long, or raise failureThreshold of the probe. "
            + pod_reasons.LOGS,
            pod_reasons.PROBES,
        )
    if container.has_liveness_probe and container.is_started:
        return Meaning(
            "The liveness probe failed, so the kubelet stopped the container",
            pod_reasons.LOGS,
            pod_reasons.PROBES,
        )
    return None


def _volume_image(pod: Pod, container: Container, message: str) -> dict[str, str]:
    """The image of a volume that the message names, in place of the container's own."""
    for volume in pod.volumes:
        if volume.image and volume.name in container.volumes and f'"{volume.image}"' in message:
            return {"image": volume.image, "role": "provider image"}
    return {}


def _advice(rules: Advice, message: str) -> str:
    """The advice of the first rule that the message matches; empty where none does."""
    for hint in rules:
        if found := re.search(hint.pattern, message, re.IGNORECASE):
            return hint.resolution.format(**found.groupdict())
    return ""


def _missing(pod: Pod, message: str) -> str:
    """What to create where a Secret or a ConfigMap is missing; else empty."""
    within = f" in the namespace '{pod.namespace}'" if pod.namespace else ""
    if found := _SECRET.search(message):
        kind = {"secret": "Secret", "configmap": "ConfigMap"}[found[1]]
        return f"Create the {kind} '{found[2]}'{within}, or correct its name in the manifest."
    if found := _KEY.search(message):
        return (
            f"Add the key '{found[1]}' to the {found[2]} '{found[3]}', or correct the key's name."
        )
    return ""


def _names(pod: Pod, container: Container | None) -> dict[str, str]:
    """What the tables may name; commands are quoted for a shell."""
    place = ["-n", pod.namespace] if pod.namespace else []
    name = f"pod/{pod.name}"  # which no name can turn into an option
    names = {
        "describe": shlex.join(["kubectl", "describe", name, *place]),
        "node": pod.node,
    }
    if container is None:
        return names
    previous = ["--previous"] if container.last is not None else []
    is_install = container.name.startswith(INIT_CONTAINER_PREFIX)
    limit = container.memory_limit
    return {
        **names,
        "container": container.name,
        "image": container.image,
        "role": "provider image" if is_install else "image",
        "limit": f" of {limit}" if limit else "",
        "restarts": str(container.restarts),
        "logs": shlex.join(["kubectl", "logs", name, "-c", container.name, *place, *previous]),
    }
