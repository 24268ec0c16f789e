"""Whether a provider's config fits what its config class takes, reported before the server starts.

A server validates it too, but ends at the first provider and reports it in a traceback; here every
key is reported, and where it is.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.bundle import config_schema
from lls_provider.bundle.bundle import read_bundle
from lls_provider.contract.names import BundleTree
from lls_provider.errors import Code, Problem, SdkError, Where
from lls_provider.progress import SILENT, Progress
from lls_provider.runtime.preflight.probe_client import ProbeResult, probe

if TYPE_CHECKING:
    from lls_provider.bundle.config_schema import Violation
    from lls_provider.local.plan import InitContainer, PlannedProvider

_TABLE = ("tool", "lls-provider", "up", "config")


def require_valid_configs(
    container: InitContainer,
    given: Collection[str],
    *,
    python: Path,
    variables: Mapping[str, str],
    progress: Progress = SILENT,
) -> None:
    """Refuse a config with keys that the schema of the config class forbids, and so does the class.

    What the class takes all the same (it may convert values first) is a warning; where it cannot
    be asked nothing is said, because the preflight says why.

    The schema is the one that the bundle carries. A project that was built a moment ago for this
    server has none yet: its class is asked, with ``python`` and ``variables``, which find the
    provider. Without a schema nothing is said. ``given`` are the providers whose config came by
    --config. Raises SdkError USAGE for such a config, SETTINGS_INVALID for a project's.
    """
    provider, config = container.provider, container.config or {}
    if not config and provider.settings is not None:
        return  # asking a project's class takes a second, and here the server's word is plain
    asked = ProbeResult()
    schema: Mapping[str, Any] | None
    if BundleTree(provider.bundle).config_schema.is_file():
        schema = _stored_schema(provider)
    elif provider.settings is not None:
        asked = _ask(provider, config, python, variables)
        schema = asked.config_schema
    else:
        return
    if schema is None:
        return
    if found := config_schema.violations(schema, config):
        if asked.takes_config is None:
            asked = _ask(provider, config, python, variables)
        if asked.takes_config is None:
            return
        if asked.takes_config:
            told = "; ".join(f"{it.json_path} {it.reason}" for it in found)
            progress.warn(
                f"the config class of '{provider.provider_id}' takes a config that its JSON Schema "
                f"forbids: {told}"
            )
            return
        by_option = provider.settings is None or provider.provider_id in given
        raise _refused(provider, found, by_option=by_option, nothing=not config)


def _stored_schema(provider: PlannedProvider) -> Mapping[str, Any] | None:
    with BundleTree(provider.bundle).config_schema.open("rb") as stream:
        data = stream.read(config_schema.LIMIT + 1)
    if config_schema.schema_fault(data):
        return None  # `check` reports what is wrong with a schema; here it is about the config
    schema: Mapping[str, Any] = json.loads(data)
    return schema


def _ask(
    provider: PlannedProvider, config: Mapping[str, Any], python: Path, variables: Mapping[str, str]
) -> ProbeResult:
    """What the config class says; nothing where it cannot be asked, which preflight explains."""
    return probe(
        python,
        provider.module,
        provider_type=read_bundle(provider.bundle).metadata.provider_type,
        env=variables,
        config=config,
    )


def _refused(
    provider: PlannedProvider, found: list[Violation], *, by_option: bool, nothing: bool
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
