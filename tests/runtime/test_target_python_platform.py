from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.runtime.target_python import NativeProblem, native_problems

if TYPE_CHECKING:
    MakeBundle = Callable[..., Path]
    MakeWheel = Callable[..., Path]
    Pod = Any

MACHINE = os.uname().machine
MINOR = sys.version_info.minor
OURS, OTHER = (62, 183) if MACHINE == "x86_64" else (183, 62)


def _elf(machine: int, module: str = "core") -> bytes:
    header = b"\x7fELF\x02\x01" + bytes(10) + struct.pack("<HH", 3, machine)
    return header + bytes(100) + f"PyInit_{module}\0".encode()


@pytest.fixture
def problems(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> Callable[..., list[NativeProblem]]:
    def find(minor: int = MINOR, **wheel: Any) -> list[NativeProblem]:
        dependency = make_wheel("native", **wheel)
        pod.install(make_bundle(dependencies=[dependency], manifest=False))
        return list(native_problems(pod.packages, ["native-1.0.dist-info"], minor=minor))

    return find


@pytest.mark.parametrize(
    "tag",
    [
        "py3-none-any",
        "py2.py3-none-any",
        f"cp3{MINOR}-cp3{MINOR}-linux_{MACHINE}",
        f"cp38-abi3-manylinux_2_17_{MACHINE}.manylinux2014_{MACHINE}",
    ],
)
def test_a_tag_that_fits_is_no_problem(
    problems: Callable[..., list[NativeProblem]], tag: str
) -> None:
    assert problems(tag=tag) == []


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        (f"cp3{MINOR + 1}-cp3{MINOR + 1}-linux_{MACHINE}", "Python ABI"),
        (f"cp3{MINOR}-cp3{MINOR}-linux_s390x", "architecture"),
        ("py3-none-win_amd64", "architecture"),
        (f"py3-none-manylinux_2_999_{MACHINE}", "C library"),
        (f"cp3{MINOR}-cp3{MINOR}-musllinux_1_2_{MACHINE}", "C library"),
    ],
)
def test_a_tag_that_does_not_fit_is_one(
    problems: Callable[..., list[NativeProblem]], tag: str, kind: str
) -> None:
    found = problems(tag=tag)
    assert [problem.kind for problem in found] == [kind]
    assert found[0].package == "native"


def test_the_python_that_will_import_it_counts(
    problems: Callable[..., list[NativeProblem]],
) -> None:
    assert problems(tag=f"cp399-cp399-linux_{MACHINE}", minor=99) == []


@pytest.mark.parametrize(
    ("files", "wrong"),
    [
        ({"n/core.so": OURS, "n.libs/libx-1.so.2": OURS}, None),
        ({"n/core.so": OTHER}, "n/core.so"),
        ({"n/attach.so": OTHER}, None),  # in a wheel for every machine, and no module: debugpy
        ({"n/a.so": OURS, "n/b.so": OTHER}, None),
        ({"n/a.so": OURS, "n/b.abi3.so": OTHER}, "n/b.abi3.so"),
        (
            {"n/a.so": OURS, f"n/b.cpython-3{MINOR}-{MACHINE}-linux-gnu.so": OTHER},
            f"n/b.cpython-3{MINOR}-{MACHINE}-linux-gnu.so",
        ),
        ({"n/a.so": OURS, "n/b.cpython-399-other-linux-gnu.so": OTHER}, None),
    ],
)
def test_headers_are_believed_more_than_tags(
    problems: Callable[..., list[NativeProblem]], files: dict[str, int], wrong: str | None
) -> None:
    found = problems(files={name: _elf(machine) for name, machine in files.items()})
    assert [problem.path for problem in found] == ([wrong] if wrong else [])


def test_what_is_for_one_machine_must_be_for_this_one(
    problems: Callable[..., list[NativeProblem]],
) -> None:
    files = {"n.libs/attach.so": _elf(OTHER)}
    (found,) = problems(files=files, tag=f"py3-none-linux_{MACHINE}")
    assert found.path == "n.libs/attach.so"


def test_a_distribution_that_is_gone_is_no_problem(tmp_path: Path) -> None:
    assert list(native_problems(tmp_path, ["gone-1.dist-info"])) == []


def test_a_wheel_for_every_machine_may_be_for_another_python(
    problems: Callable[..., list[NativeProblem]],
) -> None:
    (found,) = problems(tag="cp399-none-any")
    assert found.kind == "Python ABI"


@pytest.mark.parametrize("answer", [OSError(), ValueError(), None])
def test_a_c_library_that_does_not_tell_its_version_is_not_glibc(
    problems: Callable[..., list[NativeProblem]],
    monkeypatch: pytest.MonkeyPatch,
    answer: Exception | None,
) -> None:
    def confstr(_name: str) -> None:
        if answer is not None:
            raise answer

    monkeypatch.setattr(os, "confstr", confstr)
    (found,) = problems(tag=f"py3-none-manylinux_2_999_{MACHINE}")
    assert found.expected == f"musl on linux/{MACHINE}" or found.expected.startswith("musl on ")
