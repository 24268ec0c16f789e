"""The status of each provider in a Pod (contract section 7), and of the phases of its start."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from lls_provider.contract.models import INIT_CONTAINER_PREFIX
from lls_provider.contract.names import VOLUME_ROOT, ZIPAPP_FILE
from lls_provider.deploy.pod_causes import (
    Cause,
    pod_causes,
    running_cause,
    termination_cause,
    waiting_cause,
)
from lls_provider.errors import ExitStatus, SdkError
from lls_provider.runtime.start import parse_providers

if TYPE_CHECKING:
    from lls_provider.deploy.pod import Container, Pod

EXTRACT_CONTAINER = "extract-distribution-config"
MERGE_CONTAINER = "merge-config"
PREFLIGHT_CONTAINER = "preflight"
_PHASES = {
    EXTRACT_CONTAINER: "extract",
    MERGE_CONTAINER: "merge",
    PREFLIGHT_CONTAINER: "preflight",
}
_SERVERS = ("llama-stack", "ogx")
_INSTALL = re.compile(r"(?<![\w-])install(?=\s)")
_INSTALLS = re.compile(r"(?<![\w-])(install|install-all|start)(?=\s|$)")
_PROVIDER_ID = re.compile(r"--provider-id[=\s]+['\"]?([a-z0-9][-a-z0-9]*)")
_IMAGE = re.compile(r"--image[=\s]+['\"]?([^\s'\";&|]+)")
_SIGNALS = (137, 143)


class ProviderPhase(Enum):
    """The phases of a provider, the worst first."""

    FAILED = "Failed"
    PENDING = "Pending"
    INSTALLING = "Installing"
    READY = "Ready"


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """One entry of ``status.externalProviders`` of the CR, and the container behind it."""

    provider_id: str
    image: str
    phase: ProviderPhase
    message: str
    init_container_name: str
    last_transition_time: str

    def to_document(self) -> dict[str, str]:
        """The entry; a field without a value is left out."""
        entry = {
            "providerId": self.provider_id,
            "image": self.image,
            "phase": self.phase.value,
            "message": self.message,
            "initContainerName": self.init_container_name,
            "lastTransitionTime": self.last_transition_time,
        }
        return {key: value for key, value in entry.items() if value or key == "image"}


@dataclass(frozen=True, slots=True)
class PhaseStatus:
    """One phase of the Pod's start: ``state`` is Pending, Running, Completed, Ready or Failed.

    A provider's installation has the provider's phase as its state.
    """

    name: str
    provider_id: str
    container: str
    state: str
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class PodDiagnosis:
    """What became of one Pod: its providers, its phases in order, and causes of the whole Pod."""

    pod: Pod
    providers: tuple[ProviderStatus, ...]
    phases: tuple[PhaseStatus, ...]
    causes: tuple[Cause, ...]

    @property
    def is_ready(self) -> bool:
        """Whether every provider is installed and the server is ready."""
        return all(it.phase is ProviderPhase.READY for it in self.providers) and any(
            it.name == "server" and it.state == "Ready" for it in self.phases
        )

    @property
    def failures(self) -> tuple[Cause, ...]:
        """What failed, or waits for something that has to be changed."""
        found = [*self.causes, *(it.cause for it in self.phases if it.cause is not None)]
        return tuple(it for it in found if it.is_failure)

    @property
    def status(self) -> ExitStatus:
        """WRONG when there are failures, OK when all is ready or still starting."""
        failed = any(it.phase is ProviderPhase.FAILED for it in self.providers)
        return ExitStatus.WRONG if failed or self.failures else ExitStatus.OK


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What became of the Pods of one server."""

    pods: tuple[PodDiagnosis, ...]

    @property
    def providers(self) -> tuple[ProviderStatus, ...]:
        """Each provider once: where Pods differ, in its worst phase."""
        order = list(ProviderPhase)
        found: dict[str, ProviderStatus] = {}
        for provider in (it for pod in self.pods for it in pod.providers):
            other = found.get(provider.provider_id)
            if other is None or order.index(provider.phase) < order.index(other.phase):
                found[provider.provider_id] = provider
        return tuple(found.values())

    @property
    def status(self) -> ExitStatus:
        """WRONG when something failed in one of the Pods."""
        return max(it.status for it in self.pods)

    def to_document(self) -> list[dict[str, str]]:
        """``status.externalProviders`` of the CR, as ``--format json`` prints it."""
        return [it.to_document() for it in self.providers]


def has_providers(pod: Pod) -> bool:
    """Whether the Pod has containers that install providers."""
    return bool(_installers(pod)) or _self_installing(pod) is not None


