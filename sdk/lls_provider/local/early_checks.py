"""Refuses what cannot work before anything is built: targets, configs and the server's APIs."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError, Where
from lls_provider.local.plan import assign_configs
from lls_provider.operations.targets import SourceKind
from lls_provider.project.template_apis import servers_with

if TYPE_CHECKING:
    from lls_provider.local.plan import InspectedSource, UpOptions
    from lls_provider.operations.targets import ProviderSource
    from lls_provider.wheels.environment import Environment


def require_distinct(targets: Sequence[ProviderSource]) -> None:
    """Raise SdkError USAGE for a target that is named twice."""
    seen: dict[str | Path, ProviderSource] = {}
    for target in targets:
        if target.entry is not None:
            continue  # entries of a provider file may share an image
        key = target.text if target.kind is SourceKind.IMAGE else target.path.resolve()
        if key in seen:
            first = seen[key].text
            raise SdkError(
                Code.USAGE,
                f"{first} is named twice"
                + (f", also as {target.text}" if target.text != first else ""),
                resolution="Name it once.",
            )
        seen[key] = target


def require_known_ids(sources: Sequence[InspectedSource], options: UpOptions) -> None:
    """Raise SdkError USAGE for provider IDs that are taken twice, or that --config invents.

    An image's metadata may be known only when it is unpacked: a config is then assigned later.
    """
    ids = [it.provider_id for it in sources]
    for name, count in Counter(ids).items():
        if name is not None and count > 1:
            same = [it.target.label for it in sources if it.provider_id == name]
            raise SdkError(
                Code.USAGE,
                f"{' and '.join(same)} have the same provider ID '{name}'",
                why="A server has each provider ID once.",
                resolution="Leave out all but one of them, or build them under different names: "
                "the ID is the provider's name.",
            )
    known = [it for it in ids if it is not None]
    if len(known) == len(ids):
        assign_configs(options.configs, known)


def require_apis(
    sources: Sequence[InspectedSource], environment: Environment, options: UpOptions
) -> None:
    """Raise SdkError for a target whose API the server lacks, with the servers that have it.

    It is USAGE for the server of --server, else SETTINGS_INVALID. Nothing is raised if the APIs of
    the server are unknown.
    """
    line = environment.distribution.line
    apis = None if line is None else apis_of(environment.python, line.api_package)
    for source in sources:
        if apis is None or source.api is None or source.api in apis:
            continue
        label = environment.distribution.label
        has_it = " or ".join(f"--server '{it}'" for it in servers_with(source.api, besides=line))
        raise SdkError(
            Code.USAGE if options.server is not None else Code.SETTINGS_INVALID,
            f"{source.target.label} needs the API '{source.api}', which {label} does not have",
            why=f"It has {', '.join(sorted(apis))}.",
            where=source.settings.where("api") if source.settings is not None else Where(),
            resolution=f"Run it on a server that has this API: {has_it or '--server SERVER'}.",
        )


def apis_of(python: Path, api_package: str) -> Collection[str] | None:
    """The APIs that a server's helper package defines; None if that cannot be read.

    Reading the source takes milliseconds, importing it seconds.
    """
    library = python.parent.parent / "lib"
    for file in library.glob(f"python3.*/site-packages/{api_package}/datatypes.py"):
        try:
            body = ast.parse(file.read_bytes()).body
        except (OSError, ValueError, SyntaxError):
            return None
        for node in body:
            if isinstance(node, ast.ClassDef) and node.name == "Api":
                return _texts_assigned(node) or None
    return None


def _texts_assigned(node: ast.ClassDef) -> list[str]:
    return [
        it.value.value
        for it in node.body
        if isinstance(it, ast.Assign)
        and isinstance(it.value, ast.Constant)
        and isinstance(it.value.value, str)
    ]
