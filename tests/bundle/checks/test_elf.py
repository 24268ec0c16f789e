"""Native code against the target: machine, Python ABI and C library, from headers and names."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.native.elf import AARCH64, X86_64, elf

from lls_provider.bundle.checks.elf import (
    NativeFile,
    check_native,
    defined_glibc,
    glibc_version,
    native_error,
    native_files,
    needed_glibc,
)
from lls_provider.bundle.checks.report import Findings
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.target_python import TargetPython
from lls_provider.runtime.wheelfile.wheel import read_wheel
from lls_provider.wheels.interpreter import linux_platforms

MakeWheel = Callable[..., Path]

CP312 = ".cpython-312-x86_64-linux-gnu.so"
MANYLINUX = "cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64"


@pytest.fixture
def judged(make_wheel: MakeWheel) -> Callable[..., list[tuple[str, str]]]:
    """Level and text of each complaint about a wheel with these files."""

    def judge(
        files: Mapping[str, bytes], tag: str = MANYLINUX, machine: str = "x86_64"
    ) -> list[tuple[str, str]]:
        wheel = read_wheel(make_wheel("native", files=files, tag=tag))
        findings = Findings()
        target = TargetPython(12, machine)
        check_native([wheel], target, linux_platforms(machine), findings)
        for it in findings.found:
            assert it.problem is not None
            assert it.problem.resolution
            assert it.problem.where.file == str(wheel.path)
        return [(it.level, it.what) for it in findings.found]

    return judge


@pytest.mark.parametrize(
    ("needs", "tag", "level"),
    [
        ([], MANYLINUX, None),
        ([], "cp312-cp312-manylinux_2_39_x86_64", "warning"),
        ([], "cp312-cp312-manylinux_2_28_x86_64.manylinux_2_39_x86_64", None),
        (["GLIBC_2.2.5", "GLIBC_2.17"], MANYLINUX, None),
        (["GLIBC_2.27", "GLIBC_2.4"], MANYLINUX, "warning"),  # more than given, less than there is
        (["GLIBC_2.4", "GLIBC_2.34"], MANYLINUX, "error"),
        (["GLIBC_2.34"], "cp312-cp312-linux_x86_64", "warning"),  # compiled here
        (["GLIBC_2.28"], "cp312-cp312-linux_x86_64", None),
        (["GLIBC_2.34"], "py3-none-any", "warning"),
        (["GLIBC_PRIVATE", "GCC_3.0"], MANYLINUX, None),
    ],
)
def test_symbol_versions_against_tag_and_target(
    judged: Callable[..., list[tuple[str, str]]], needs: list[str], tag: str, level: str | None
) -> None:
    found = judged({f"native/_x{CP312}": elf(needs=needs)}, tag)
    assert [it[0] for it in found] == ([level] if level else [])
    if level == "error":
        (_, what), *_ = found
        assert f"native-1.0.0-{tag}.whl needs glibc 2.34: native/_x{CP312}" in what
        assert "its tag promises that glibc 2.17 is enough" in what


@pytest.mark.parametrize(
    ("name", "tag", "level"),
    [
        (f"_x{CP312}", MANYLINUX, None),
        ("_x.abi3.so", MANYLINUX, None),
        ("_x.so", MANYLINUX, None),
        ("libx.so.1", MANYLINUX, None),
        ("_x.cpython-311-x86_64-linux-gnu.so", MANYLINUX, "error"),
        ("_x.cpython-312t-x86_64-linux-gnu.so", MANYLINUX, "error"),
        ("_x.cpython-312-x86_64-linux-musl.so", MANYLINUX, "error"),
        ("_x.cpython-311-x86_64-linux-gnu.so", "py3-none-any", "warning"),
    ],
)
def test_the_names_of_modules_tell_their_python(
    judged: Callable[..., list[tuple[str, str]]], name: str, tag: str, level: str | None
) -> None:
    found = judged({f"native/{name}": elf()}, tag)
    assert [it[0] for it in found] == ([level] if level else [])
    if found:
        assert f"expected cp312 on linux/x86_64, found native/{name}" in found[0][1]


def test_a_module_for_several_pythons_is_for_ours_too(
    judged: Callable[..., list[tuple[str, str]]],
) -> None:
    other = "native/_x.cpython-311-x86_64-linux-gnu.so"
    assert judged({other: elf(), f"native/_x{CP312}": elf()}) == []


@pytest.mark.parametrize(
    ("exports", "tag", "level"),
    [
        (["PyInit_attach"], "py3-none-any", "error"),
        (["attach"], "py3-none-any", "warning"),  # as debugpy has it for one machine
        (["attach"], "py3-none-linux_aarch64", "error"),
    ],
)
def test_a_library_for_another_machine(
    judged: Callable[..., list[tuple[str, str]]], exports: list[str], tag: str, level: str
) -> None:
    files = {"native/attach.so": elf(X86_64, exports=exports)}
    ((found, what),) = judged(files, tag, machine="aarch64")
    assert found == level
    assert "holds code for linux/x86_64, not for linux/arm64: native/attach.so" in what


def test_only_what_is_for_the_machine_counts(
    judged: Callable[..., list[tuple[str, str]]],
) -> None:
    files = {
        "native/a.so": elf(X86_64, needs=["GLIBC_2.17"]),
        "native/b.so": elf(AARCH64, needs=["GLIBC_2.38"]),
    }
    assert judged(files) == []


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("manylinux_2_28_x86_64", (2, 28)),
        ("manylinux2014_x86_64", (2, 17)),
        ("manylinux1_x86_64", (2, 5)),
        ("manylinux_2_28_aarch64", None),
        ("musllinux_1_2_x86_64", None),
        ("linux_x86_64", None),
        ("any", None),
    ],
)
def test_what_a_tag_promises(tag: str, expected: tuple[int, int] | None) -> None:
    assert glibc_version(tag, "x86_64") == expected


def test_a_real_c_library_tells_its_version() -> None:
    told = os.confstr("CS_GNU_LIBC_VERSION")  # such as "glibc 2.36"
    path = next((it for it in map(Path, _libraries()) if it.name.startswith("libc.so")), None)
    if told is None or path is None:
        pytest.skip("this machine's C library is not glibc")
    with path.open("rb") as stream:
        found = defined_glibc(stream)
        assert needed_glibc(stream) is not None  # of its own loader
    assert found is not None
    assert told == f"glibc {found[0]}.{found[1]}"


def _libraries() -> list[str]:
    """The files that are mapped into this process."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return [line.split(maxsplit=5)[5] for line in lines if len(line.split(maxsplit=5)) > 5]


