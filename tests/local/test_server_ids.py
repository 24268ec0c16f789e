"""What each server line makes of IDs and of ``apis``: what `references` and the merge rely on.

The functions asked are the servers' own, in their own environments.
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from lls_provider.bundle.bundle import Bundle
from lls_provider.local.plan import ServedProvider, UpOptions
from lls_provider.local.run import Up
from lls_provider.operations.targets import resolve_source
from lls_provider.runtime.configuration import is_disabled, resolve_reference
from lls_provider.wheels.environment import ensure_environment
from lls_provider.wheels.loading import load_distribution

if TYPE_CHECKING:
    from tests.recorder import Recorder

MakeProvider = Callable[..., Bundle]

LINES = ("llama-stack==0.2.22", "llama-stack==0.6.1", "llama-stack==0.7.3", "ogx==1.5.0")
ON_EACH = pytest.mark.parametrize("server", LINES)

ASK = """\
import importlib, json, sys
module = sys.argv[1]
core = {name: importlib.import_module(f"{module}.core.{name}") for name in ("resolver", "stack")}
resolver, replace = core["resolver"], core["stack"].replace_env_vars
Provider = importlib.import_module(f"{module}.core.datatypes").Provider


class Configuration:
    providers = {}


def used(entries):
    read = [Provider(**entry) for entry in replace(entries)]
    Configuration.providers = {"inference": read}
    spec = {
        it.provider_type: resolver.ProviderSpec(
            api="inference", provider_type=it.provider_type, config_class="x"
        )
        for it in read
    }
    api = resolver.Api.inference
    found = resolver.validate_and_prepare_providers(Configuration, {api: spec}, set(), {api})
    return {name: it.provider_type for name, it in found["inner-inference"].items()}


print("answer:" + json.dumps([used(entries) for entries in json.load(sys.stdin)]))
"""


def _used(server: str, variables: Mapping[str, str], configurations: list[Any]) -> Any:
    """Which entries a server uses of each configuration: their types by ID."""
    return _answer(server, ASK, variables, configurations)


def _answer(server: str, script: str, variables: Mapping[str, str], told: Any) -> Any:
    environment = ensure_environment(load_distribution(server))
    module = environment.distribution.line
    assert module is not None
    done = subprocess.run(
        [str(environment.python), "-c", script, module.module],
        input=json.dumps(told),
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rpartition("answer:")[2])


def _entry(written: str | None, kind: str) -> dict[str, str | None]:
    return {"provider_id": written, "provider_type": f"remote::{kind}"}


@pytest.mark.server
@ON_EACH
def test_of_two_entries_with_one_id_a_server_uses_the_last(server: str) -> None:
    configurations = [
        [_entry(written, "base"), _entry("ollama", "external")]
        for written in ("ollama", "${env.SET:+ollama}", "${env.UNSET:=ollama}", "${env.ID}")
    ]
    used = _used(server, {"SET": "1", "ID": "ollama"}, configurations)
    assert used == [{"ollama": "remote::external"}] * 4


@pytest.mark.server
@ON_EACH
def test_an_id_is_read_as_the_server_reads_it(server: str) -> None:
    variables = {"SET": "mine", "EMPTY": ""}
    written = [
        *("ollama", "__disabled__", "", "x-${env.SET}", "${env.lower:+x}", "${env.SET:ollama}"),
        *(
            form.format(name)
            for name in ("SET", "EMPTY", "UNSET")
            for form in (
                *("${{env.{}:+ollama}}", "${{env.{}:+}}", "${{env.{}:=ollama}}", "${{env.{}:=}}"),
                *("a-${{env.{}:+b}}", "${{env.{}:=__disabled__}}", "${{env.{}:+__disabled__}}"),
            )
        ),
        "${env.SET}",
    ]
    used = _used(server, variables, [[_entry(text, "x")] for text in written])
    expected = [resolve_reference(text, variables) for text in written]
    assert dict(zip(written, used, strict=True)) == {
        text: ({} if name is None else {name: "remote::x"})
        for text, name in zip(written, expected, strict=True)
    }


TYPES = """\
import importlib, json, sys, types
module = sys.argv[1]
distribution = importlib.import_module(f"{module}.core.distribution")
Provider = importlib.import_module(f"{module}.core.datatypes").Provider
Spec = importlib.import_module(f"{module}.core.resolver").ProviderSpec
for name in ("one", "two"):
    found = types.ModuleType(f"{name}.provider")
    found.get_provider_spec = lambda name=name: Spec(
        api="inference", provider_type="remote::x", config_class=name
    )
    sys.modules[name], sys.modules[f"{name}.provider"] = types.ModuleType(name), found


