from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lls_provider.runtime.install.conflict import (
    Source,
    all_provided_differences,
    parse_provided,
    provided_difference,
    provided_differences,
)

MakeBundle = Callable[..., Path]


def _source(name: str, provided: dict[str, str] | None = None, *distributions: str) -> Source:
    versions = None if provided is None else parse_provided(provided)
    return Source(name, f"img/{name}:1", None, versions, {}, distributions)


def test_different_versions_of_one_package_are_told() -> None:
    found = provided_difference(
        _source("a", {"x": "1", "y": "1"}), _source("b", {"x": "2", "z": "9"})
    )
    assert found is not None
    assert found.render() == (
        "provider 'a' (image: img/a:1) and provider 'b' (image: img/b:1) were built for "
        "different servers\n  x: 1 and 2"
    )
    assert found.to_document()["packages"] == [{"package": "x", "provided": ["1", "2"]}]


def test_different_distributions_are_told() -> None:
    one = _source("a", {}, "llama-stack==0.7.3")
    found = provided_difference(one, _source("b", {}, "ogx==1.5.0"))
    assert found is not None
    assert found.render().endswith("\n  distribution: llama-stack==0.7.3 and ogx==1.5.0")
    assert provided_difference(one, _source("b", {}, "ogx==1.5.0", "llama-stack==0.7.3")) is None


def test_what_is_not_told_differs_from_nothing() -> None:
    one = _source("a", {"x": "1"}, "llama-stack==0.7.3")
    assert provided_difference(one, _source("b")) is None
    assert provided_difference(one, _source("b", {"x": "1.0"})) is None


def test_each_server_is_told_once() -> None:
    others = [_source("a", {"x": "1"}), _source("b", {"x": "1"}), _source("c", {"x": "3"})]
    found = list(provided_differences(_source("d", {"x": "2"}), others))
    assert [it.first.provider for it in found] == ["a", "c"]


def test_each_pair_of_servers_is_told_once() -> None:
    sources = [_source(name, {"x": version}) for name, version in zip("abcd", "1121", strict=True)]
    told = [(it.first.provider, it.second.provider) for it in all_provided_differences(sources)]
    assert told == [("a", "c")]


@pytest.mark.parametrize("names", [("llama-stack==1", "ogx==1"), ("ogx==1", "llama-stack==1")])
def test_servers_of_equal_packages_differ_by_their_distribution(names: tuple[str, str]) -> None:
    sources = [_source(name, {"x": "1"}, name) for name in names]
    told = [(it.first.provider, it.second.provider) for it in all_provided_differences(sources)]
    assert told == [names]


def test_packages_that_are_all_shown_are_not_counted() -> None:
    one = {f"p{number:02}": "1" for number in range(10)}
    found = provided_difference(_source("a", one), _source("b", dict.fromkeys(one, "2")))
    assert found is not None
    assert found.render().endswith("\n  p09: 1 and 2")


def test_many_packages_are_counted() -> None:
    one = {f"p{number:02}": "1" for number in range(13)}
    found = provided_difference(_source("a", one), _source("b", dict.fromkeys(one, "2")))
    assert found is not None
    assert found.render().endswith("\n  p09: 1 and 2\n  and 3 more")


def test_the_installer_warns_of_different_servers(pod: Any, make_bundle: MakeBundle) -> None:
    pod.install(make_bundle(provided={"pydantic": "2.9"}))
    guard = make_bundle("acme-guard", provided={"pydantic": "2.10"})
    (warning,) = pod.install(guard, "acme-guard").plan.warnings
    assert warning == (
        "provider 'acme-echo' (image: registry.example.com/acme-echo:1.0) and provider "
        "'acme-guard' (image: registry.example.com/acme-guard:1.0) were built for different "
        "servers\n  pydantic: 2.9 and 2.10"
    )
