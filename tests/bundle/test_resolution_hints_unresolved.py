"""What a user of --package is reported when the package does not exist as it was requested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from packaging.requirements import Requirement

from lls_provider.bundle.resolution_hints import required_server
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.wheelfile.wheel import read_wheel


@pytest.fixture
def resolution(gathered: Any) -> Callable[..., str]:
    def make(requirement: str, *servers: dict[str, str]) -> str:
        with pytest.raises(SdkError) as caught:
            gathered(requirement, *servers)
        assert caught.value.code is Code.RESOLUTION_FAILED
        return caught.value.resolution

    return make


BESIDE = pytest.mark.parametrize("servers", [(), ({"shared": "1.0"},)], ids=["alone", "beside"])


@BESIDE
def test_a_name_that_no_index_has(
    offer: Any, make_wheel: Any, resolution: Any, servers: Any
) -> None:
    offer(make_wheel("demo"))
    told = resolution("demo-of-nobody==1", *servers)
    assert told.startswith("Correct the name after --package")


@BESIDE
def test_a_version_that_there_is_not(
    offer: Any, make_wheel: Any, resolution: Any, servers: Any
) -> None:
    offer(make_wheel("demo", "1.0"), make_wheel("demo", "1.2"))
    for asked in ("demo==99", "Demo[extra]==1.1"):
        assert resolution(asked, *servers) == (
            "Correct the version after --package; the newest for this Python is demo==1.2."
        )


@BESIDE
def test_another_python(offer: Any, make_wheel: Any, resolution: Any, servers: Any) -> None:
    offer(make_wheel("demo", "1.0", fields=["Requires-Python: >=3.99"]))
    told = resolution("demo==1.0", *servers)
    assert told.startswith("Name a Python that it supports (Python >=3.99) with --python")


def test_a_dependency_that_no_index_has_is_not_taken_for_the_package(
    offer: Any, make_wheel: Any, resolution: Any
) -> None:
    offer(make_wheel("demo", "1.0", requires=["demo-core"]))
    told = resolution("demo==1.0")
    assert told.startswith("Name another version of demo after --package")
    assert told.endswith(
        "for demo-core, name the index or directory that has it with --index or --find-links."
    )


@pytest.mark.parametrize(
    ("why", "asked"),
    [
        ("Because a>=0.6.3 depends on llama-stack==0.6.0 and", "llama-stack==0.6.0"),
        ("a depends on llama-stack-api>=0.6.0,<0.7.0 and", "llama-stack>=0.6.0,<0.7.0"),
        ("a depends on ogx-api~=1.4, we can", "ogx~=1.4"),
        ("a depends on llama-stack-client<1 and", None),
        ("a depends on llama-stack and", None),
        ("a depends on rich<2 and", None),
    ],
)
def test_the_server_is_read_off_the_explanation(why: str, asked: str | None) -> None:
    wanted: list[str] = []

    def newest(requirement: str) -> str | None:
        wanted.append(requirement)
        return "7"

    error = SdkError(Code.RESOLUTION_FAILED, "", why=why, resolution="")
    found = required_server(error, newest)
    assert found == (asked and f"{Requirement(asked).name}==7")
    assert [Requirement(it) for it in wanted] == ([Requirement(asked)] if asked else [])


@BESIDE
def test_a_project_with_a_dependency_that_no_index_has_is_told_the_name(
    offer: Any, make_wheel: Any, gathered: Any, servers: Any
) -> None:
    own = make_wheel("demo", requires=["misspelt"])
    offer(make_wheel("other"))
    with pytest.raises(SdkError) as caught:
        gathered(f"demo @ {own.as_uri()}", *servers, own=read_wheel(own))
    assert caught.value.resolution == (
        "Correct the name misspelt in the provider's dependencies, or name the index or "
        "directory "
        "that has it with --index or --find-links."
    )