class Configuration:
    providers = {
        "inference": [
            Provider(provider_id=it, provider_type="remote::x", module=it if it != "own" else None)
            for it in json.load(sys.stdin)
        ]
    }


api = distribution.Api.inference
registry = {api: {"remote::x": Spec(api=api, provider_type="remote::x", config_class="own")}}
found = distribution.get_external_providers_from_module(registry, Configuration, False)
print("answer:" + json.dumps(found[api]["remote::x"].config_class))
"""


@pytest.mark.server
@ON_EACH
def test_a_server_drops_what_is_disabled_before_it_loads_modules(server: str) -> None:
    written = ["__disabled__", "${env.X:=__disabled__}", "${env.X:+x}", "", "x", None]
    ask = (
        "import importlib, json, sys\n"
        "replace = importlib.import_module(sys.argv[1] + '.core.stack').replace_env_vars\n"
        "print('answer:' + json.dumps([len(replace([it])) for it in json.load(sys.stdin)]))\n"
    )
    entries = [_entry(text, "x") for text in written]
    expected = [int(not is_disabled(text, {})) for text in written]
    assert _answer(server, ask, {}, entries) == expected
    assert expected == [0, 0, 1, 1, 1, 1]


@pytest.mark.server
@ON_EACH
@pytest.mark.parametrize(
    ("entries", "used"),
    [(["own", "one"], "one"), (["one", "own"], "one"), (["one", "two"], "two")],
)
def test_a_server_loads_one_module_for_a_type(server: str, entries: list[str], used: str) -> None:
    assert _answer(server, TYPES, {}, entries) == used


BASE = """\
version: 2
distro_name: local
server: {host: 127.0.0.1}
"""


@pytest.mark.server
@pytest.mark.parametrize("server", LINES[2:])
@pytest.mark.parametrize("written", ["${env.BASE_ID:+acme-echo}", "${env.BASE_ID:=acme-echo}"])
def test_a_server_runs_with_a_conditional_entry_that_is_overridden(
    make_provider: MakeProvider, tmp_path: Path, recorder: Recorder, server: str, written: str
) -> None:
    config = {**yaml.safe_load(BASE), "apis": [], "providers": {"inference": []}}
    entry = {"provider_id": written, "provider_type": "remote::vllm", "config": {}}
    config["providers"]["inference"].append(entry)
    base = tmp_path / "base.yaml"
    base.write_text(yaml.safe_dump(config))
    variables = {"BASE_ID": "1"} if ":+" in written else {}
    options = UpOptions(server=server, base_config=base, environment=variables)
    with Up([resolve_source(str(make_provider().root))], options, recorder) as up:
        up.run()
        result = up.result
        try:
            with urllib.request.urlopen(f"{up.url}/v1/models", timeout=10) as response:
                status = response.status
        except urllib.error.HTTPError as error:
            status = error.code
    assert ServedProvider("acme-echo", "inference", "remote::acme-echo") in result.providers
    assert any("overrides base provider in API 'inference'" in it for it in recorder.warnings)
    empty = [it for it in recorder.warnings if "The list 'apis' is empty" in it]
    assert len(empty) == (server == "ogx==1.5.0")
    # that is what the warning says: ogx serves no API of a provider, llama-stack all of them
    assert status == (404 if empty else 200)
