"""The walk over a schema: what it says, and that `jsonschema` decides the same."""

from __future__ import annotations

import copy
import datetime
import json
import string
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lls_provider import resources
from lls_provider.contract import schema, validation
from lls_provider.contract.document import Document, dump, load
from lls_provider.contract.models import PROVIDER_ID_LIMIT, provider_id_problem
from lls_provider.contract.names import API_VERSION, APIS, cr_name
from lls_provider.errors import Code, SdkError

PACKAGE = {
    "apiVersion": API_VERSION,
    "kind": "ProviderPackage",
    "metadata": {
        "name": "acme-echo",
        "version": "1.0",
        "vendor": "ACME",
        "description": "Echo",
        "maintainer": "team@acme.example",
    },
    "spec": {
        "packageName": "acme_echo",
        "providerType": "remote::acme-echo",
        "api": "inference",
        "wheelPath": "/lls-provider/packages/a-1.0-py3-none-any.whl",
        "dependencyWheels": ["/lls-provider/packages/b-1.0-py3-none-any.whl"],
    },
}
ENTRY = {"provider_id": "a", "provider_type": "inline::a", "module": "a", "config": {"b": 1}}
CR_ENTRY = {"providerId": "a", "image": "acme/a:1", "imagePullPolicy": "Never", "config": {}}
VALID: dict[str, dict[str, Any]] = {
    "provider-package": PACKAGE,
    "external-providers": {
        "apiVersion": API_VERSION,
        "kind": "ExternalProviders",
        "providers": {"inference": [ENTRY], "eval": [{**ENTRY, "provider_id": "b"}]},
    },
    "crd-config": {
        "providerId": "a",
        "api": "eval",
        "config": {"b": [1]},
        "image": "acme/a:1",
        "initContainerName": "install-provider-a",
        "order": 3,
    },
    "externalproviders-cr": {
        "apiVersion": API_VERSION,
        "kind": "LlamaStackDistribution",
        "metadata": {"name": "x"},
        "spec": {"server": {"externalProviders": {"vectorIo": [CR_ENTRY]}, "other": 1}},
    },
    "manifest": {
        "format": 1,
        "files": {"packages/a.whl": {"sha256": "0" * 64, "size": 1}},
        "target": {"python_tag": "cp312", "platforms": ["linux_x86_64"], "machine": "x86_64"},
        "provided": {"httpx": "0.28.1"},
        "distributions": ["ogx==1.5.0"],
        "overrides": ["idna<4"],
        "sdk": "0.1.0",
        "installed_size": 1,
    },
    "provider-file": {
        "apiVersion": API_VERSION,
        "kind": "ProviderFile",
        "include": ["catalogue.yaml"],
        "server": {
            "name": "a",
            "image": "acme/server:1",
            "configMap": {"name": "base", "key": "run.yaml"},
            "port": 8321,
            "env": [{"name": "A", "value": "b"}],
            "resources": {"requests": {"cpu": 1, "memory": "1Gi"}},
        },
        "providers": [{"id": "a", "image": "acme/a:1", "config": {"b": 1}, "enabled": True}],
    },
}


