"""The documents as values."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lls_provider.contract import validation
from lls_provider.contract.document import dump, load
from lls_provider.contract.models import (
    INIT_CONTAINER_PREFIX,
    CrdConfig,
    ProviderPackage,
    external_providers_document,
    provider_entry,
    provider_id_from_name,
    provider_id_problem,
    read_crd_config,
    read_provider_package,
)
from lls_provider.errors import Code, SdkError

PACKAGE = ProviderPackage(
    name="acme-echo",
    version="1.0",
    vendor="ACME",
    description="Answers with what it was asked.",
    maintainer="team@acme.example",
    package_name="acme_echo",
    provider_type="remote::acme-echo",
    api="inference",
    wheel_path="/lls-provider/packages/acme_echo-1.0-py3-none-any.whl",
    dependency_wheels=("/lls-provider/packages/idna-3.0-py3-none-any.whl",),
)
SMALL = ProviderPackage(
    "acme-echo", "1.0", "ACME", None, None, "acme", "inline::acme", "safety", "/lls-provider/a.whl"
)
CRD = CrdConfig("acme-echo", "inference", {"url": "x"}, "acme/echo:1.0", "install-provider-a", 3)


def _write(folder: Path, document: object) -> Path:
    path = folder / "document.yaml"
    path.write_text(dump(document), encoding="utf-8")
    return path


@pytest.mark.parametrize("package", [PACKAGE, SMALL])
def test_metadata_survives_writing_and_reading(package: ProviderPackage, tmp_path: Path) -> None:
    path = _write(tmp_path, package.to_document())
    assert read_provider_package(path, strict=True) == package


def test_metadata_is_written_in_the_order_of_the_contract() -> None:
    document = PACKAGE.to_document()
    assert list(document) == ["apiVersion", "kind", "metadata", "spec"]
    assert list(document["metadata"]) == ["name", "version", "vendor", "description", "maintainer"]
    assert list(SMALL.to_document()["spec"]) == ["packageName", "providerType", "api", "wheelPath"]


def test_the_kind_of_a_provider() -> None:
    assert PACKAGE.kind == "remote"
    assert SMALL.kind == "inline"


@pytest.mark.parametrize("crd", [CRD, CrdConfig("a", "eval", None, "i:1", "install-provider-a", 0)])
def test_the_record_survives_writing_and_reading(crd: CrdConfig, tmp_path: Path) -> None:
    assert read_crd_config(_write(tmp_path, crd.to_document()), strict=True) == crd


def test_a_record_of_another_installer_gets_defaults(tmp_path: Path) -> None:
    crd = read_crd_config(_write(tmp_path, {"providerId": "acme", "api": "eval"}))
    assert crd == CrdConfig("acme", "eval", None, "", "install-provider-acme", 0)
    assert "image" not in crd.to_document()


def test_a_pod_passes_over_keys_of_a_later_version(tmp_path: Path) -> None:
    document = SMALL.to_document()
    document["spec"]["configSchema"] = "schema.json"
    path = _write(tmp_path, document)
    assert read_provider_package(path) == SMALL
    with pytest.raises(SdkError) as caught:
        read_provider_package(path, "shown.yaml", strict=True)
    assert caught.value.code is Code.FIELD_UNKNOWN
    assert caught.value.where.file == "shown.yaml"


def test_a_pod_still_finds_the_misspelt_required_key(tmp_path: Path) -> None:
    document = SMALL.to_document()
    document["spec"]["wheelpath"] = document["spec"].pop("wheelPath")
    with pytest.raises(SdkError) as caught:
        read_provider_package(_write(tmp_path, document))
    assert caught.value.code is Code.FIELD_MISSING


def test_a_fragment_passes_its_schema() -> None:
    entry = provider_entry("acme-echo", "remote::acme-echo", "acme_echo", {"url": "x"})
    document = external_providers_document({"inference": [entry], "safety": []})
    assert validation.problems(load(dump(document).encode(), "f"), "external-providers") == []
    assert list(entry) == ["provider_id", "provider_type", "module", "config"]


def test_an_entry_without_config_has_no_such_key() -> None:
    assert "config" not in provider_entry("a", "inline::a", "a", None)
    assert provider_entry("a", "inline::a", "a", {})["config"] == {}


@pytest.mark.parametrize("text", ["a", "0", "acme-echo", "a--b", "a" * 46])
def test_a_provider_id(text: str) -> None:
    assert provider_id_problem(text) is None


@pytest.mark.parametrize(
    "text", ["", "-a", "a-", "A", "a_b", "a.b", "a b", "a/b", "..", "é", "a\n", "a" * 47]
)
def test_what_is_no_provider_id(text: str) -> None:
    problem = provider_id_problem(text)
    assert problem is not None
    assert "\n" not in problem


def test_the_longest_provider_id_makes_the_longest_container_name() -> None:
    assert len(INIT_CONTAINER_PREFIX + "a" * 46) == 63


@pytest.mark.parametrize(
    ("name", "identifier"),
    [("acme_Echo", "acme-echo"), ("a.b", "a-b"), ("_a__b_", "a-b"), ("x" * 45 + "-y", "x" * 45)],
)
def test_a_name_in_the_form_of_an_id(name: str, identifier: str) -> None:
    assert provider_id_from_name(name) == identifier


@settings(max_examples=200)
@given(st.text())
def test_whatever_the_name_the_id_is_valid(name: str) -> None:
    try:
        identifier = provider_id_from_name(name)
    except SdkError as error:
        assert error.code is Code.FIELD_VALUE
    else:
        assert provider_id_problem(identifier) is None
