"""The Pod: init containers in order, the server, volumes and security context (contract section 2).

Everything here is pure: a plan in, plain data out. Paths are those of the contract; the shared
volume is one emptyDir for what is installed, one for the base configuration and one for the merged
one, so that each container may write only what it has to.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from lls_provider.contract.models import INSTALL_ALL_CONTAINER
from lls_provider.contract.names import (
    CONFIG_VARIABLES,
    DISTRIBUTION_CONFIGS,
    TERMINATION_LOG_LIMIT,
    VOLUME_ROOT,
    ZIPAPP_FILE,
    VolumeTree,
)
from lls_provider.deploy.render import sizes
from lls_provider.deploy.render.manifest_text import comment
from lls_provider.deploy.render.plan import BASE_KEY, missing, names
from lls_provider.deploy.render.provider_mounts import (
    config_mounts,
    config_path,
    config_volumes,
    image_mount,
    image_source,
    image_volume,
    mount,
    provider_list,
)
from lls_provider.errors import Code, SdkError
from lls_provider.operations.phase_commands import (
    Installation,
    install_arguments,
    merge_command,
    preflight_command,
    runtime_command,
)
from lls_provider.runtime.messages import TERMINATION_LOG_LIMIT_VARIABLE
from lls_provider.runtime.start import PROVIDERS_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lls_provider.deploy.render.images import ServerImageFacts
    from lls_provider.deploy.render.manifest_text import Manifest
    from lls_provider.deploy.render.plan import DeployedProvider, DeploymentPlan
    from lls_provider.operations.provider_file import ServerEntry

_TREE = VolumeTree(Path(VOLUME_ROOT))
EXTERNAL = str(_TREE.external)
BASE = str(_TREE.base_config.parent)
CONFIG = str(_TREE.config)
RUN_YAML = str(_TREE.config / "run.yaml")
PACKAGES = str(_TREE.python_packages)
RUNTIME_COPY = str(_TREE.zipapp)
STATE = "/var/lib/llama-stack"
SERVER_CONTAINER = "llama-stack"

_SERVERS = ("llama", "ogx")
_SMALL = "16Mi"
_MESSAGES = 12 << 10  # bytes that a kubelet keeps of all termination messages of a Pod
_USER = 1001


def pod_spec(plan: DeploymentPlan, *, image_volumes: bool = False) -> Manifest:
    """The ``spec`` of the Pod.

    With ``image_volumes`` the distribution's image installs every provider, whose image is mounted:
    an image without a Python (a data image) then needs none. Raises SdkError FIELD_MISSING when
    the plan names no server's image, IMAGE_INVALID for a data image that is to run.
    """
    if plan.server_image is None:
        raise missing(
            plan,
            "A Pod needs the image of the server",
            "image",
            "Add 'image' to 'server', such as 'image: registry.example.com/distribution:1.0'.",
        )
    if not image_volumes:
        _require_runnable(plan.providers)
    python = server_python(plan.server, plan.server_image)
    installers = 1 if image_volumes else len(plan.providers)
    share = _message_share(installers + (2 if plan.base else 3) + 1)
    spec: Manifest = {}
    if plan.server.service_account:
        spec["serviceAccountName"] = plan.server.service_account
    spec["automountServiceAccountToken"] = False
    if plan.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in plan.pull_secrets]
    spec |= {
        "securityContext": {
            "runAsNonRoot": True,
            comment("remove runAsUser and fsGroup on OpenShift, which assigns them"): None,
            "runAsUser": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [
            *(
                [_install_all(plan, python, share)]
                if image_volumes
                else (_install(plan, it, share) for it in plan.providers)
            ),
            *([] if plan.base else [_extract(plan, python, share)]),
            _merge(plan, python, share),
            _preflight(plan, python, share),
        ],
        "containers": [_server(plan)],
        "volumes": _volumes(plan, image_volumes=image_volumes),
    }
    return spec


def _require_runnable(providers: Sequence[DeployedProvider]) -> None:
    data = [provider for provider in providers if not provider.image.runnable]
    if data:
        raise SdkError(
            Code.IMAGE_INVALID,
            f"Data images cannot be init containers: {', '.join(names(data))}",
            why="They hold the provider and no Python to install it with.",
            resolution="Render with --from image-volume, which mounts them, or build them with "
            "--base REF.",
        ).located(provider=data[0].provider_id, image=data[0].image.reference)


def server_python(server: ServerEntry, image: ServerImageFacts | None) -> str:
    """The Python that has the server's packages; by default that beside what the image starts."""
    if server.python:
        return server.python
    started = [*(image.entrypoint if image else ()), *(image.args if image else ())]
    program = PurePosixPath(started[0]) if started else PurePosixPath()
    if program.is_absolute() and (program.name in _SERVERS or program.name.startswith("python")):
        return str(program.parent / "python3")
    return "python3"


