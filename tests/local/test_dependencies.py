"""The APIs that a provider needs: each server line's own smallest provider is one it takes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from lls_provider.bundle.read import Bundle
from lls_provider.contract.apis import APIS
from lls_provider.contract.document import load
from lls_provider.local.plan import Options
from lls_provider.local.target import resolve_target
from lls_provider.local.up import Up
from lls_provider.runtime import dependencies
from lls_provider.wheels.distribution import load_distribution
from lls_provider.wheels.environment import ensure_environment

if TYPE_CHECKING:
    from tests.recorder import Recorder

MakeProvider = Callable[..., Bundle]

ASK = """\
import importlib, json, sys
module = sys.argv[1]
replace = importlib.import_module(f"{module}.core.stack").replace_env_vars
kinds = importlib.import_module(f"{module}.core.distribution")
class_of = importlib.import_module(f"{module}.core.utils.dynamic").instantiate_class_type
registry = kinds.get_provider_registry()
taken = {}
for api, entry in json.load(sys.stdin).items():
    spec = registry[kinds.Api(api)][entry["provider_type"]]
    class_of(spec.config_class)(**replace(entry["config"]))
    taken[api] = [it.value for it in spec.api_dependencies]
print("answer:" + json.dumps(taken))
"""

NEEDING = """\
try:
    from ogx_api import Api, InlineProviderSpec
except ImportError:
    from llama_stack_api import Api, InlineProviderSpec


def get_provider_spec():
    return InlineProviderSpec(
        api=Api.file_processors, provider_type="inline::$type",
        module="$module", config_class="$module.config.Config",
        api_dependencies=[Api.files, Api.batches],
    )
"""

pytestmark = [pytest.mark.network, pytest.mark.server]


@pytest.mark.parametrize(
    "server", ["llama-stack==0.2.22", "llama-stack==0.6.1", "llama-stack==0.7.3", "ogx==1.5.0"]
)
def test_its_config_class_takes_the_smallest_provider(server: str) -> None:
    environment = ensure_environment(load_distribution(server))
    line = environment.distribution.line
    assert line is not None
    entries = dependencies.smallest_providers(APIS, environment.distribution.pins)
    assert "files" in entries
    done = subprocess.run(
        [environment.python, "-c", ASK, line.module],
        input=json.dumps(entries),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    taken = json.loads(done.stdout.rpartition("answer:")[2])
    assert taken.keys() == entries.keys()
    # what they need themselves is routed by the server, or supplied too
    configuration = {"providers": {api: [entry] for api, entry in entries.items()}}
    document = load(json.dumps(configuration).encode(), "run.yaml")
    for api, needed in taken.items():
        alone = dependencies.smallest_providers([api], environment.distribution.pins)
        assert dependencies.missing_apis(document, needed, {}) == []
        assert set(needed) & entries.keys() <= alone.keys()


def test_what_is_asked_for_here_is_all_that_is_known() -> None:
    known = dependencies.smallest_providers(APIS, {"ogx": "1.5.0"})
    assert known.keys() == {"files", "batches", "responses", "messages", "interactions"}


@pytest.mark.parametrize("server", ["llama-stack==0.6.1", "llama-stack==0.7.3", "ogx==1.5.0"])
def test_up_supplies_what_a_provider_needs(
    make_provider: MakeProvider, recorder: Recorder, server: str
) -> None:
    bundle = make_provider(api="file_processors", files={"provider.py": NEEDING})
    options = Options(server=server)
    with Up([resolve_target(str(bundle.root))], options, recorder) as up:
        result = up.run()
    served = {(it.api, it.provider_type) for it in result.providers}
    assert {("files", "inline::localfs"), ("batches", "inline::reference")} <= served
    assert any("inline::localfs: a provider needs the API 'files'" in it for it in recorder.notes)
