"""A Pod as the API server returns it, as far as it says how its start went.

The fields are those of
https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.start import PROVIDERS_VARIABLE

_TEXT_LIMIT = 16 * 1024  # characters; the API server holds less of any text that is read here
GET_POD = "kubectl get pod NAME -o json"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_KINDS = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A container that does not run yet, with the kubelet's reason and message."""

    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Termination:
    """How one run of a container ended."""

    exit_code: int
    reason: str = ""
    message: str = ""
    finished_at: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """A container of the spec and its status; without a status it is waiting.

    ``providers`` is the variable LLS_PROVIDERS. ``startup_seconds`` is what the startup probe
    allows; None where there is none.
    """

    name: str
    image: str
    is_init: bool
    is_sidecar: bool
    command_line: str
    providers: str
    volumes: tuple[str, ...]
    mount_paths: tuple[str, ...]
    memory_limit: str
    startup_seconds: int | None
    has_liveness_probe: bool
    waiting: Waiting | None
    running_since: str | None
    terminated: Termination | None
    last: Termination | None
    is_ready: bool
    is_started: bool
    restarts: int

    @property
    def is_running(self) -> bool:
        """Whether it runs now."""
        return self.running_since is not None

    @property
    def has_succeeded(self) -> bool:
        """Whether it has ended with exit status 0."""
        return self.terminated is not None and self.terminated.exit_code == 0


@dataclass(frozen=True, slots=True)
class Condition:
    """One of the Pod's conditions."""

    type: str
    status: str
    reason: str
    message: str
    since: str


@dataclass(frozen=True, slots=True)
class PodVolume:
    """A volume; ``image`` is set for an image volume, ``size_limit`` for a limited emptyDir."""

    name: str
    image: str
    size_limit: str


