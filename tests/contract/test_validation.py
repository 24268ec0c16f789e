"""The rules beyond the schemas, and the advice."""

from __future__ import annotations

import pytest

from lls_provider.contract import validation
from lls_provider.contract.document import Document, load
from lls_provider.errors import Code


def _metadata(version: object, provider_type: object) -> Document:
    return Document(
        "f.yaml", {"metadata": {"version": version}, "spec": {"providerType": provider_type}}
    )


@pytest.mark.parametrize("version", ["1.2.0", "0.1.0", "1.2.0+acme.1", "1.2.0-rc.1"])
def test_a_semantic_version_needs_no_advice(version: str) -> None:
    assert validation.advice(_metadata(version, "remote::acme-echo")) == []


@pytest.mark.parametrize("version", ["1.2", "1.2.0rc1", "2026.11", "01.2.0"])
def test_a_version_that_is_not_semantic_is_warned_of(version: str) -> None:
    (advice,) = validation.advice(_metadata(version, "remote::acme-echo"))
    assert advice.path == "metadata.version"
    assert version in advice.what


def test_an_underscore_in_the_provider_type_is_warned_of() -> None:
    (advice,) = validation.advice(_metadata("1.2.0", "inline::sqlite_vec"))
    assert advice.path == "spec.providerType"
    assert "inline::sqlite-vec" in advice.resolution


def test_an_api_that_no_server_loads_is_warned_of() -> None:
    document = Document("f.yaml", {"spec": {"api": "container_runtime"}})
    (advice,) = validation.advice(document)
    assert advice.path == "spec.api"
    assert "no supported server can load a provider of it" in advice.what
    assert validation.advice(Document("f.yaml", {"spec": {"api": "skills"}})) == []


@pytest.mark.parametrize("value", [None, [], {}, {"metadata": []}, {"metadata": {"version": 1}}])
def test_there_is_no_advice_about_what_is_not_there(value: object) -> None:
    assert validation.advice(Document("f.yaml", value)) == []


def test_a_duplicate_id_is_told_with_both_images_and_the_first_line() -> None:
    document = load(
        b"spec:\n"
        b"  server:\n"
        b"    externalProviders:\n"
        b"      inference:\n"
        b"      - {providerId: acme, image: 'acme/a:1'}\n"
        b"      safety:\n"
        b"      - {providerId: acme, image: 'acme/b:1'}\n",
        "cr.yaml",
    )
    (problem,) = validation.check(document, "externalproviders-cr")
    assert problem.code is Code.PROVIDER_DUPLICATE
    assert problem.where.line == 7
    for part in ("'acme'", "(image: acme/a:1) in line 5", "(image: acme/b:1)"):
        assert part in problem.what


def test_a_duplicate_id_in_data_without_positions_is_told() -> None:
    entry = {"provider_id": "acme", "provider_type": "inline::a", "module": "a"}
    document = Document("f", {"providers": {"eval": [entry, entry]}})
    (problem,) = validation.check(document, "external-providers")
    assert "providers.eval[0] and providers.eval[1]" in problem.what


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"providers": 1},
        {"providers": {"eval": 1}},
        {"providers": {"eval": ["x", {"provider_id": 1, "module": 2}]}},
    ],
)
def test_wrong_types_are_left_to_the_schema(value: object) -> None:
    document = Document("f", value)
    assert list(validation.check(document, "external-providers")) == []
    assert validation.problems(document, "external-providers")


def test_one_place_is_complained_about_once() -> None:
    # empty: too short for the schema, and no PEP 440 version either
    document = Document(
        "f",
        {
            "apiVersion": "llamastack.io/v1alpha1",
            "kind": "ProviderPackage",
            "metadata": {"name": "a", "version": "", "vendor": "a"},
            "spec": {
                "packageName": "a",
                "providerType": "inline::a",
                "api": "eval",
                "wheelPath": "/lls-provider/a.whl",
            },
        },
    )
    assert [problem.path for problem in validation.problems(document, "provider-package")] == [
        "metadata.version"
    ]