def diagnose_pod(pod: Pod) -> PodDiagnosis:
    """What became of a Pod that `has_providers`."""
    whole = pod_causes(pod)
    phases: list[PhaseStatus] = []
    providers: list[ProviderStatus] = []
    server = _server(pod)
    for container in pod.init_containers:
        cause = _cause(pod, container, whole)
        if container.name.startswith(INIT_CONTAINER_PREFIX):
            provider = _provider(pod, container, cause, whole)
            providers.append(provider)
            phases.append(
                PhaseStatus(
                    "install", provider.provider_id, container.name, provider.phase.value, cause
                )
            )
        elif _is_installing(container):
            listed = list(_self_installed(pod, container, whole))
            providers += [it for it, _ in listed]
            phases += [phase for _, phase in listed]
        elif container.name in _PHASES or (cause is not None and cause.is_failure):
            other = "sidecar" if container.is_sidecar else "init"
            name = _PHASES.get(container.name, other)
            phases.append(PhaseStatus(name, "", container.name, _state(container), cause))
    if not providers and server is not None:
        listed = list(_self_installed(pod, server, whole))
        providers += [it for it, _ in listed]
        phases += [phase for _, phase in listed]
    explained = any(it.container == server.name and it.cause for it in phases) if server else False
    phases += _server_phases(pod, server, whole, explained=explained)
    return PodDiagnosis(pod, tuple(providers), tuple(phases), tuple(whole))


def _installers(pod: Pod) -> list[Container]:
    return [
        it
        for it in pod.init_containers
        if it.name.startswith(INIT_CONTAINER_PREFIX) or _is_installing(it)
    ]


def _self_installing(pod: Pod) -> Container | None:
    """The main container that installs providers itself, as with the operator that is released."""
    return next(filter(_is_installing, pod.containers), None)


def _is_installing(container: Container) -> bool:
    """Whether a container installs all providers: the server's own, or that of image volumes."""
    line = container.command_line
    return ZIPAPP_FILE in line and _INSTALLS.search(line) is not None


def _server(pod: Pod) -> Container | None:
    """The container of the server: the one with the volume, else by its name, else the first."""
    by_itself = _self_installing(pod)
    if by_itself is not None:
        return by_itself
    for container in pod.containers:
        if any(path.startswith(VOLUME_ROOT) for path in container.mount_paths):
            return container
    for container in pod.containers:
        if container.name in (*_SERVERS, pod.default_container):
            return container
    return pod.containers[0] if pod.containers else None


def _cause(pod: Pod, container: Container, whole: Sequence[Cause]) -> Cause | None:
    """Why a container is not where it should be.

    What the Pod's own cause explains is left out, and that a Pod which is deleted stops.
    """
    if container.terminated is not None:
        if container.has_succeeded and container.is_init and not container.is_sidecar:
            return None
        cause = termination_cause(pod, container, container.terminated)
        stopped = container.terminated.exit_code in _SIGNALS or container.has_succeeded
        explained = pod.is_being_deleted or any(it.is_failure for it in whole)
        return None if stopped and explained and cause.message is None else cause
    if container.is_running:
        return None if pod.is_being_deleted else running_cause(pod, container)
    return waiting_cause(pod, container)


def _is_stopping(pod: Pod, container: Container, cause: Cause | None) -> bool:
    """Whether a main container ended because its Pod is being deleted."""
    return pod.is_being_deleted and container.terminated is not None and cause is None


def _state(container: Container) -> str:
    if container.terminated is not None:
        return "Completed" if container.has_succeeded else "Failed"
    if container.is_running:
        return "Running"
    return "Failed" if _failed_before(container) else "Pending"


def _failed_before(container: Container) -> bool:
    """Whether a container that waits to be started again has failed."""
    waits = container.waiting is not None and container.waiting.reason == "CrashLoopBackOff"
    ended = container.last
    return waits and ended is not None and (ended.exit_code != 0 or not container.is_init)


def _provider(
    pod: Pod, container: Container, cause: Cause | None, whole: Sequence[Cause]
) -> ProviderStatus:
    phase, since, message = ProviderPhase.PENDING, _waiting_since(pod, container), ""
    ended = container.terminated or (container.last if _failed_before(container) else None)
    if container.has_succeeded:
        phase, since = ProviderPhase.READY, (ended.finished_at if ended else "")
    elif ended is not None:
        phase, since = ProviderPhase.FAILED, ended.finished_at or _waiting_since(pod, container)
        message = ended.message.rstrip() if _is_ours(cause) else ""
    elif container.is_running:
        phase, since = ProviderPhase.INSTALLING, container.running_since or ""
    if phase not in (ProviderPhase.READY, ProviderPhase.INSTALLING) and not message:
        message = _message(cause, whole)
    return ProviderStatus(
        container.name.removeprefix(INIT_CONTAINER_PREFIX),
        _installed_image(pod, container),
        phase,
        message,
        container.name,
        since,
    )


def _is_ours(cause: Cause | None) -> bool:
    return cause is not None and cause.message is not None


def _is_of_preflight(cause: Cause | None) -> bool:
    return cause is not None and cause.message is not None and cause.message.is_of_preflight


