"""Manifests that need no operator: a Pod, a Deployment with its Service, a base for kustomize."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from lls_provider.deploy.render.manifest_text import comment, manifest_text, plain
from lls_provider.deploy.render.pod_spec import pod_spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lls_provider.deploy.render.manifest_text import Manifest
    from lls_provider.deploy.render.plan import DeploymentPlan

HASH_ANNOTATION = "llamastack.io/providers-hash"
_NAME = "app.kubernetes.io/name"
_MANAGED = "app.kubernetes.io/managed-by"
_MANAGER = "lls-provider"


def pod(plan: DeploymentPlan, *, image_volumes: bool = False) -> list[Manifest]:
    """What the plan creates, then the Pod."""
    spec = {
        comment("a failure stays to be seen, use a Deployment for Pods that are made again"): None,
        "restartPolicy": "Never",
        **pod_spec(plan, image_volumes=image_volumes),
    }
    manifest: Manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": plan.server.name,
            "labels": labels(plan),
            "annotations": {HASH_ANNOTATION: content_hash([*plan.objects, spec])},
        },
        "spec": spec,
    }
    return [*(labelled(it, plan) for it in plan.objects), manifest]


def deployment(
    plan: DeploymentPlan, *, image_volumes: bool = False, network_policy: bool = False
) -> list[Manifest]:
    """What the plan creates, the Deployment, its Service and, on request, a NetworkPolicy.

    The Pods carry a hash of everything that was rendered, so that a change of a configuration or of
    an image rolls them.
    """
    spec = pod_spec(plan, image_volumes=image_volumes)
    selector = {_NAME: plan.server.name}
    manifests: list[Manifest] = [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": _metadata(plan),
            "spec": {
                comment("how many Pods there are"): None,
                "replicas": plan.server.replicas,
                "selector": {"matchLabels": selector},
                "template": {
                    "metadata": {
                        "labels": labels(plan),
                        "annotations": {HASH_ANNOTATION: content_hash([*plan.objects, spec])},
                    },
                    "spec": spec,
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _metadata(plan),
            "spec": {
                "selector": selector,
                "ports": [{"name": "http", "port": plan.server.port, "targetPort": "http"}],
            },
        },
    ]
    if network_policy:
        manifests.append(_network_policy(plan))
    return [*(labelled(it, plan) for it in plan.objects), *manifests]


def kustomize(
    plan: DeploymentPlan, *, image_volumes: bool = False, network_policy: bool = False
) -> dict[str, str]:
    """The files of a base for kustomize, by name: the Deployment's manifests, one a file."""
    files = {
        f"{manifest['kind'].lower()}-{manifest['metadata']['name']}.yaml": manifest_text(manifest)
        for manifest in deployment(plan, image_volumes=image_volumes, network_policy=network_policy)
    }
    kustomization: Manifest = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(files),
    }
    return {"kustomization.yaml": manifest_text(kustomization), **files}


def labels(plan: DeploymentPlan) -> dict[str, str]:
    """The labels of everything that is rendered for one server."""
    return {_NAME: plan.server.name, _MANAGED: _MANAGER}


def content_hash(parts: Sequence[Mapping[str, object]]) -> str:
    """A hash of manifests as data: comments and layout do not count."""
    data = json.dumps(plain(parts), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(data.encode()).hexdigest()[:32]


def labelled(manifest: Mapping[str, Any], plan: DeploymentPlan) -> Manifest:
    """A ConfigMap or Secret of the plan, with the plan's labels."""
    return {**manifest, "metadata": {**manifest["metadata"], "labels": labels(plan)}}


def _metadata(plan: DeploymentPlan) -> Manifest:
    return {"name": plan.server.name, "labels": labels(plan)}


def _network_policy(plan: DeploymentPlan) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(plan),
        "spec": {
            "podSelector": {"matchLabels": {_NAME: plan.server.name}},
            "policyTypes": ["Ingress"],
            comment("who may call the server, here every Pod of the namespace"): None,
            "ingress": [
                {
                    "from": [{"podSelector": {}}],
                    "ports": [{"protocol": "TCP", "port": plan.server.port}],
                }
            ],
        },
    }