@pytest.mark.parametrize("cut", [4, 20, 63, 64, 100, 200, 300, 400])
def test_damaged_files_tell_nothing_and_raise_nothing(cut: int) -> None:
    whole = elf(needs=["GLIBC_2.34"], has=["GLIBC_2.1"])
    assert needed_glibc(io.BytesIO(whole)) == (2, 34)
    assert defined_glibc(io.BytesIO(whole)) == (2, 1)
    for data in (whole[:cut], whole[:cut] + b"\xff" * (len(whole) - cut)):
        for read in (needed_glibc, defined_glibc):
            assert read(io.BytesIO(data)) in (None, (2, 34), (2, 1))


def test_what_was_read_once_is_remembered_by_hash(
    make_wheel: MakeWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    files = {"native/_x.so": elf(needs=["GLIBC_2.17"], exports=["PyInit__x"])}
    wheel = read_wheel(make_wheel("native", files=files, tag=MANYLINUX))
    expected = (NativeFile("native/_x.so", "x86_64", (2, 17), True),)
    assert native_files(wheel, "0" * 64) == expected
    wheel.path.unlink()
    assert native_files(wheel, "0" * 64) == expected
    (kept,) = (tmp_path / "cache" / "native").iterdir()
    kept.write_text("{")
    assert native_files(wheel, "0" * 64) == ()  # read again, and there is nothing


def test_errors_are_raised_together(judged: object) -> None:
    findings = Findings()
    native_error(findings, "It would not work")
    findings.warning("target", Code.WHEEL_INCOMPATIBLE, "w", resolution="r")
    native_error(findings, "It would not work")
    for what in ("one", "two"):
        findings.error("target", Code.WHEEL_INCOMPATIBLE, what, resolution="Do it.")
    with pytest.raises(SdkError, match="It would not work") as caught:
        native_error(findings, "It would not work")
    assert [it.what for it in caught.value.problems] == ["one", "two"]
    assert caught.value.resolution == "Do it."
