"""Whether a provider's config fits what its config class takes, told before the server starts.

A server validates it too, but ends at the first provider and tells it in a traceback; here every
key is told, and where it stands.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.bundle import configschema
from lls_provider.bundle.read import read_bundle
from lls_provider.contract.paths import BundleTree
from lls_provider.errors import Code, Problem, SdkError, Where
from lls_provider.local.accepting import takes
from lls_provider.progress import SILENT, Progress
from lls_provider.runtime.probing import probe

if TYPE_CHECKING:
    from lls_provider.bundle.configschema import Violation
    from lls_provider.local.plan import InitContainer, Provider

_TABLE = ("tool", "lls-provider", "up", "config")


def require_fitting(
    container: InitContainer,
    given: Collection[str],
    *,
    python: Path,
    variables: Mapping[str, str],
    progress: Progress = SILENT,
) -> None:
    """Refuse a config with keys that the schema of the config class forbids, and so does the class.

    What the class takes all the same (it may convert values first) is a warning; where it cannot
    be asked nothing is said, because the preflight tells why.

    The schema is the one that the bundle carries. A project that was built a moment ago for this
    server has none yet: its class is asked, with ``python`` and ``variables``, which find the
    provider. Without a schema nothing is said. ``given`` are the providers whose config came by
    --config. Raises SdkError USAGE for such a config, SETTINGS_INVALID for a project's.
    """
    provider, config = container.provider, container.config or {}
    if not config and provider.settings is not None:
        return  # asking a project's class takes a second, and here the server's word is plain
    schema = _schema(provider, python, variables)
    if schema is None:
        return
    if found := configschema.violations(schema, config):
        provider_type = read_bundle(provider.bundle).metadata.provider_type
        taken = takes(python, provider.module, provider_type, config, variables=variables)
        if taken is None:
            return
        if taken:
            told = "; ".join(f"{it.json_path} {it.reason}" for it in found)
            progress.warn(
                f"the config class of '{provider.provider_id}' takes a config that its JSON Schema "
                f"forbids: {told}"
            )
            return
        by_option = provider.settings is None or provider.provider_id in given
        raise _refused(provider, found, by_option=by_option, nothing=not config)


def _schema(
    provider: Provider, python: Path, variables: Mapping[str, str]
) -> Mapping[str, Any] | None:
    stored = BundleTree(provider.bundle).config_schema
    if stored.is_file():
        with stored.open("rb") as stream:
            data = stream.read(configschema.LIMIT + 1)
        # `check` tells what is wrong with a schema; here it is about the config
        return None if configschema.fault(data) else json.loads(data)
    if provider.settings is None:
        return None
    result = probe(
        python,
        provider.module,
        provider_type=provider.settings.provider_type,
        env=variables,
    )
    return result.config_schema


def _refused(
    provider: Provider, found: list[Violation], *, by_option: bool, nothing: bool
) -> SdkError:
    settings = None if by_option else provider.settings
    problems = [
        Problem(
            Code.FIELD_VALUE,
            f"{violation.json_path} {violation.reason}",
            settings.pyproject.where((*_TABLE, *violation.path), key=violation.is_key)
            if settings is not None
            else Where(),
            path=violation.json_path,
        )
        for violation in found
    ]
    source = "[tool.lls-provider.up] config" if settings is not None else "--config"
    return SdkError(
        Code.USAGE if settings is None else Code.SETTINGS_INVALID,
        f"The config of '{provider.provider_id}' does not fit its config class",
        why=f"{'It is empty' if nothing else f'It comes from {source}'}. The class forbids:",
        where=Where(
            file=settings.pyproject.source if settings is not None else None,
            line=problems[0].where.line,
            column=problems[0].where.column,
            provider=provider.provider_id,
            image=provider.target,
        ),
        problems=problems,
        resolution=f"Correct the keys in {source}, or the provider's config class."
        if not nothing
        else "Give the keys with --config ID=JSON.",
    )
