"""Custom resources: that of the specification, and those of the operators that are released.

`cr` is what the contract describes (section 8). The released operators know no external
providers: with ``OGXServer`` and its predecessor ``LlamaStackDistribution`` the server's own
container installs them. Each provider's image is a volume, and the runtime's command ``start``
runs all phases before it becomes the image's entry point.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lls_provider.contract.document import dump, load
from lls_provider.contract.models import CrdConfig
from lls_provider.contract.names import (
    API_VERSION,
    VOLUME_ROOT,
    ZIPAPP_FILE,
    cr_name,
)
from lls_provider.deploy.render import sizes
from lls_provider.deploy.render.manifest_text import comment, plain
from lls_provider.deploy.render.plan import BASE_KEY, missing
from lls_provider.deploy.render.pod_spec import (
    RUN_YAML,
    container_environment,
    python_path,
    server_python,
    with_configuration,
)
from lls_provider.deploy.render.provider_mounts import (
    config_mounts,
    config_volumes,
    image_mount,
    image_source,
    image_volume,
    provider_list,
)
from lls_provider.deploy.render.workloads import HASH_ANNOTATION, content_hash, labelled, labels
from lls_provider.errors import Code, SdkError
from lls_provider.operations.phase_commands import runtime_command
from lls_provider.runtime.merge import ExternalProvider, merge_documents
from lls_provider.runtime.start import PROVIDERS_VARIABLE

if TYPE_CHECKING:
    from lls_provider.deploy.render.manifest_text import Manifest
    from lls_provider.deploy.render.plan import DeployedProvider, DeploymentPlan

_OGX_VERSION = "ogx.io/v1beta1"
_OGX_CONFIG = "/etc/ogx/config.yaml"
_OGX_ENTRYPOINT = "/usr/local/bin/ogx-entrypoint.sh"
_WATCH = {"ogx.io/watch": "true"}
_OLD_FOLDER = "/etc/llama-stack"
_OLD_ENTRYPOINT = "/usr/local/bin/llama-stack-entrypoint.sh"
_VOLUME = "lls-provider"
_MERGED_KEY = "config.yaml"


def cr(plan: DeploymentPlan) -> list[Manifest]:
    """The custom resource of the specification (contract section 8), with its ConfigMap.

    Raises SdkError FIELD_VALUE for a configuration that is in a Secret or ConfigMap: the resource
    has no field for it.
    """
    sections: dict[str, list[Manifest]] = {}
    for provider in plan.providers:
        entry: Manifest = {"providerId": provider.provider_id, "image": provider.image.reference}
        if provider.entry.pull_policy != "IfNotPresent":
            entry["imagePullPolicy"] = provider.entry.pull_policy
        if provider.entry.config_from is not None:
            raise SdkError(
                Code.FIELD_VALUE,
                f"Provider '{provider.provider_id}' has 'configFrom', which the resource lacks",
                why="The custom resource of the specification has the configuration itself.",
                where=provider.entry.where,
                resolution="Write 'config', with references such as ${env.TOKEN} for what is "
                "secret, or render deployment.",
            )
        if provider.entry.config is not None:
            entry["config"] = dict(provider.entry.config)
        sections.setdefault(cr_name(provider.api), []).append(entry)
    base = [it for it in plan.objects if plan.base and it["metadata"]["name"] == plan.base.name]
    server: Manifest = {"distribution": _distribution(plan), **_container_spec(plan)}
    if plan.base is not None:
        server["userConfig"] = {"configMapName": plan.base.name}
    server["externalProviders"] = sections
    manifest: Manifest = {
        "apiVersion": API_VERSION,
        "kind": "LlamaStackDistribution",
        "metadata": {"name": plan.server.name, "labels": labels(plan)},
        "spec": {"replicas": plan.server.replicas, "server": server},
    }
    return [*(labelled(it, plan) for it in base), manifest]


def ogxserver(plan: DeploymentPlan) -> list[Manifest]:
    """An ``OGXServer`` of the released operator (ogx-k8s-operator v0.14), with its ConfigMaps.

    With a base configuration in the file, the providers are merged into it here, and the resource
    overrides the operator's configuration with the result; otherwise the container merges when it
    starts. Raises what `merged_configuration` raises.
    """
    merged = merged_configuration(plan)
    objects = [labelled(it, plan) for it in plan.objects if not _is_base(it, plan)]
    spec: Manifest = {"distribution": _distribution(plan)}
    if merged is not None:
        name = f"{plan.server.name}-merged-config"
        objects.append(_config_map(plan, name, merged))
        spec["overrideConfig"] = {"name": name, "key": _MERGED_KEY}
    elif plan.base is not None:
        spec["overrideConfig"] = {"name": plan.base.name, "key": plan.base.key}
        objects += [
            {**it, "metadata": {**it["metadata"], "labels": {**it["metadata"]["labels"], **_WATCH}}}
            for it in (labelled(found, plan) for found in plan.objects if _is_base(found, plan))
        ]
    if plan.server.port:
        spec["network"] = {"port": plan.server.port}
    overrides: Manifest = {}
    if plan.server.service_account:
        comment_text = "carries the logins for registries, which the resource has no field for"
        overrides[comment(comment_text)] = None
        overrides["serviceAccountName"] = plan.server.service_account
    configured = _OGX_CONFIG if plan.base is not None else None
    overrides |= _start(plan, _OGX_ENTRYPOINT, configured, merged=merged is not None)
    workload: Manifest = {"replicas": plan.server.replicas}
    if plan.server.resources:
        workload["resources"] = dict(plan.server.resources)
    workload["overrides"] = overrides
    spec["workload"] = workload
    manifest: Manifest = {
        "apiVersion": _OGX_VERSION,
        "kind": "OGXServer",
        "metadata": {
            "name": plan.server.name,
            "labels": labels(plan),
            "annotations": {HASH_ANNOTATION: content_hash([*objects, spec])},
        },
        "spec": spec,
    }
    return [*objects, manifest]


def llamastackdistribution(plan: DeploymentPlan) -> list[Manifest]:
    """A ``LlamaStackDistribution`` of the operator before, which knows no external providers.

    As `ogxserver`, with the fields of the older resource.
    """
    merged = merged_configuration(plan)
    objects = [labelled(it, plan) for it in plan.objects if not _is_base(it, plan)]
    server: Manifest = {"distribution": _distribution(plan)}
    if merged is not None:
        name = f"{plan.server.name}-merged-config"
        objects.append(_config_map(plan, name, merged, key=BASE_KEY))
        server["userConfig"] = {"configMapName": name}
    elif plan.base is not None:
        server["userConfig"] = {"configMapName": plan.base.name}
        objects += [labelled(it, plan) for it in plan.objects if _is_base(it, plan)]
    # the operator mounts the whole ConfigMap: the file is named as the key
    configured = f"{_OLD_FOLDER}/{plan.base.key}" if plan.base is not None else None
    start = _start(plan, _OLD_ENTRYPOINT, configured, merged=merged is not None)
    server["containerSpec"] = {
        "port": plan.server.port,
        **({"resources": dict(plan.server.resources)} if plan.server.resources else {}),
        "command": start["command"],
        "args": start["args"],
        "env": start["env"],
    }
    server["podOverrides"] = {
        **(
            {"serviceAccountName": plan.server.service_account}
            if plan.server.service_account
            else {}
        ),
        "volumes": start["volumes"],
        "volumeMounts": start["volumeMounts"],
    }
    manifest: Manifest = {
        "apiVersion": API_VERSION,
        "kind": "LlamaStackDistribution",
        "metadata": {
            "name": plan.server.name,
            "labels": labels(plan),
            "annotations": {HASH_ANNOTATION: content_hash([*objects, plain(server)])},
        },
        "spec": {"replicas": plan.server.replicas, "server": server},
    }
    return [*objects, manifest]


def merged_configuration(plan: DeploymentPlan) -> str | None:
    """The base configuration of the file with the providers merged into it; None to merge later.

    It is merged later when the file has no base configuration of its own, when an image does not
    say its module, or when a configuration is in a Secret or ConfigMap. Raises what merging raises,
    with the line in the base configuration.
    """
    path = plan.server.config
    providers = [_external(provider) for provider in plan.providers]
    if path is None or any(it is None for it in providers):
        return None
    text = next(it["data"] for it in plan.objects if _is_base(it, plan))
    ((_, content),) = text.items()
    document = load(content.encode(), str(path))
    return dump(merge_documents(document, [it for it in providers if it is not None]).run)


def _external(provider: DeployedProvider) -> ExternalProvider | None:
    package = provider.image.package
    if package is None or provider.mounted is not None:
        return None
    crd = CrdConfig(
        provider.provider_id,
        provider.api,
        None if provider.config is None else dict(provider.config),
        provider.image.reference,
        provider.container_name,
        provider.order,
    )
    return ExternalProvider(package, crd)


def _start(
    plan: DeploymentPlan, entrypoint: str, configured: str | None, *, merged: bool
) -> Manifest:
    """Command, variables and volumes of a container that installs, checks and then serves.

    ``configured`` is where the ConfigMap is mounted, None when the container looks for what the
    operator or the image has. The variables that name a configuration are set by ``start`` itself.
    """
    first = plan.providers[0]
    python = server_python(plan.server, plan.server_image)
    source = []
    if configured is not None:
        source = ["--merged" if merged else "--base", configured]
    elif plan.server.config_path is not None:
        source = ["--base", plan.server.config_path]
    run_yaml = configured if merged and configured is not None else RUN_YAML
    variables = {
        PROVIDERS_VARIABLE: provider_list(plan.providers),
        "PYTHONPATH": python_path(plan.server_image),
    }
    volume = sizes.quantity(sizes.volume_size(plan.installed_sizes))
    return {
        "command": runtime_command(python, f"{image_source(first)}/{ZIPAPP_FILE}", "start"),
        "args": [*source, "--", *_entrypoint(plan, entrypoint, run_yaml)],
        "env": container_environment(plan, variables),
        "volumes": [
            {"name": _VOLUME, "emptyDir": {"sizeLimit": volume}},
            *map(image_volume, plan.providers),
            *config_volumes(plan.providers),
        ],
        "volumeMounts": [
            {"name": _VOLUME, "mountPath": VOLUME_ROOT},
            *map(image_mount, plan.providers),
            *config_mounts(plan.providers),
        ],
    }


def _entrypoint(plan: DeploymentPlan, default: str, run_yaml: str) -> list[str]:
    """What the container becomes: the file's command, the image's own, or the known one.

    Where the image's names a configuration, ``run_yaml`` takes that place.
    """
    server, image = plan.server, plan.server_image
    if server.command:
        return [*server.command, *(server.args or ())]
    if image is not None and (image.entrypoint or image.args):
        own = with_configuration(image.args, run_yaml)
        args = own if server.args is None else server.args
        return [*with_configuration(image.entrypoint, run_yaml), *args]
    return [default, *(server.args or ())]


def _distribution(plan: DeploymentPlan) -> Manifest:
    if plan.server_image is not None:
        return {"image": plan.server_image.reference}
    if plan.server.distribution is not None:
        return {"name": plan.server.distribution}
    raise missing(
        plan,
        "The custom resource needs a distribution",
        "distribution",
        "Add 'image' or 'distribution' to 'server', such as 'distribution: starter'.",
    )


def _container_spec(plan: DeploymentPlan) -> Manifest:
    spec: dict[str, Any] = {"port": plan.server.port}
    if plan.server.env:
        spec["env"] = [dict(variable) for variable in plan.server.env]
    if plan.server.resources:
        spec["resources"] = dict(plan.server.resources)
    return {"containerSpec": spec}


def _is_base(manifest: Mapping[str, Any], plan: DeploymentPlan) -> bool:
    return (
        plan.base is not None
        and manifest["kind"] == "ConfigMap"
        and manifest["metadata"]["name"] == plan.base.name
    )


def _config_map(plan: DeploymentPlan, name: str, text: str, *, key: str = _MERGED_KEY) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        # the operator reads only what it may watch
        "metadata": {"name": name, "labels": {**labels(plan), **_WATCH}},
        "data": {key: text},
    }
