"""What the released operators make of a custom resource: the Pod of their Deployment.

Only what concerns a container that installs providers, as `controllers/resource_helper.go` of
ogx-k8s-operator v0.14 and of llama-stack-k8s-operator v0.9 has it. No probe: podman starts none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Manifest = dict[str, Any]
_FS_GROUP = 1001


def ogxserver_pod(resource: Mapping[str, Any], generated: str | None = None) -> Manifest:
    """The Pod for an ``OGXServer``; ``generated`` is the ConfigMap that the operator generated."""
    spec = resource["spec"]
    overrides = spec["workload"]["overrides"]
    port = spec.get("network", {}).get("port", 8321)
    variables = {"HF_HOME": "/.ogx", "OGX_WORKERS": "1", "OGX_PORT": str(port)}
    mounts: list[Manifest] = [{"name": "ogx-storage", "mountPath": "/.ogx"}]
    volumes: list[Manifest] = [{"name": "ogx-storage", "emptyDir": {}}]
    reference = spec.get("overrideConfig")
    if generated is not None:
        assert reference is None, "overrideConfig excludes a generated configuration"
        reference = {"name": generated, "key": "config.yaml"}
    if reference is not None:
        variables |= dict.fromkeys(("RUN_CONFIG_PATH", "OGX_CONFIG"), "/etc/ogx/config.yaml")
        mounts.append({"name": "user-config", "mountPath": "/etc/ogx/", "readOnly": True})
        items = [{"key": reference["key"], "path": "config.yaml"}]
        source = {"name": reference["name"], "items": items}
        volumes.append({"name": "user-config", "configMap": source})
    given = overrides["env"]
    named = {variable["name"] for variable in given}
    container = {
        "name": "ogx",
        "image": spec["distribution"]["image"],
        "ports": [{"containerPort": port}],
        "resources": spec["workload"].get("resources", {}),
        "env": [*(it for it in _variables(variables) if it["name"] not in named), *given],
        "command": overrides["command"],
        "args": overrides["args"],
        "volumeMounts": [*mounts, *overrides["volumeMounts"]],
    }
    account = overrides.get("serviceAccountName", f"{resource['metadata']['name']}-sa")
    return _pod(resource, container, [*volumes, *overrides["volumes"]], account)


def llamastackdistribution_pod(resource: Mapping[str, Any]) -> Manifest:
    """The Pod for a ``LlamaStackDistribution``, which mounts its ConfigMap as a whole."""
    server = resource["spec"]["server"]
    told, overrides = server["containerSpec"], server["podOverrides"]
    variables = {
        "HF_HOME": "/.llama",
        "LLS_WORKERS": "1",
        "LLS_PORT": str(told["port"]),
        "LLAMA_STACK_CONFIG": "/etc/llama-stack/config.yaml",
    }
    mounts: list[Manifest] = [{"name": "lls-storage", "mountPath": "/.llama"}]
    volumes: list[Manifest] = [{"name": "lls-storage", "emptyDir": {}}]
    if "userConfig" in server:
        mounts.append({"name": "user-config", "mountPath": "/etc/llama-stack/", "readOnly": True})
        source = {"name": server["userConfig"]["configMapName"]}
        volumes.append({"name": "user-config", "configMap": source})
    container = {
        "name": "llama-stack",
        "image": server["distribution"]["image"],
        "ports": [{"containerPort": told["port"]}],
        "resources": told.get("resources", {}),
        "env": [*_variables(variables), *told["env"]],
        "command": told["command"],
        "args": told["args"],
        "volumeMounts": [*mounts, *overrides["volumeMounts"]],
    }
    account = overrides.get("serviceAccountName", f"{resource['metadata']['name']}-sa")
    return _pod(resource, container, [*volumes, *overrides["volumes"]], account)


def _variables(values: Mapping[str, str]) -> list[Manifest]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _pod(
    resource: Mapping[str, Any], container: Manifest, volumes: Sequence[Manifest], account: str
) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": resource["metadata"]["name"]},
        "spec": {
            "restartPolicy": "Never",  # a Deployment restarts: here what ended is to be seen
            "serviceAccountName": account,
            "securityContext": {"fsGroup": _FS_GROUP},
            "containers": [container],
            "volumes": list(volumes),
        },
    }