def installation(provider: DeployedProvider) -> Installation:
    """What the installer is told of one provider."""
    mounted = provider.mounted
    return Installation(
        provider.provider_id,
        provider.api,
        provider.image.reference,
        provider.order,
        provider.config,
        None if mounted is None else config_path(provider, mounted),
    )


def _install(plan: DeploymentPlan, provider: DeployedProvider, share: Manifest) -> Manifest:
    container: Manifest = {
        "name": provider.container_name,
        "image": provider.image.reference,
        "imagePullPolicy": provider.entry.pull_policy,
        comment("the image starts the installer, these are its arguments"): None,
        "args": install_arguments(installation(provider)),
        "env": [share],
    }
    mounts = [mount("external-providers", EXTERNAL), *config_mounts([provider])]
    resources = sizes.with_defaults(provider.entry.resources, _install_resources(plan))
    return _finished(container, mounts, resources)


def _install_all(plan: DeploymentPlan, python: str, share: Manifest) -> Manifest:
    """One container for every provider: starting a container takes longer than installing one."""
    container = _of_server(plan, INSTALL_ALL_CONTAINER)
    runtime = f"{image_source(plan.providers[0])}/{ZIPAPP_FILE}"
    container["command"] = runtime_command(python, runtime, "install-all")
    listed = provider_list(plan.providers, INSTALL_ALL_CONTAINER)
    container["env"] = [share, {"name": PROVIDERS_VARIABLE, "value": listed}]
    mounts = [
        mount("external-providers", EXTERNAL),
        *map(image_mount, plan.providers),
        *config_mounts(plan.providers),
    ]
    return _finished(container, mounts, _install_resources(plan))


def _install_resources(plan: DeploymentPlan) -> Mapping[str, Any]:
    disk = {"ephemeral-storage": sizes.quantity(sizes.volume_size(plan.installed_sizes))}
    return {**sizes.INSTALL, "requests": {**sizes.INSTALL["requests"], **disk}}


def _extract(plan: DeploymentPlan, python: str, share: Manifest) -> Manifest:
    container = _of_server(plan, "extract-distribution-config")
    path = plan.server.config_path
    given = [f"--config-path={path}"] if path is not None else []
    container["command"] = runtime_command(python, RUNTIME_COPY, "extract", *given)
    container["env"] = [share]
    mounts = [mount("external-providers", EXTERNAL, read_only=True), mount("base-config", BASE)]
    return _finished(container, mounts, sizes.INSTALL)


def _merge(plan: DeploymentPlan, python: str, share: Manifest) -> Manifest:
    container = _of_server(plan, "merge-config")
    container["command"] = merge_command(python, RUNTIME_COPY)
    container["env"] = [share]
    mounts = [
        mount("external-providers", EXTERNAL, read_only=True),
        mount("base-config", BASE, read_only=True),
        mount("config", CONFIG),
    ]
    return _finished(container, mounts, sizes.INSTALL)


def _preflight(plan: DeploymentPlan, python: str, share: Manifest) -> Manifest:
    container = _of_server(plan, "preflight")
    container["command"] = preflight_command(python, RUNTIME_COPY, RUN_YAML)
    container["env"] = [share, *_environment(plan)]
    mounts = [
        # not read-only, so that the server finds the bytecode of what is imported here
        mount("external-providers", EXTERNAL),
        mount("config", CONFIG, read_only=True),
        mount("state", STATE),
        mount("tmp", "/tmp"),  # noqa: S108 - the container's
    ]
    memory = sizes.quantity(sizes.preflight_memory(plan.installed_sizes))
    default = {"requests": {"cpu": "100m", "memory": memory}, "limits": {"memory": memory}}
    limits = plan.server.resources.get("limits") or {}
    given = {"limits": {"memory": limits["memory"]}} if "memory" in limits else {}
    if given:  # what the server may use is enough for its imports
        default["requests"]["memory"] = "256Mi"
    return _finished(container, mounts, sizes.with_defaults(given, default))


def _server(plan: DeploymentPlan) -> Manifest:
    container = _of_server(plan, SERVER_CONTAINER)
    command, arguments = server_command(plan)
    if command:
        container["command"] = list(command)
    if arguments is not None:
        container["args"] = list(arguments)
    container["env"] = _environment(plan)
    container["ports"] = [{"name": "http", "containerPort": plan.server.port}]
    container[comment("how long the server may take to start, periods times failures")] = None
    container["startupProbe"] = {**_probe(plan), "periodSeconds": 2, "failureThreshold": 150}
    container["readinessProbe"] = _probe(plan)
    mounts = [
        mount("external-providers", EXTERNAL, read_only=True),
        mount("config", CONFIG, read_only=True),
        mount("state", STATE),
        mount("tmp", "/tmp"),  # noqa: S108 - the container's
    ]
    return _finished(container, mounts, plan.server.resources)


