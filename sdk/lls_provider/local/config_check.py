"""Whether a provider's config class itself takes a config: asked in the server's environment.

A JSON Schema cannot tell what validators of the class make of a value before it is judged.

Whether a provider's config fits what its config class takes, told before the server starts.

A server validates it too, but ends at the first provider and tells it in a traceback; here every
key is told, and where it stands.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.bundle import config_schema
from lls_provider.bundle.bundle import read_bundle
from lls_provider.contract.names import BundleTree
from lls_provider.errors import Code, Problem, SdkError, Where
from lls_provider.progress import SILENT, Progress
from lls_provider.runtime.preflight.probe_client import probe
from lls_provider.wheels.build import scratch

if TYPE_CHECKING:
    from lls_provider.bundle.config_schema import Violation
    from lls_provider.local.plan import InitContainer, PlannedProvider


_SECONDS = 60
# `config_class(**config)` is what servers do
_SCRIPT = """\
import importlib, json, sys
with open(sys.argv[1], encoding="ascii") as stream:
    told = json.load(stream)
if sys.path and sys.path[0] == "":
    del sys.path[0]
specs = importlib.import_module(told["module"] + ".provider").get_provider_spec()
specs = specs if isinstance(specs, list) else [specs]
spec = next((it for it in specs if it.provider_type == told["provider_type"]), specs[0])
taken = spec.config_class
if not isinstance(taken, type):
    owner, _, name = str(taken).rpartition(".")
    taken = getattr(importlib.import_module(owner), name)
try:
    taken(**told["config"])
    answer = "taken"
except Exception:
    answer = "refused"
with open(sys.argv[1], "w") as stream:
    stream.write(answer)
"""


def accepts_config(
    python: Path,
    module: str,
    provider_type: str,
    config: Mapping[str, Any],
    *,
    variables: Mapping[str, str],
) -> bool | None:
    """Whether the class does; None when it cannot be asked, which others tell better."""
    told = {"module": module, "provider_type": provider_type, "config": config}
    with scratch("config") as folder:
        place = folder / "config"  # a file, because an argument is for all to see
        place.touch(0o600)
        place.write_text(json.dumps(told), "ascii")
        try:
            subprocess.run(
                [str(python), "-c", _SCRIPT, str(place)],
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                check=True,
            )
            answer = place.read_text("ascii")
        except (OSError, ValueError, subprocess.SubprocessError):
            return None
    return {"taken": True, "refused": False}.get(answer)


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
    if found := config_schema.violations(schema, config):
        provider_type = read_bundle(provider.bundle).metadata.provider_type
        taken = accepts_config(python, provider.module, provider_type, config, variables=variables)
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
    provider: PlannedProvider, python: Path, variables: Mapping[str, str]
) -> Mapping[str, Any] | None:
    stored = BundleTree(provider.bundle).config_schema
    if stored.is_file():
        with stored.open("rb") as stream:
            data = stream.read(config_schema.LIMIT + 1)
        # `check` tells what is wrong with a schema; here it is about the config
        return None if config_schema.schema_fault(data) else json.loads(data)
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
