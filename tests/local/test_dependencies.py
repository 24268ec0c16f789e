"""The APIs that a provider needs: each server line's own smallest provider is one it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from lls_provider.bundle.bundle import Bundle
from lls_provider.contract.document import dump
from lls_provider.local.plan import UpOptions
from lls_provider.local.run import Up
from lls_provider.operations.targets import resolve_source

if TYPE_CHECKING:
    from pathlib import Path

    from tests.recorder import Recorder

MakeProvider = Callable[..., Bundle]

NEEDING = """\
try:
    from ogx_api import Api, InlineProviderSpec
except ImportError:
    try:
        from llama_stack_api import Api, InlineProviderSpec
    except ImportError:
        from llama_stack.providers.datatypes import Api, InlineProviderSpec


def get_provider_spec():
    return InlineProviderSpec(
        api=Api.$api, provider_type="inline::$type",
        module="$module", config_class="$module.config.Config",
        api_dependencies=[Api(it) for it in $needed],
    )
"""
# the line 0.2 has no file processors
SCORING = """\
import inspect

from llama_stack.apis.scoring import Scoring


class Impl:
    async def initialize(self): ...
    async def shutdown(self): ...
    async def list_scoring_functions(self): return []
    async def register_scoring_function(self, scoring_fn): ...
    async def score(self): ...
    async def score_batch(self): ...


for name in ("score", "score_batch"):  # the server compares signatures
    getattr(Impl, name).__signature__ = inspect.signature(getattr(Scoring, name))


async def get_provider_impl(config, deps):
    return Impl()
"""
KNOWN = {
    "llama-stack==0.2.22": ["files", "batches", "telemetry", "agents"],
    "llama-stack==0.6.1": ["files", "batches", "agents"],
    "llama-stack==0.7.3": ["files", "batches", "responses"],
    "ogx==1.5.0": ["files", "batches", "responses", "messages", "interactions", "skills"],
}
BASES = {
    "none": None,
    "other names": {
        "backends": {
            "kv": {"type": "kv_sqlite", "db_path": "${env.HOME}/kv.db"},
            "sql": {"type": "sql_sqlite", "db_path": "${env.HOME}/sql.db"},
        },
        "stores": {
            "metadata": {"backend": "kv", "namespace": "registry"},
            "inference": {"backend": "sql", "table_name": "inference"},
            "conversations": {"backend": "sql", "table_name": "conversations"},
            "prompts": {"backend": "kv", "namespace": "prompts"},
            "connectors": {"backend": "kv", "namespace": "connectors"},
        },
    },
}

pytestmark = [pytest.mark.network, pytest.mark.server]


@pytest.mark.parametrize(
    ("server", "base"),
    [*((server, "none") for server in KNOWN), ("llama-stack==0.7.3", "other names")],
)
def test_up_supplies_whatever_is_known(
    make_provider: MakeProvider, recorder: Recorder, tmp_path: Path, server: str, base: str
) -> None:
    """And a real server runs with all of it."""
    known = KNOWN[server]
    api = "scoring" if "0.2" in server else "file_processors"
    spec = NEEDING.replace("$needed", repr(known)).replace("$api", api)
    files = {"provider.py": spec, **({"__init__.py": SCORING} if api == "scoring" else {})}
    bundle = make_provider(api=api, files=files)
    path = None
    if (storage := BASES[base]) is not None:
        path = tmp_path / "base.yaml"
        path.write_text(dump({"version": 2, "distro_name": "mine", "storage": storage}))
    options = UpOptions(server=server, base_config=path)
    with Up([resolve_source(str(bundle.root))], options, recorder) as up:
        result = up.run()
    assert {it.api for it in result.providers} == {api, *known}
    assert any("inline::localfs: a provider needs the API 'files'" in it for it in recorder.notes)