def _installed_image(pod: Pod, container: Container) -> str:
    """The provider's image: that of the container, or the image volume that it installs from."""
    mounted = (it.image for it in pod.volumes if it.image and it.name in container.volumes)
    return next(mounted, container.image)


def _message(cause: Cause | None, whole: Sequence[Cause]) -> str:
    """One text of a cause, for a status that has no other field for it."""
    causes = [*([cause] if cause is not None else []), *whole]
    told = next((it for it in causes if it.is_failure), cause)
    if told is None:
        return ""
    parts = [f"{told.what} ({told.reason})"]
    if told.details:
        parts.append(told.details)
    if told.resolution:
        parts.append(f"Resolution: {told.resolution}")
    return "\n\n".join(parts)


def _waiting_since(pod: Pod, container: Container) -> str:
    if container.last is not None and container.last.finished_at:
        return container.last.finished_at
    initialized = pod.condition("Initialized") or pod.condition("PodScheduled")
    return (initialized.since if initialized else "") or pod.created


def _self_installed(
    pod: Pod, container: Container, whole: Sequence[Cause]
) -> Iterator[tuple[ProviderStatus, PhaseStatus]]:
    """The providers that one container installs, in the order of its command line.

    Where its message names one of them, those before it are installed, and the others wait.
    """
    cause = _cause(pod, container, whole)
    blamed = cause.message.provider if cause is not None and cause.message is not None else ""
    listed = list(_named_providers(pod, container))
    ids = [provider_id for provider_id, _ in listed]
    state = _state(container)
    serves = (
        container.has_succeeded
        if container.is_init
        else container.is_ready or (container.startup_seconds is not None and container.is_started)
    )
    ended = container.terminated or container.last
    # the status has a field for init containers alone
    name = container.name if container.is_init else ""
    for index, (provider_id, image) in enumerate(listed):
        since, message = _waiting_since(pod, container), ""
        if serves or _is_of_preflight(cause) or _is_stopping(pod, container, cause):
            phase = ProviderPhase.READY
        elif state == "Running":
            phase, since = ProviderPhase.INSTALLING, container.running_since or ""
        elif state == "Pending":
            phase, message = ProviderPhase.PENDING, _message(cause, whole)
        elif blamed in ids and ids.index(blamed) != index:
            before = index < ids.index(blamed)
            phase = ProviderPhase.READY if before else ProviderPhase.PENDING
        else:
            phase = ProviderPhase.FAILED
            message = ended.message.rstrip() if ended and _is_ours(cause) else ""
            message = message or _message(cause, whole)
        yield (
            ProviderStatus(provider_id, image, phase, message, name, since),
            PhaseStatus(
                "install",
                provider_id,
                container.name,
                phase.value,
                cause if provider_id == blamed and not _is_of_preflight(cause) else None,
            ),
        )


def _named_providers(pod: Pod, container: Container) -> Iterator[tuple[str, str]]:
    """Each provider that the container installs, with its image."""
    if container.providers:
        with contextlib.suppress(SdkError, RecursionError):
            for entry in parse_providers(container.providers):
                yield entry["id"], entry["image"]
        return
    for part in _INSTALL.split(container.command_line)[1:]:
        found, image = _PROVIDER_ID.search(part), _IMAGE.search(part)
        if found is None:
            continue
        yield found[1], image[1] if image else _volume_image(pod, found[1])


def _volume_image(pod: Pod, provider_id: str) -> str:
    """The image of the volume that is named after a provider; empty where there is none."""
    named = [it for it in pod.volumes if it.image and f"-{it.name}".endswith(f"-{provider_id}")]
    return min(named, key=lambda it: len(it.name)).image if named else ""


def _server_phases(
    pod: Pod, server: Container | None, whole: Sequence[Cause], *, explained: bool
) -> Iterator[PhaseStatus]:
    """The main containers; with ``explained`` the server's container failed in an earlier phase."""
    for container in pod.containers:
        cause = _cause(pod, container, whole)
        if container is not server:
            if cause is not None and cause.is_failure:
                yield PhaseStatus("sidecar", "", container.name, _state(container), cause)
            continue
        if explained:
            yield PhaseStatus("server", "", container.name, "Pending")
            continue
        state = "Ready" if container.is_ready else _state(container)
        if _is_stopping(pod, container, cause):
            state = "Completed"
        elif state == "Completed" or (state == "Running" and cause and cause.is_failure):
            state = "Failed"
        if _is_of_preflight(cause):
            yield PhaseStatus("preflight", "", container.name, "Failed", cause)
            yield PhaseStatus("server", "", container.name, "Pending")
            continue
        if PREFLIGHT_CONTAINER in container.command_line or container is _self_installing(pod):
            done = container.is_ready or container.is_started
            if done or state != "Failed":  # of a failure without its message it is not known
                yield PhaseStatus("preflight", "", container.name, "Completed" if done else state)
        yield PhaseStatus("server", "", container.name, state, cause)