def _probe(plan: DeploymentPlan) -> Manifest:
    return {"httpGet": {"path": "/v1/health", "port": plan.server.port}}


def server_command(plan: DeploymentPlan) -> tuple[Sequence[str], Sequence[str] | None]:
    """What the main container starts, and its arguments; empty and None leave it to the image.

    The entry point of the image is kept. Where it, or its arguments, name a configuration, the
    merged one takes that place; everything else is told by `CONFIG_VARIABLES`. Raises SdkError
    FIELD_MISSING for an image that starts nothing.
    """
    server, image = plan.server, plan.server_image
    if server.command:
        return server.command, server.args or ()
    if server.args is not None:
        return (), server.args
    if image is None or not image.known:
        return (), None
    if not image.entrypoint and not image.args:
        raise missing(
            plan,
            f"The image {image.reference} starts nothing",
            "command",
            f"Add 'command' to 'server', such as [llama, stack, run, {RUN_YAML}].",
        ).located(image=image.reference)
    entrypoint = with_configuration(image.entrypoint, RUN_YAML)
    arguments = with_configuration(image.args, RUN_YAML)
    command = entrypoint if entrypoint != list(image.entrypoint) else []
    if command or arguments != list(image.args):
        return command, arguments
    return (), None


def with_configuration(arguments: Iterable[str], run_yaml: str) -> list[str]:
    """What an image starts, with ``run_yaml`` in place of each configuration that it names."""
    parted = [argument.rpartition("=") for argument in arguments]
    return [
        f"{flag}{equals}{run_yaml if value in DISTRIBUTION_CONFIGS else value}"
        for flag, equals, value in parted
    ]


def _environment(plan: DeploymentPlan) -> list[Manifest]:
    """The variables of the server; those of the file win."""
    own = dict(plan.server_image.env) if plan.server_image is not None else {}
    variables = {"PYTHONPATH": python_path(plan.server_image), "HOME": STATE}
    variables |= dict.fromkeys(CONFIG_VARIABLES, RUN_YAML)
    variables |= {name: RUN_YAML for name, value in own.items() if value in DISTRIBUTION_CONFIGS}
    return container_environment(plan, variables)


def container_environment(plan: DeploymentPlan, default: Mapping[str, str]) -> list[Manifest]:
    """The variables of a container of the server: the default ones, and those of the file."""
    given = [dict(variable) for variable in plan.server.env]
    named = {variable["name"] for variable in given}
    ours = [{"name": name, "value": it} for name, it in default.items() if name not in named]
    return [*ours, *given]


def _message_share(containers: int) -> Manifest:
    """The bytes of a termination message that the kubelet keeps, for each of ``containers``."""
    share = min(_MESSAGES // containers, TERMINATION_LOG_LIMIT)
    return {"name": TERMINATION_LOG_LIMIT_VARIABLE, "value": str(share)}


def python_path(image: ServerImageFacts | None) -> str:
    """PYTHONPATH of the server: what was installed, then what the image has there."""
    own = dict(image.env) if image is not None else {}
    return ":".join(filter(None, (PACKAGES, own.get("PYTHONPATH"))))


def _of_server(plan: DeploymentPlan, name: str) -> Manifest:
    container: Manifest = {"name": name, "image": plan.image}
    if plan.server.pull_policy:
        container["imagePullPolicy"] = plan.server.pull_policy
    return container


def _finished(
    container: Manifest, mounts: Sequence[Manifest], resources: Mapping[str, Any]
) -> Manifest:
    """The container with what all of them have."""
    if resources:
        container["resources"] = {key: dict(value) for key, value in resources.items()}
    container["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    container["terminationMessagePolicy"] = "FallbackToLogsOnError"
    container["volumeMounts"] = list(mounts)
    return container


def _volumes(plan: DeploymentPlan, *, image_volumes: bool) -> list[Manifest]:
    limit = sizes.quantity(sizes.volume_size(plan.installed_sizes))
    volumes: list[Manifest] = [
        {
            "name": "external-providers",
            comment("what the images install, computed from their sizes, may be raised"): None,
            "emptyDir": {"sizeLimit": limit},
        },
        {"name": "base-config", **_base_volume(plan)},
        {"name": "config", "emptyDir": {"sizeLimit": _SMALL}},
        {"name": "state", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
    ]
    if image_volumes:
        volumes += map(image_volume, plan.providers)
    return [*volumes, *config_volumes(plan.providers)]


def _base_volume(plan: DeploymentPlan) -> Manifest:
    if plan.base is None:
        return {"emptyDir": {"sizeLimit": _SMALL}}
    items = [{"key": plan.base.key, "path": BASE_KEY}]
    return {"configMap": {"name": plan.base.name, "items": items}}
