"""What a plan says: the message of a conflict, the notes of what was decided."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lls_provider import resources
from lls_provider.errors import SdkError

MakeBundle = Callable[..., Path]
MakeWheel = Callable[..., Path]
ECHO = {"image": "registry.example.com/acme/echo:1.0"}
GUARD = {"image": "registry.example.com/acme/guard:1.0"}


def _refusal(pod: Any, source: Path) -> str:
    with pytest.raises(SdkError) as caught:
        pod.install(source, "acme-guard", **GUARD)
    return caught.value.render() + "\n"


def test_the_conflict_of_two_providers_is_the_golden_message(
    pod: Any, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    old, new = (make_wheel("requests", version) for version in ("2.28.0", "2.31.0"))
    pod.install(make_bundle(requires=["requests==2.28.0"], dependencies=[old]), **ECHO)
    guard = make_bundle("acme-guard", requires=["requests==2.31.0"], dependencies=[new])
    assert _refusal(pod, guard) == resources.read_data("contract/golden/conflict.txt").decode()


def test_several_conflicts_and_their_requirers_are_the_golden_message(
    pod: Any, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    echo = make_bundle(
        requires=["requests==2.28.0", "tool"],
        dependencies=[
            make_wheel("requests", "2.28.0"),
            make_wheel("tool", "3.1", requires=["urllib3<2"]),
            make_wheel("urllib3", "1.26.20"),
        ],
    )
    pod.install(echo, **ECHO)
    guard = make_bundle(
        "acme-guard",
        requires=["requests==2.31.0", "urllib3>=2", "pydantic>=3"],
        dependencies=[make_wheel("requests", "2.31.0"), make_wheel("urllib3", "2.2.3")],
        provided={"pydantic": "2.9"},
    )
    golden = resources.read_data("contract/golden/conflict-several.txt").decode()
    assert _refusal(pod, guard) == golden


def test_a_strangers_distribution_is_named_as_such(
    pod: Any, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    folder = pod.packages / "dep-1.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Name: dep\nVersion: 1\n")
    guard = make_bundle("acme-guard", requires=["dep>=2"], dependencies=[make_wheel("dep", "2")])
    assert "dep: 1 is installed by no provider and stays, this image brings 2\n" in _refusal(
        pod, guard
    )


def test_what_was_kept_replaced_and_overridden_is_noted(
    pod: Any, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    old = [make_wheel("kept", "1"), make_wheel("moved", "1")]
    pod.install(make_bundle(dependencies=old))
    new = [make_wheel("kept", "2"), make_wheel("moved", "2")]
    guard = make_bundle(
        "acme-guard", requires=["moved>=9"], dependencies=new, overrides=["moved>=2"]
    )
    assert pod.install(guard, "acme-guard").plan.notes == (
        "kept kept 1, which satisfies everyone; this image brings 2",
        "replaced moved 1 by 2, which satisfies everyone",
        "override in use: moved>=2 (instead of moved>=9 of acme-guard)",
    )


def test_kubeflow_trainings_top_level_test_is_told(
    pod: Any, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    wheel = make_wheel(
        "kubeflow-training",
        "1.9.1",
        {"kubeflow/training/__init__.py": "", "test/__init__.py": "", "test/conftest.py": ""},
    )
    assert pod.install(make_bundle(dependencies=[wheel])).plan.warnings == (
        "kubeflow-training 1.9.1 puts 'test' in front of the standard library's",
    )
