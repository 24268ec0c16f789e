"""The APIs that a spec needs: what a configuration has of them, and what to add."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from packaging.utils import canonicalize_name
from packaging.version import Version

from lls_provider.contract.document import load
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.merge import merge
from lls_provider.runtime.preflight import api_dependencies
from lls_provider.runtime.preflight.preflight import preflight

if TYPE_CHECKING:
    from tests.runtime.conftest import Pod

MakeBundle = Callable[..., Path]

SERVERS = {
    "llama-stack 0.2.22": {"llama-stack": "0.2.22"},
    "llama-stack 0.7.3": {"llama-stack": "0.7.3"},
    "ogx 1.5.0": {"ogx": "1.5.0"},
}


def versions(pins: dict[str, str]) -> dict[Any, Version]:
    return {canonicalize_name(name): Version(version) for name, version in pins.items()}


@pytest.mark.parametrize(
    ("configuration", "needed", "missing"),
    [
        ("{}", ["files"], ["files"]),
        ("providers: {files: [{provider_id: x}]}", ["files"], []),
        ("providers: {files: []}", ["files", "batches"], ["files", "batches"]),
        ("providers: {files: null}", ["files"], ["files"]),
        ("providers: null", ["files"], ["files"]),
        # a server drops these before it loads anything
        ("providers: {files: [{provider_id: __disabled__}]}", ["files"], ["files"]),
        ("providers: {files: [{provider_id: '${env.NO:+x}'}]}", ["files"], ["files"]),
        ("providers: {files: [{provider_id: '${env.YES:+x}'}]}", ["files"], []),
        # what a server routes is there without a provider, and so are its tables
        ("{}", ["inference", "models", "safety", "eval", "benchmarks", "vector_dbs"], []),
        ("apis: []", ["inference", "models"], []),
        ("apis: null", ["inference"], []),
        ("apis: [eval]", ["inference", "models", "tool_groups"], ["inference", "tool_runtime"]),
        ("apis: [eval, inference]", ["inference", "models"], []),
        # what is inside a server is no one's to provide
        ("{}", ["conversations", "prompts", "providers", "inspect", "connectors"], []),
        ("{}", [], []),
        ("[]", ["files"], ["files"]),
    ],
)
def test_what_a_server_would_not_have(
    configuration: str, needed: list[str], missing: list[str]
) -> None:
    document = load(configuration.encode(), "run.yaml")
    assert api_dependencies.missing_apis(document, needed, {"YES": "1"}) == missing


def supplied(
    needed: list[str], server: dict[str, str] | None, configuration: str = "{}"
) -> api_dependencies.Supply:
    document = load(configuration.encode(), "run.yaml")
    known = None if server is None else versions(server)
    return api_dependencies.supply(needed, known, document, {})


def pasted(found: api_dependencies.Supply) -> dict[str, Any]:
    """The YAML of the advice, as a reader copies it."""
    value: dict[str, Any] = yaml.safe_load(
        api_dependencies.dependency_advice(found).partition("\n\n")[2]
    )
    return value


@pytest.mark.parametrize("server", SERVERS)
def test_what_to_add_is_yaml_to_paste(server: str) -> None:
    found = pasted(supplied(["files"], SERVERS[server]))
    assert [it["provider_type"] for it in found["providers"]["files"]] == ["inline::localfs"]
    assert found.keys() == {"providers"}


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("configuration", "added"),
    [
        ("{}", ["batches", "files"]),
        ("providers: {files: [{provider_id: s3}]}", ["batches"]),
    ],
)
def test_what_the_addition_needs_itself_is_added_too(
    server: str, configuration: str, added: list[str]
) -> None:
    found = pasted(supplied(["batches"], SERVERS[server], configuration))
    assert list(found["providers"]) == added


def test_a_list_of_apis_has_what_the_addition_needs() -> None:
    found = supplied(["responses"], {"ogx": "1.5.0"}, "apis: [inference]")
    assert set(found.listed) == {"vector_io", "tool_runtime"}
    told = api_dependencies.dependency_advice(found)
    assert told.startswith("Add 'vector_io' to the list 'apis' of the base configuration; add")
    assert "to the base configuration:\n\nproviders:\n" in told


@pytest.mark.parametrize(
    ("storage", "backend", "added"),
    [
        ("{}", "sql_default", None),
        ("storage: {stores: {}}", "sql_default", None),
        ("storage: {backends: {sql_default: {type: sql_postgres}}}", "sql_default", None),
        ("storage: {backends: {kv: {type: kv_redis}, pg: {type: sql_postgres}}}", "pg", None),
        ("storage: {backends: {kv: {type: kv_redis}}}", "sql_default", "sql_sqlite"),
        ("storage: {backends: {}}", "sql_default", "sql_sqlite"),
        ("storage: {backends: {x: null}}", "sql_default", "sql_sqlite"),
    ],
)
@pytest.mark.parametrize("server", ["llama-stack 0.7.3", "ogx 1.5.0"])
def test_the_addition_uses_storage_that_is_there(
    server: str, storage: str, backend: str, added: str | None
) -> None:
    found = pasted(supplied(["files"], SERVERS[server], storage))
    (entry,) = found["providers"]["files"]
    assert entry["config"]["metadata_store"]["backend"] == backend
    backends = found.get("storage", {}).get("backends", {})
    assert {name: it["type"] for name, it in backends.items()} == (
        {} if added is None else {backend: added}
    )


def test_what_nobody_knows_is_named() -> None:
    found = supplied(["file_processors", "inference", "files"], {"ogx": "1.5.0"})
    told = api_dependencies.dependency_advice(found)
    assert told.startswith(
        "Add a provider of 'file_processors' to the base configuration, or install one; add "
        "'inference' to the list 'apis' of the base configuration.\nAdd the server's own smallest"
    )
    assert api_dependencies.dependency_advice(supplied(["files"], None)) == (
        "Add a provider of 'files' to the base configuration, or install one."
    )


def _needing(*apis: str) -> dict[str, str]:
    spec = (
        "class S:\n"
        "    provider_type, api, module = 'remote::acme-echo', 'inference', 'acme_echo'\n"
        "    class config_class: ...\n"
        f"    api_dependencies = {list(apis)!r}\n"
        "def get_provider_spec(): return S()\n"
    )
    factory = "async def get_adapter_impl(config, deps): ...\n"
    return {"acme_echo/provider.py": spec, "acme_echo/__init__.py": factory}


def merged(pod: Pod, base: str) -> Path:
    path = Path(pod.root) / "base-config" / "run.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(base)
    return merge(pod.root).path


def test_preflight_refuses_what_the_server_would_end_with(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    pod.install(make_bundle(files=_needing("files", "eval", "batches")))
    with pytest.raises(SdkError) as caught:
        preflight(merged(pod, "version: 2\n"), root=pod.root)
    assert caught.value.code is Code.VALIDATION_FAILED
    layout = caught.value.layout or ""
    assert "\nReason: Missing API dependencies\n" in layout
    assert "Missing: files, batches\n" in layout
    assert api_dependencies.missing_in(caught.value.detail) == ["files", "batches"]
    told = SdkError.from_json(caught.value.to_json())
    assert api_dependencies.missing_in(told.detail) == ["files", "batches"]


@pytest.mark.parametrize("detail", [None, 7, [], {}, {"missing_apis": "files"}, {"x": ["files"]}])
def test_no_other_detail_is_about_missing_apis(detail: object) -> None:
    assert api_dependencies.missing_in(detail) == []


def test_preflight_passes_what_is_there(pod: Pod, make_bundle: MakeBundle) -> None:
    pod.install(make_bundle(files=_needing("files", "inference")))
    base = "version: 2\nproviders: {files: [{provider_id: x, provider_type: 'inline::x'}]}\n"
    found = preflight(merged(pod, base), root=pod.root)
    assert [it.provider_id for it in found] == ["acme-echo"]


def test_what_two_need_is_supplied_once(tmp_path: Path) -> None:
    once = supplied(["files"], {"ogx": "1.5.0"})
    assert supplied(["files", "files"], {"ogx": "1.5.0"}) == once


def test_two_supplies_together_have_what_each_adds() -> None:
    one, two = (supplied([api], {"ogx": "1.5.0"}) for api in ("files", "batches"))
    both = one.joined(two)
    assert {*both.entries} == {*one.entries, *two.entries}
    assert {*both.backends} == {*one.backends, *two.backends}
    assert (both.listed, both.unknown) == ((), ())