def _raw(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(resources.read_data(f"contract/schemas/{name}.json"))
    return loaded


@pytest.mark.parametrize("name", schema.SCHEMAS)
def test_a_schema_is_a_draft_07_schema_that_describes_itself(name: str) -> None:
    raw = _raw(name)
    jsonschema.Draft7Validator.check_schema(raw)
    assert raw["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert raw["$id"].startswith("https://")
    assert raw["$id"].endswith(f"/{name}.json")
    assert raw["title"]
    assert raw["description"]


@pytest.mark.parametrize("name", schema.SCHEMAS)
def test_every_value_is_described_since_complaints_quote_it(name: str) -> None:
    root = schema.load_schema(name)
    for part in schema._parts(root):
        assert "description" in part or "$ref" in part


@pytest.mark.parametrize("name", schema.SCHEMAS)
def test_patterns_are_understood_by_every_regular_expression_engine(name: str) -> None:
    for part in schema._parts(schema.load_schema(name)):
        pattern = part.get("pattern", "")
        for unknown_to_re2 in ("(?", "\\d", "\\w", "\\s", "\\b"):
            assert unknown_to_re2 not in pattern


def test_the_schemas_know_every_api() -> None:
    assert _raw("provider-package")["properties"]["spec"]["properties"]["api"]["enum"] == list(APIS)
    assert _raw("crd-config")["properties"]["api"]["enum"] == list(APIS)
    sections = _raw("external-providers")["properties"]["providers"]["properties"]
    assert list(sections) == list(APIS)
    sections = _raw("externalproviders-cr")["definitions"]["externalProviders"]["properties"]
    assert list(sections) == [cr_name(api) for api in APIS]


@pytest.mark.parametrize("identifier", ["a", "a-b", "-a", "A", "a" * 46, "a" * 47, "a\n", ""])
def test_the_schemas_and_the_models_agree_on_provider_ids(identifier: str) -> None:
    found = validation.problems(
        Document("f", {**VALID["crd-config"], "providerId": identifier}), "crd-config"
    )
    assert bool(found) == (provider_id_problem(identifier) is not None)
    assert _raw("crd-config")["properties"]["providerId"]["maxLength"] == PROVIDER_ID_LIMIT


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"anyOf": []}, "anyOf"),
        ({"properties": {"a": {"format": "email"}}}, "format"),
        ({"items": {"uniqueItems": True}}, "uniqueItems"),
        ({"items": [{"type": "string"}]}, "items"),
        ({"type": "number"}, "number"),
        ({"$ref": "#/definitions/nothing"}, "nowhere"),
        ({"$ref": "other.json"}, "nowhere"),
    ],
)
def test_what_is_not_implemented_fails_when_a_schema_is_loaded(
    broken: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        schema.verify(broken)


def _told(text: str, name: str = "provider-package") -> list[str]:
    return [
        f"{problem.where.line}: {problem.what} | {problem.resolution}"
        for problem in validation.problems(load(text.encode(), "f.yaml"), name)
    ]


def test_complaints_come_in_the_order_of_the_places() -> None:
    text = dump({"kind": "X", "apiVersion": "Y", "spec": [], "metadata": {"name": 1}})
    lines = [int(line.partition(":")[0]) for line in _told(text)]
    assert lines == sorted(lines)
    assert len(lines) == 6


def test_what_yaml_reads_as_another_type_is_told_to_be_quoted() -> None:
    text = dump(PACKAGE).replace("version: '1.0'", "version: 1.10")
    assert _told(text) == [
        "5: metadata.version must be text, not the number 1.10 | Quote it: '1.10'"
    ]


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("", "no value"),
        ("[a]", "a list"),
        ("{a: b}", "a mapping"),
        ("yes", "the truth value yes"),
        ("2026-11-22", "the timestamp '2026-11-22'"),
    ],
)
def test_a_wrong_type_is_named(value: str, word: str) -> None:
    (told,) = _told(dump(PACKAGE).replace("vendor: ACME", f"vendor: {value}"))
    assert f"must be text, not {word}" in told


def test_a_missing_key_is_told_with_what_it_is_for() -> None:
    (told,) = _told(dump(PACKAGE).replace("  vendor: ACME\n", ""))
    assert told == (
        "4: metadata.vendor is missing: the organisation, not blank | Add 'vendor' to metadata."
    )
    (told,) = _told(dump(PACKAGE).replace("kind: ProviderPackage\n", ""))
    assert told.endswith("Add 'kind: ProviderPackage' to the document.")


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("providertype", "providerType"),
        ("provider_type", "providerType"),
        ("wheelPaht", "wheelPath"),
    ],
)
def test_a_misspelt_key_is_told_with_the_one_that_was_meant(key: str, meant: str) -> None:
    (told,) = _told(dump(PACKAGE) + f"  {key}: x\n")
    assert f"unknown key '{key}' in spec; did you mean '{meant}'?" in told


def test_an_unknown_key_like_no_other_is_told_with_the_known_ones() -> None:
    (told,) = _told(dump(PACKAGE) + "  zzz: x\n")
    assert "unknown key 'zzz' in spec | Remove it; the known keys are packageName" in told


def test_a_key_that_the_image_declares_is_told_so() -> None:
    document = copy.deepcopy(VALID["externalproviders-cr"])
    document["spec"]["server"]["externalProviders"]["vectorIo"][0]["providerType"] = "inline::a"
    (told,) = _told(dump(document), "externalproviders-cr")
    assert "the image declares its type itself" in told


def test_an_api_in_camel_case_is_told_with_its_name() -> None:
    (told,) = _told(dump(PACKAGE).replace("api: inference", "api: vectorIO"))
    assert "did you mean 'vector_io'?" in told


def test_long_and_unprintable_values_are_shortened() -> None:
    (told,) = _told(dump(PACKAGE).replace("name: acme-echo", f"name: {'x ' * 50}y"))
    assert f"'{'x ' * 28}x...'" in told
    (told,) = _told(dump(PACKAGE).replace("name: acme-echo", 'name: "a\\tb"'))
    assert r"'a\tb'" in told


def test_a_message_does_not_grow_with_the_key() -> None:
    (told,) = _told(dump({**PACKAGE, "k" * 5000: 1}))
    assert len(told) < 300


def test_require_raises_the_single_complaint_with_its_code_and_place() -> None:
    document = load(dump(PACKAGE).replace("api: inference", "api: x").encode(), "f.yaml")
    with pytest.raises(SdkError) as caught:
        validation.require(document, "provider-package", "The metadata is not valid", "Correct it.")
    error = caught.value
    assert error.code is Code.FIELD_VALUE
    assert error.where.position == "f.yaml:12:8"
    assert error.render().startswith("ERROR: The metadata is not valid\n\nFile: f.yaml:12:8")


