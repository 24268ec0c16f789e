"""What an operator makes of a CR, compared with the Pod of the contract (section 2)."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lls_provider.conformance.volume_state import PACKAGES
from lls_provider.contract.document import load
from lls_provider.contract.models import INIT_CONTAINER_PREFIX
from lls_provider.contract.names import VOLUME_ROOT
from lls_provider.errors import SdkError

_PACKAGES = f"{VOLUME_ROOT}/{PACKAGES}"


def pod_differences(expected: Mapping[str, Any], text: str) -> Iterator[tuple[str, str]]:
    """Pairs of what was expected and found; ``text`` is YAML or JSON, one or several resources.

    ``expected`` may have ``providers``, the init containers that install, in order, and the names
    of further rules: ``security``, ``volume`` and ``path``.
    """
    pod = find_pod_spec(text)
    if pod is None:
        yield "manifests on stdout with a Pod, or a template of one", text[-500:] or "nothing"
        return
    containers = _list(pod, "initContainers")
    if "providers" in expected:
        installers = [
            {key: it.get(key) for key in ("name", "image", "imagePullPolicy")}
            for it in containers
            if str(it.get("name", "")).startswith(INIT_CONTAINER_PREFIX)
        ]
        if installers != list(expected["providers"]):
            yield f"init containers {json.dumps(expected['providers'])}", json.dumps(installers)
    everyone = [*containers, *_list(pod, "containers")]
    if expected.get("security"):
        for container in everyone:
            yield from _insecure(pod, container)
    if expected.get("volume"):
        yield from _volume(pod, everyone)
    if expected.get("path"):
        yield from _path(_list(pod, "containers"))


def find_pod_spec(text: str) -> Mapping[str, Any] | None:
    """The first Pod's spec among the resources, or the first template's."""
    items: list[Mapping[str, Any]] = []
    for part in re.split(r"(?m)^---.*$", text):
        with contextlib.suppress(SdkError):  # comments alone, or no YAML
            document = load(part.encode(), "stdout").value
            if isinstance(document, dict):
                items += _list(document, "items") or [document]
    for item in items:
        spec = item.get("spec")
        if isinstance(spec, dict) and isinstance(spec.get("template"), dict):
            spec = spec["template"].get("spec")
        if isinstance(spec, dict) and isinstance(spec.get("containers"), list):
            return spec
    return None


def _insecure(pod: Mapping[str, Any], container: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    name = container.get("name")
    own = _mapping(container, "securityContext")
    shared = _mapping(pod, "securityContext")
    wanted = {
        "runAsNonRoot": own.get("runAsNonRoot", shared.get("runAsNonRoot")) is True,
        "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
        "capabilities.drop": _mapping(own, "capabilities").get("drop") == ["ALL"],
        "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
    }
    for key, right in wanted.items():
        if not right:
            yield f"container {name}: a secure {key}", f"securityContext {json.dumps(own)}"


def _volume(
    pod: Mapping[str, Any], containers: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    limited = {
        it.get("name"): _mapping(it, "emptyDir").get("sizeLimit") for it in _list(pod, "volumes")
    }
    for container in containers:
        mounts = _list(container, "volumeMounts")
        names = [
            it.get("name")
            for it in mounts
            if str(it.get("mountPath", "")).startswith(VOLUME_ROOT) and limited.get(it.get("name"))
        ]
        if not names:
            place = f"an emptyDir with a sizeLimit mounted at {VOLUME_ROOT} in"
            yield f"{place} {container.get('name')}", json.dumps(mounts)


def _path(containers: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    values = [
        str(variable.get("value", ""))
        for container in containers
        for variable in _list(container, "env")
        if variable.get("name") == "PYTHONPATH"
    ]
    if not any(value.split(":")[0] == _PACKAGES for value in values):
        yield f"PYTHONPATH of the server begins with {_PACKAGES}", ", ".join(values) or "none"


def _list(value: Mapping[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    return [it for it in found if isinstance(it, dict)] if isinstance(found, list) else []


def _mapping(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}
