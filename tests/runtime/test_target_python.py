from __future__ import annotations

import os
import sys

import pytest
from packaging.specifiers import SpecifierSet
from packaging.tags import parse_tag

from lls_provider.runtime.target_python import (
    TargetPython,
    machine_of,
    parse_python_tag,
    shown_platform,
    target_python,
)

TARGET = TargetPython(12, "x86_64")


@pytest.mark.parametrize(
    ("tag", "python", "machine"),
    [
        ("py3-none-any", True, True),
        ("py2.py3-none-any", True, True),
        ("py312-none-any", True, True),
        ("py313-none-any", False, True),
        ("cp312-cp312-manylinux_2_28_x86_64", True, True),
        ("cp312-cp312-manylinux2014_x86_64", True, True),
        ("cp312-cp312-musllinux_1_2_x86_64", True, True),
        ("cp312-cp312-linux_x86_64", True, True),
        ("cp311-cp311-manylinux_2_28_x86_64", False, True),
        ("cp39-abi3-manylinux_2_28_x86_64", True, True),
        ("cp313-abi3-manylinux_2_28_x86_64", False, True),
        ("cp312-none-any", True, True),
        ("cp312-cp312t-manylinux_2_28_x86_64", False, True),
        ("py3-none-manylinux_2_28_aarch64", True, False),
        ("cp312-cp312-macosx_11_0_arm64", True, False),
        ("cp312-cp312-win_amd64", True, False),
        ("pp310-pypy310_pp73-manylinux_2_28_x86_64", False, True),
        ("py2-none-any", False, True),
    ],
)
def test_a_wheel_tag_fits_or_not(tag: str, python: bool, machine: bool) -> None:
    tags = parse_tag(tag)
    assert any(TARGET.accepts_python(found) for found in tags) is python
    assert any(TARGET.accepts_machine(found) for found in tags) is machine


@pytest.mark.parametrize(
    ("platforms", "tag", "expected"),
    [
        (("manylinux_2_28_x86_64", "linux_x86_64"), "musllinux_1_2_x86_64", "glibc"),
        (("musllinux_1_2_x86_64",), "manylinux_2_28_x86_64", "musl"),
        (("manylinux_2_28_x86_64",), "manylinux_2_39_x86_64", None),
        (("manylinux_2_28_x86_64",), "manylinux2014_x86_64", None),
        (("manylinux_2_28_x86_64",), "linux_x86_64", None),
        (("manylinux_2_28_x86_64",), "manylinux_2_17_x86_64.musllinux_1_1_x86_64", None),
        (("linux_x86_64",), "musllinux_1_2_x86_64", None),
        ((), "musllinux_1_2_x86_64", None),
    ],
)
def test_the_platforms_that_wheels_were_chosen_by_tell_the_c_library(
    platforms: tuple[str, ...], tag: str, expected: str | None
) -> None:
    target = TargetPython(12, "x86_64", platforms)
    found = target.mismatch(parse_tag(f"cp312-cp312-{tag}"), SpecifierSet())
    assert (found and (found.kind, found.expected)) == (expected and ("C library", expected))


def test_markers_are_those_of_the_target_and_not_of_this_python() -> None:
    markers = TargetPython(99, "aarch64").markers()
    assert markers["python_version"] == "3.99"
    assert markers["python_full_version"] == "3.99.0"
    assert markers["platform_machine"] == "aarch64"
    assert markers["sys_platform"] == "linux"


def test_a_target_does_not_tell_its_patch_release() -> None:
    first, last = TargetPython(12, "x86_64").environments()
    assert first["python_full_version"] == first["implementation_version"] == "3.12.0"
    assert last["python_full_version"] == last["implementation_version"] == "3.12.999"
    assert {key for key in first if first[key] != last[key]} == {
        "python_full_version",
        "implementation_version",
    }


def test_the_flag_comes_before_the_manifest_and_that_before_this_python() -> None:
    assert target_python("cp313", manifest_tag="cp312").tag == "cp313"
    assert target_python(None, manifest_tag="cp312", manifest_machine="s390x").machine == "s390x"
    assert target_python().minor == sys.version_info.minor
    assert target_python().machine == os.uname().machine


@pytest.mark.parametrize("text", ["312", "cp27", "py312", "cp312t", "cp3", ""])
def test_what_is_no_cpython_tag_is_none(text: str) -> None:
    assert parse_python_tag(text) is None


def test_platforms_are_shown_as_the_contract_names_them() -> None:
    assert shown_platform("aarch64") == "linux/arm64"
    assert shown_platform("x86_64") == "linux/x86_64"
    assert shown_platform("macosx_11_0_arm64") == "darwin/arm64"
    assert shown_platform("macosx_10_9_universal2") == "darwin/universal2"
    assert shown_platform("win_amd64") == "windows/x86_64"
    assert shown_platform("win32") == "windows/x86"
    assert machine_of("any") is None
    assert machine_of("win_amd64") == "win_amd64"
