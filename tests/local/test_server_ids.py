"""What each server line makes of IDs and of ``apis``: what `references` and the merge rely on.

The functions asked are the servers' own, in their own environments.
"""

from __future__ import annotations

import functools
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
import importlib, json, os, sys, types
from unittest import mock

module = sys.argv[1]
names = ("distribution", "resolver", "stack")
distribution, resolver, stack = (importlib.import_module(f"{module}.core.{it}") for it in names)
Api, Spec = resolver.Api, resolver.ProviderSpec
Provider = importlib.import_module(f"{module}.core.datatypes").Provider
for name in ("one", "two"):
    found = types.ModuleType(f"{name}.provider")
    found.get_provider_spec = lambda name=name: Spec(
        api="inference", provider_type="remote::x", config_class=name
    )
    sys.modules[name], sys.modules[f"{name}.provider"] = types.ModuleType(name), found


class Configuration:
    def __init__(self, providers):
        self.providers = {"inference": providers}


def used(entries):
    read = [Provider(**entry) for entry in stack.replace_env_vars(entries)]
    spec = {
        it.provider_type: Spec(api="inference", provider_type=it.provider_type, config_class="x")
        for it in read
    }
    api = Api.inference
    found = resolver.validate_and_prepare_providers(Configuration(read), {api: spec}, set(), {api})
    return {name: it.provider_type for name, it in found["inner-inference"].items()}


def kept(entry):
    return bool(stack.replace_env_vars([entry]))


def loaded(modules):
    providers = [
        Provider(provider_id=it, provider_type="remote::x", module=it if it != "own" else None)
        for it in modules
    ]
    own = Spec(api=Api.inference, provider_type="remote::x", config_class="own")
    found = distribution.get_external_providers_from_module(
        {Api.inference: {"remote::x": own}}, Configuration(providers), False
    )
    return found[Api.inference]["remote::x"].config_class


def answer(question, told, variables):
    with mock.patch.dict(os.environ, variables):
        return globals()[question](told)


asked = json.load(sys.stdin)
print("answers:" + json.dumps({name: [answer(*it) for it in asked[name]] for name in asked}))
"""


class Question(NamedTuple):
    """A function of `ASK`, what it is given, and the variables that it sees."""

    function: str
    told: Any
    variables: Mapping[str, str] = {}


def _entry(written: str | None, kind: str) -> dict[str, str | None]:
    return {"provider_id": written, "provider_type": f"remote::{kind}"}


ONE_ID = [
    Question(
        "used",
        [_entry(written, "base"), _entry("ollama", "external")],
        {"SET": "1", "ID": "ollama"},
    )
    for written in ("ollama", "${env.SET:+ollama}", "${env.UNSET:=ollama}", "${env.ID}")
]
VARIABLES = {"SET": "mine", "EMPTY": ""}
WRITTEN = [
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
IDS = [Question("used", [_entry(text, "x")], VARIABLES) for text in WRITTEN]
DISABLED = ["__disabled__", "${env.X:=__disabled__}", "${env.X:+x}", "", "x", None]
KEPT = [Question("kept", _entry(text, "x")) for text in DISABLED]
MODULES = [
    Question("loaded", modules) for modules in (["own", "one"], ["one", "own"], ["one", "two"])
]


QUESTIONS = {"one id": ONE_ID, "ids": IDS, "disabled": KEPT, "modules": MODULES}


@functools.cache
def _answers(server: str) -> dict[str, list[Any]]:
    """What a server answers to all questions: its import takes seconds, so it is asked once."""
    environment = ensure_environment(load_distribution(server))
    line = environment.distribution.line
    assert line is not None
    done = subprocess.run(
        [str(environment.python), "-c", ASK, line.module],
        input=json.dumps(QUESTIONS),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, list[Any]] = json.loads(done.stdout.rpartition("answers:")[2])
    return answers


@pytest.mark.server
@ON_EACH
def test_of_two_entries_with_one_id_a_server_uses_the_last(server: str) -> None:
    assert _answers(server)["one id"] == [{"ollama": "remote::external"}] * len(ONE_ID)


@pytest.mark.server
@ON_EACH
def test_an_id_is_read_as_the_server_reads_it(server: str) -> None:
    expected = [resolve_reference(text, VARIABLES) for text in WRITTEN]
    assert dict(zip(WRITTEN, _answers(server)["ids"], strict=True)) == {
        text: ({} if name is None else {name: "remote::x"})
        for text, name in zip(WRITTEN, expected, strict=True)
    }


@pytest.mark.server
@ON_EACH
def test_a_server_drops_what_is_disabled_before_it_loads_modules(server: str) -> None:
    expected = [not is_disabled(text, {}) for text in DISABLED]
    assert _answers(server)["disabled"] == expected
    assert expected == [False, False, True, True, True, True]


@pytest.mark.server
@ON_EACH
def test_a_server_loads_one_module_for_a_type(server: str) -> None:
    assert _answers(server)["modules"] == ["one", "one", "two"]


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
