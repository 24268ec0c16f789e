from __future__ import annotations

from pathlib import Path

import pytest

from lls_provider.runtime.target_python import TargetPython
from lls_provider.wheels.interpreter import Interpreter, linux_platforms, target_tags

PYTHON = Interpreter(Path("/usr/bin/python3.12"), (3, 12, 1))


def tags(machine: str = "x86_64") -> list[str]:
    return [str(tag) for tag in target_tags(PYTHON, linux_platforms(machine))]


def test_the_newest_c_library_is_what_every_supported_base_has() -> None:
    platforms = linux_platforms("x86_64")
    assert platforms[0] == "manylinux_2_28_x86_64"
    assert not [it for it in platforms if "_2_29_" in it or "musl" in it]
    assert platforms[-1] == "linux_x86_64"


def test_an_older_policy_stands_beside_its_new_name() -> None:
    platforms = linux_platforms("x86_64")
    for new, old in (
        ("manylinux_2_17_x86_64", "manylinux2014_x86_64"),
        ("manylinux_2_12_x86_64", "manylinux2010_x86_64"),
        ("manylinux_2_5_x86_64", "manylinux1_x86_64"),
    ):
        assert platforms.index(old) == platforms.index(new) + 1


def test_the_older_policies_know_one_machine_only() -> None:
    assert linux_platforms("aarch64")[-3:] == (
        "manylinux_2_17_aarch64",
        "manylinux2014_aarch64",
        "linux_aarch64",
    )


@pytest.mark.parametrize(
    "tag",
    [
        "cp312-cp312-manylinux_2_28_x86_64",
        "cp312-abi3-manylinux2014_x86_64",
        "cp39-abi3-manylinux_2_17_x86_64",
        "py3-none-manylinux1_x86_64",
        "py312-none-any",
        "py3-none-any",
    ],
)
def test_wheels_that_the_target_can_use(tag: str) -> None:
    assert tag in tags()


@pytest.mark.parametrize(
    "tag",
    [
        "cp311-cp311-manylinux_2_17_x86_64",
        "cp313-abi3-manylinux_2_17_x86_64",
        "cp312-cp312-manylinux_2_34_x86_64",
        "cp312-cp312-musllinux_1_2_x86_64",
        "cp312-cp312-manylinux_2_28_aarch64",
        "cp312-cp312-macosx_11_0_arm64",
        "py2-none-any",
    ],
)
def test_wheels_that_it_cannot_use(tag: str) -> None:
    assert tag not in tags()


def test_what_is_compiled_for_it_is_preferred() -> None:
    order = tags()
    assert order.index("cp312-cp312-manylinux_2_28_x86_64") == 0
    assert order.index("cp312-abi3-manylinux_2_28_x86_64") < order.index("py3-none-any")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_installer_accepts_everything_that_is_chosen(machine: str) -> None:
    """Contract, decision 6: the build and the init container must not disagree."""
    target = TargetPython(PYTHON.minor[1], machine)
    refused = [
        str(tag)
        for tag in target_tags(PYTHON, linux_platforms(machine))
        if not (target.accepts_python(tag) and target.accepts_machine(tag))
    ]
    assert refused == []
