"""What a provider file means on this machine: its server, its variables, its configurations.

The options of the command line win. What only a cluster has, a ConfigMap or a Secret, cannot be had
here: each error names the option that replaces it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from lls_provider.contract import validation
from lls_provider.errors import Code, Problem, SdkError
from lls_provider.progress import SILENT, Progress

if TYPE_CHECKING:
    from lls_provider.local.plan import UpOptions
    from lls_provider.operations.provider_file import ProviderFile, ServerEntry
    from lls_provider.operations.targets import Targets

_HERE = "There is no cluster on this machine to read it from."
# https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#environment-variables
_REFERENCE = re.compile(r"\$\$|\$\(([^()]*)\)")


def with_provider_file(
    targets: Targets, options: UpOptions, progress: Progress = SILENT
) -> UpOptions:
    """Return the options, with what the provider file says where the command line says nothing.

    Without a provider file they are returned as they are. Raises SdkError FIELD_VALUE, or
    DOCUMENT_INVALID for several, with the place in the file: for a ConfigMap and for a Secret that
    no option replaces.
    """
    file = targets.file
    if file is None:
        return options
    server = file.server
    _require_configs(file, options)
    base = options.base_config or server.config
    if base is None and server.config_map is not None:
        raise SdkError(
            Code.FIELD_VALUE,
            f"The base configuration is in the ConfigMap '{server.config_map.name}'",
            why=_HERE,
            where=server.where,
            resolution=f"Save what it has under '{server.config_map.key}', and name the file with "
            "--base-config FILE.",
        )
    if options.server is None and server.image is None and server.distribution is not None:
        progress.note(
            f"only an operator knows the distribution '{server.distribution}': the server is the "
            "one that the images were made for"
        )
    uses_image = options.server is None and server.image is not None
    return replace(
        options,
        server=options.server or next(iter(targets.server_images), None),
        base_config=base,
        image_server=server if uses_image else None,
        environment={**_environment(server, options.environment), **options.environment},
        configs=(
            *((it.provider_id, dict(it.config)) for it in file.providers if it.config is not None),
            *options.configs,
        ),
    )


def _require_configs(file: ProviderFile, options: UpOptions) -> None:
    given = {name for name, _ in options.configs}
    if None in given and len(file.providers) == 1:
        return
    problems = [
        Problem(
            Code.FIELD_VALUE,
            f"the configuration of provider '{entry.provider_id}' is in the "
            f"{_KINDS[entry.config_from.kind]} '{entry.config_from.name}'",
            entry.where,
            f"Give it with --config '{entry.provider_id}=JSON'.",
        )
        for entry in file.providers
        if entry.config_from is not None and entry.provider_id not in given
    ]
    validation.refuse(
        problems,
        file.source,
        "A configuration of the provider file cannot be had on this machine",
        "Replace each with --config ID=JSON.",
    )


_KINDS = {"secret": "Secret", "configMap": "ConfigMap"}


def _environment(server: ServerEntry, given: Mapping[str, str]) -> dict[str, str]:
    """The variables of the server, with references to those before them replaced."""
    values: dict[str, str] = {}
    absent = []
    for variable in server.env:
        name = variable["name"]
        if name in given:
            values[name] = given[name]
        elif "valueFrom" in variable:
            absent.append(name)
        else:
            values[name] = expanded(variable.get("value") or "", values)
    if absent:
        raise SdkError(
            Code.FIELD_VALUE,
            f"The server's {', '.join(absent)} cannot be had on this machine",
            why="'valueFrom' names what a cluster has.",
            where=server.where,
            resolution="Give " + " ".join(f"--env {name}=VALUE" for name in absent) + ".",
        )
    return values


def expanded(text: str, values: Mapping[str, str]) -> str:
    """A variable's value as a kubelet makes it: ``$(NAME)`` replaced, ``$$`` a dollar sign."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        return "$" if name is None else values.get(name, found[0])

    return _REFERENCE.sub(value, text)
