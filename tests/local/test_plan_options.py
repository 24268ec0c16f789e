"""What the options of `up` mean: resources and configs."""

from __future__ import annotations

from typing import Any

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.local import plan


def test_a_resource_is_kind_and_object() -> None:
    assert plan.parse_resource('models={"model_id": "a=b"}') == ("models", {"model_id": "a=b"})


@pytest.mark.parametrize("text", ["models", "models=", "models=[1]", "=", "a b={}", '{"a": 1}'])
def test_a_wrong_resource_shows_how_to_write_it(text: str) -> None:
    with pytest.raises(SdkError) as caught:
        plan.parse_resource(text)
    assert caught.value.code is Code.USAGE
    assert "models={" in caught.value.resolution


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"prefix": "x=y"}', (None, {"prefix": "x=y"})),
        ('acme-echo={"prefix": "x"}', ("acme-echo", {"prefix": "x"})),
        ("acme-echo={}", ("acme-echo", {})),
    ],
)
def test_a_config_may_name_its_provider(
    text: str, expected: tuple[str | None, dict[str, Any]]
) -> None:
    assert plan.parse_config(text) == expected


@pytest.mark.parametrize("text", ["", "acme", "acme=5", "={}", "{broken", "acme={broken"])
def test_a_wrong_config_shows_how_to_write_it(text: str) -> None:
    with pytest.raises(SdkError) as caught:
        plan.parse_config(text)
    assert caught.value.code is Code.USAGE
    assert "acme-echo={" in caught.value.resolution


def test_a_config_without_an_id_goes_to_the_only_provider() -> None:
    assert plan.assign_configs([(None, {"a": 1})], ["acme-echo"]) == {"acme-echo": {"a": 1}}


@pytest.mark.parametrize(
    ("given", "ids"), [((None, {}), ["one", "two"]), (("three", {}), ["one", "two"])]
)
def test_a_config_that_fits_no_provider_names_those_there_are(
    given: tuple[str | None, dict[str, Any]], ids: list[str]
) -> None:
    with pytest.raises(SdkError) as caught:
        plan.assign_configs([given], ids)
    assert caught.value.code is Code.USAGE
    assert "one, two" in caught.value.why