@dataclass(frozen=True, slots=True)
class Pod:
    """A Pod; the containers are in the order in which they start."""

    name: str
    namespace: str
    node: str
    phase: str
    reason: str
    message: str
    created: str
    is_being_deleted: bool
    conditions: tuple[Condition, ...]
    init_containers: tuple[Container, ...]
    containers: tuple[Container, ...]
    volumes: tuple[PodVolume, ...]
    default_container: str

    @property
    def container_count(self) -> int:
        """How many containers share what a kubelet keeps of termination messages."""
        return len(self.init_containers) + len(self.containers)

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type."""
        return next((it for it in self.conditions if it.type == kind), None)


def read_pods(document: object) -> list[Pod]:
    """The Pods of what ``kubectl get`` printed: one Pod, or a list.

    Raises SdkError POD_INVALID for everything else.
    """
    root = _Fields(document, "")
    kind = root.text("kind")
    if kind == "Pod":
        return [_pod(root)]
    if kind not in ("List", "PodList"):
        found = f"its kind is '{kind}'" if kind else "it has no kind"
        raise _invalid(f"The JSON is not a Pod: {found}")
    return [_pod(item) for item in root.each("items") if item.text("kind") in ("Pod", "")]


def _pod(root: _Fields) -> Pod:
    metadata, spec, status = (root.fields(key) for key in ("metadata", "spec", "status"))
    if not spec.value:
        raise _invalid("The Pod has no spec")
    if not status.value:
        raise _invalid("The Pod has no status: this is a manifest, not a Pod of a cluster")
    annotations = metadata.fields("annotations")
    return Pod(
        name=metadata.text("name"),
        namespace=metadata.text("namespace"),
        node=spec.text("nodeName"),
        phase=status.text("phase"),
        reason=status.text("reason"),
        message=status.text("message"),
        created=metadata.time("creationTimestamp"),
        is_being_deleted=bool(metadata.text("deletionTimestamp")),
        conditions=tuple(
            Condition(
                it.text("type"),
                it.text("status"),
                it.text("reason"),
                it.text("message"),
                it.time("lastTransitionTime"),
            )
            for it in status.each("conditions")
        ),
        init_containers=tuple(_containers(spec, status, is_init=True)),
        containers=tuple(_containers(spec, status, is_init=False)),
        volumes=tuple(
            PodVolume(
                it.text("name"),
                it.fields("image").text("reference"),
                it.fields("emptyDir").text("sizeLimit"),
            )
            for it in spec.each("volumes")
        ),
        default_container=annotations.text("kubectl.kubernetes.io/default-container"),
    )


def _containers(spec: _Fields, status: _Fields, *, is_init: bool) -> Iterator[Container]:
    listed = status.each("initContainerStatuses" if is_init else "containerStatuses")
    statuses = {it.text("name"): it for it in listed}
    for described in spec.each("initContainers" if is_init else "containers"):
        known = statuses.get(described.text("name"), _Fields({}, ""))
        yield _container(described, known, is_init=is_init)


def _container(spec: _Fields, status: _Fields, *, is_init: bool) -> Container:
    state = status.fields("state")
    terminated = _termination(state)
    running_since = state.fields("running").time("startedAt") if state.has("running") else None
    waiting = None
    if terminated is None and running_since is None:
        # of no state at all the API says that it is waiting
        why = state.fields("waiting")
        waiting = Waiting(why.text("reason"), why.text("message"))
    mounts = spec.each("volumeMounts")
    return Container(
        name=spec.text("name"),
        image=spec.text("image"),
        is_init=is_init,
        is_sidecar=is_init and spec.text("restartPolicy") == "Always",
        command_line=" ".join([*spec.texts("command"), *spec.texts("args")]),
        providers="".join(
            it.text("value", None)
            for it in spec.each("env")
            if it.text("name") == PROVIDERS_VARIABLE
        ),
        volumes=tuple(it.text("name") for it in mounts),
        mount_paths=tuple(it.text("mountPath") for it in mounts),
        memory_limit=spec.fields("resources").fields("limits").quantity("memory"),
        startup_seconds=_probe_seconds(spec),
        has_liveness_probe=spec.has("livenessProbe"),
        waiting=waiting,
        running_since=running_since,
        terminated=terminated,
        last=_termination(status.fields("lastState")),
        is_ready=status.flag("ready"),
        is_started=status.flag("started"),
        restarts=status.number("restartCount", 0),
    )


def _termination(state: _Fields) -> Termination | None:
    if not state.has("terminated"):
        return None
    found = state.fields("terminated")
    return Termination(
        found.number("exitCode", 0),
        found.text("reason"),
        found.text("message"),
        found.time("finishedAt"),
    )


def _probe_seconds(spec: _Fields) -> int | None:
    if not spec.has("startupProbe"):
        return None
    probe = spec.fields("startupProbe")
    # the API's defaults: a period of 10 seconds, 3 failures
    tries = probe.number("periodSeconds", 10) * probe.number("failureThreshold", 3)
    return probe.number("initialDelaySeconds", 0) + tries


class _Fields:
    """One object of the JSON with its path; null is the same as absent, as in the API."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise _wrong(path, "an object", value)
        self.value: dict[str, Any] = value
        self.path = path

    def has(self, key: str) -> bool:
        return self.value.get(key) is not None

    def text(self, key: str, limit: int | None = _TEXT_LIMIT) -> str:
        return str(self._typed(key, str, "text") or "")[:limit]

    def time(self, key: str) -> str:
        """A timestamp of the API (RFC 3339); empty where it is none."""
        found = self.text(key)
        return found if _TIME.fullmatch(found) else ""

    def quantity(self, key: str) -> str:
        """A quantity of the API, which may be written as text or as a number."""
        value = self.value.get(key)
        return str(value) if type(value) in (int, float) else self.text(key)

    def number(self, key: str, default: int) -> int:
        if type(self.value.get(key)) is bool:
            raise _wrong(self._place(key), "a number", self.value[key])
        found = self._typed(key, int, "a number")
        return default if found is None else int(found)

    def flag(self, key: str) -> bool:
        return bool(self._typed(key, bool, "true or false"))

    def fields(self, key: str) -> _Fields:
        return _Fields(self._typed(key, dict, "an object") or {}, self._place(key))

    def each(self, key: str) -> list[_Fields]:
        found = self._typed(key, list, "a list") or []
        return [_Fields(it, f"{self._place(key)}[{index}]") for index, it in enumerate(found)]

    def texts(self, key: str) -> list[str]:
        found = self._typed(key, list, "a list") or []
        for index, it in enumerate(found):
            if not isinstance(it, str):
                raise _wrong(f"{self._place(key)}[{index}]", "text", it)
        return found

    def _typed(self, key: str, kind: type, wanted: str) -> Any:
        value = self.value.get(key)
        if value is not None and not isinstance(value, kind):
            raise _wrong(self._place(key), wanted, value)
        return value

    def _place(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def _wrong(path: str, wanted: str, value: object) -> SdkError:
    found = _KINDS.get(type(value), "something else")
    return _invalid("The JSON is not a Pod", f"{path or 'it'} is {found}, not {wanted}")


def _invalid(what: str, why: str = "") -> SdkError:
    return SdkError(
        Code.POD_INVALID, what, why=why, resolution=f"Give what '{GET_POD}' prints, unchanged."
    )