def test_require_raises_several_complaints_at_once() -> None:
    with pytest.raises(SdkError) as caught:
        validation.require(load(b"{}", "f.yaml"), "provider-package", "Not valid", "Correct it.")
    assert caught.value.code is Code.DOCUMENT_INVALID
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize("name", schema.SCHEMAS)
def test_require_passes_what_is_valid(name: str) -> None:
    validation.require(load(dump(VALID[name]).encode(), "f.yaml"), name, "Not valid", "Correct it.")


# Agreement with jsonschema ------------------------------------------------------------------

_WORDS = st.sampled_from(
    [
        "",
        "a",
        "A",
        "a-",
        "a_b",
        "1.0",
        "x y",
        "a\n",
        "a\u00e9",
        API_VERSION,
        "ProviderPackage",
        "ExternalProviders",
        "LlamaStackDistribution",
        "inference",
        "vector_io",
        "vectorIo",
        "remote::a",
        "inline::a_b",
        "remote:a",
        "/lls-provider/a.whl",
        "/lls-provider/../a.whl",
        "a@b",
        "Always",
        "acme/a:1",
        "0" * 64,
        "cp312",
        "a" * 46,
        "a" * 47,
        "a" * 64,
        "../a",
        "/a",
    ]
)
_KEYS = st.sampled_from(
    [
        "apiVersion",
        "kind",
        "metadata",
        "spec",
        "name",
        "config",
        "image",
        "order",
        "providerId",
        "provider_id",
        "inference",
        "eval",
        "../a",
        "zzz",
        "server",
        "externalProviders",
        "size",
    ]
)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from([0.0, 1.0, 1.5, -1.0])
    | _WORDS
    | st.text(string.printable, max_size=4),
    lambda children: st.lists(children, max_size=2) | st.dictionaries(_KEYS, children, max_size=3),
    max_leaves=5,
)


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place of a value, the outermost first."""
    yield path
    children: Any = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    for step, child in children:
        yield from _places(child, (*path, step))


@st.composite
def _mutated(draw: st.DrawFn) -> tuple[str, Any]:
    """A valid document of some kind with a few places changed, added or removed."""
    name = draw(st.sampled_from(schema.SCHEMAS))
    document: Any = copy.deepcopy(VALID[name])
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(list(_places(document))))
        change = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if not path:
            if change == "add" and isinstance(document, dict):
                document[draw(_KEYS)] = draw(_VALUES)
            elif change == "replace" and draw(st.integers(0, 4)) == 0:
                document = draw(_VALUES)
            continue
        parent = document
        for step in path[:-1]:
            parent = parent[step]
        if change == "replace":
            parent[path[-1]] = draw(_VALUES)
        elif change == "remove":
            del parent[path[-1]]
        elif isinstance(parent, dict):
            parent[draw(_KEYS)] = draw(_VALUES)
        else:
            parent.append(draw(_VALUES))
    return name, document


def _judge(name: str) -> jsonschema.Draft7Validator:
    # Python's "$" also matches before a last line break; JSON Schema's does not
    text = json.dumps(_raw(name)).replace('$"', '\\\\Z"')
    return jsonschema.Draft7Validator(json.loads(text))


JUDGES = {name: _judge(name) for name in schema.SCHEMAS}


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(_mutated())
def test_jsonschema_agrees_on_generated_documents(case: tuple[str, Any]) -> None:
    name, document = case
    found = schema.problems(Document("f", document), name)
    assert bool(found) == (not JUDGES[name].is_valid(document))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(_mutated())
def test_every_complaint_about_a_generated_document_has_its_place(case: tuple[str, Any]) -> None:
    name, document = case
    loaded = load(dump(document).encode(), "f.yaml")
    assert loaded.value == document
    found = validation.problems(loaded, name)
    # the same document without positions is refused for the same reasons
    bare = validation.problems(Document("f.yaml", document), name)
    assert sorted(p.path + p.code.slug for p in found) == sorted(p.path + p.code.slug for p in bare)
    for problem in found:
        assert problem.where.line is not None
        assert problem.what
        assert problem.resolution


def test_a_key_that_is_a_date_is_named() -> None:
    assert schema.shown(datetime.date(2024, 1, 2)) == "the timestamp '2024-01-02'"


@pytest.mark.parametrize("rest", [True, {}, {"type": "integer"}])
def test_what_may_be_added_is_what_the_schema_says(rest: object) -> None:
    document = load(b"a: 1\nb: text\n", "f.yaml")
    walk = schema._Walk(document, {"additionalProperties": rest}, lambda _: None)
    walk.check(document.value, walk.root, ())
    assert [it.path for it in walk.found] == ([] if rest in (True, {}) else ["b"])
