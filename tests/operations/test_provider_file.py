"""Provider files: includes, what an entry changes, and where complaints point to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories.provider_files import ECHO, GUARD, SERVER

from lls_provider.errors import Code, SdkError
from lls_provider.operations.provider_file import (
    ObjectReference,
    ProviderFile,
    merge_patch,
    read_provider_file,
)

WriteFile = Callable[..., Path]


def _read(path: Path) -> ProviderFile:
    return read_provider_file(path)


def _error(path: Path) -> SdkError:
    with pytest.raises(SdkError) as caught:
        read_provider_file(path)
    return caught.value


def test_providers_come_in_the_order_of_the_file(write_file: WriteFile) -> None:
    file = _read(write_file(GUARD, ECHO, server=SERVER))
    assert [it.provider_id for it in file.providers] == ["acme-guard", "acme-echo"]
    assert file.server.image == SERVER["image"]
    assert file.server.port == 8321
    assert file.providers[0].where.line is not None


def test_a_disabled_provider_is_left_out(write_file: WriteFile) -> None:
    file = _read(write_file({**GUARD, "enabled": False}, ECHO))
    assert [it.provider_id for it in file.providers] == ["acme-echo"]


def test_a_disabled_entry_needs_no_image(write_file: WriteFile) -> None:
    file = _read(write_file({"id": "later", "enabled": False}, ECHO))
    assert [it.provider_id for it in file.providers] == ["acme-echo"]


def test_an_included_file_comes_first_and_an_entry_changes_only_what_it_says(
    write_file: WriteFile,
) -> None:
    guard = {**GUARD, "config": {"url": "http://a", "retries": {"count": 3, "wait": 1}}}
    write_file(guard, ECHO, server=SERVER, name="catalogue.yaml")
    path = write_file(
        {"id": "new", "image": "acme/new:1"},
        {"id": "acme-guard", "config": {"url": "http://b", "retries": {"wait": None}}},
        server={"port": 9000},
        include=["catalogue.yaml"],
    )
    file = _read(path)
    assert [it.provider_id for it in file.providers] == ["acme-guard", "acme-echo", "new"]
    assert file.providers[0].image == GUARD["image"]
    assert file.providers[0].config == {"url": "http://b", "retries": {"count": 3}}
    assert (file.server.image, file.server.port) == (SERVER["image"], 9000)


def test_an_entry_may_enable_what_a_catalogue_has_disabled(write_file: WriteFile) -> None:
    write_file({**ECHO, "enabled": False}, name="catalogue.yaml")
    path = write_file({"id": "acme-echo", "enabled": True}, include=["catalogue.yaml"])
    assert [it.provider_id for it in _read(path).providers] == ["acme-echo"]


def test_null_in_a_configuration_that_patches_nothing_is_a_value(write_file: WriteFile) -> None:
    file = _read(write_file({**ECHO, "config": {"proxy": None}}))
    assert file.providers[0].config == {"proxy": None}


@pytest.mark.parametrize(
    ("included", "change", "image", "distribution"),
    [
        ({"image": "a/b:1"}, {"distribution": "starter"}, None, "starter"),
        ({"distribution": "starter"}, {"image": "a/b:1"}, "a/b:1", None),
        ({"distribution": "starter"}, {"port": 1}, None, "starter"),
    ],
)
def test_one_of_a_pair_replaces_the_other(
    write_file: WriteFile,
    included: dict[str, Any],
    change: dict[str, Any],
    image: str | None,
    distribution: str | None,
) -> None:
    write_file(ECHO, server=included, name="catalogue.yaml")
    server = _read(write_file(server=change, include=["catalogue.yaml"])).server
    assert (server.image, server.distribution) == (image, distribution)


def test_a_configuration_and_its_source_replace_each_other(write_file: WriteFile) -> None:
    secret = {"secret": {"name": "echo"}}
    write_file({**ECHO, "config": {"a": 1}}, name="catalogue.yaml")
    path = write_file({"id": "acme-echo", "configFrom": secret}, include=["catalogue.yaml"])
    (provider,) = _read(path).providers
    assert (provider.config, provider.config_from) == (
        None,
        ObjectReference("secret", "echo", "config.yaml"),
    )
    write_file({**ECHO, "configFrom": secret}, name="catalogue.yaml")
    path = write_file({"id": "acme-echo", "config": {"a": 1}}, include=["catalogue.yaml"])
    (provider,) = _read(path).providers
    assert (provider.config, provider.config_from) == ({"a": 1}, None)


def test_paths_are_relative_to_the_file_that_names_them(
    write_file: WriteFile, tmp_path: Path
) -> None:
    write_file(ECHO, server={"config": "run.yaml"}, name="platform/catalogue.yaml")
    path = write_file(include=["platform/catalogue.yaml"])
    assert _read(path).server.config == tmp_path / "platform" / "run.yaml"


def test_a_file_may_be_included_twice_by_different_files(write_file: WriteFile) -> None:
    write_file(ECHO, name="a.yaml")
    write_file(name="b.yaml", include=["a.yaml"])
    path = write_file(GUARD, include=["a.yaml", "b.yaml"])
    assert [it.provider_id for it in _read(path).providers] == ["acme-echo", "acme-guard"]


def test_an_include_of_itself_is_an_error_with_its_line(write_file: WriteFile) -> None:
    write_file(ECHO, name="a.yaml", include=["providers.yaml"])
    error = _error(write_file(include=["a.yaml"]))
    assert error.code is Code.FIELD_VALUE
    assert error.where.file is not None
    assert error.where.file.endswith("a.yaml")
    assert error.where.line == 4
    assert error.why.count(" includes ") == 2


def test_an_include_that_does_not_exist_is_an_error_with_its_line(write_file: WriteFile) -> None:
    error = _error(write_file(ECHO, include=["nowhere.yaml"]))
    assert error.code is Code.FILE_MISSING
    assert "includes a file that does not exist: nowhere.yaml" in error.what
    assert error.where.line == 4


def test_a_complaint_names_the_included_file_and_its_line(write_file: WriteFile) -> None:
    write_file({**ECHO, "imagePolicy": "Always"}, name="catalogue.yaml")
    error = _error(write_file(include=["catalogue.yaml"]))
    assert error.code is Code.FIELD_UNKNOWN
    assert error.where.file is not None
    assert error.where.file.endswith("catalogue.yaml")
    assert error.where.line == 7


def test_an_id_twice_in_an_included_file_is_an_error_with_both_images(
    write_file: WriteFile,
) -> None:
    write_file(ECHO, {**GUARD, "id": "acme-echo"}, name="catalogue.yaml")
    error = _error(write_file(include=["catalogue.yaml"]))
    assert error.code is Code.PROVIDER_DUPLICATE
    message = error.render()
    assert str(ECHO["image"]) in message
    assert str(GUARD["image"]) in message
    assert "catalogue.yaml:7" in message


def test_an_entry_without_an_image_is_told_with_its_line(write_file: WriteFile) -> None:
    write_file(ECHO, name="catalogue.yaml")
    error = _error(write_file({"id": "acme-ecko", "config": {}}, include=["catalogue.yaml"]))
    assert error.code is Code.FIELD_MISSING
    assert "provider 'acme-ecko' has no image" in error.render()
    assert error.where.line == 6


def test_every_complaint_of_a_file_is_told_at_once(write_file: WriteFile) -> None:
    error = _error(write_file({"id": "A"}, {"image": 3}, other=1))
    assert [problem.code.slug for problem in error.problems] == [
        "field-unknown",
        "field-value",
        "field-missing",
        "field-type",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", Code.YAML_INVALID),
        ("providers: [", Code.YAML_INVALID),
        ("[]", Code.FIELD_TYPE),
        ("a: 1\na: 2", Code.DUPLICATE_KEY),
        ("apiVersion: llamastack.io/v1alpha1\nkind: ProviderPackage", Code.FIELD_VALUE),
        ("a: [" + "x, " * 60_000 + "]", Code.YAML_LIMIT),
        ("# " + "x" * (1 << 20), Code.YAML_LIMIT),
    ],
)
def test_a_file_that_is_no_provider_file_is_told_with_its_line(
    tmp_path: Path, text: str, code: Code
) -> None:
    path = tmp_path / "providers.yaml"
    path.write_text(text, "utf-8")
    error = _error(path)
    assert error.code is code
    assert error.where.file == str(path)


def test_two_thousand_providers_are_read(write_file: WriteFile) -> None:
    entries = [{"id": f"p{number}", "image": "acme/a:1"} for number in range(2000)]
    assert len(_read(write_file(*entries)).providers) == 2000


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.text(max_size=2), inner, max_size=3) | st.lists(inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("value", "patch", "result"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_configuration_is_patched_as_the_rfc_says(value: Any, patch: Any, result: Any) -> None:
    assert merge_patch(value, patch) == result


@given(_JSON, _JSON)
def test_a_patch_that_is_applied_again_changes_nothing(value: Any, patch: Any) -> None:
    once = merge_patch(value, patch)
    assert merge_patch(once, patch) == once
