"""What a base offers, read from its layers: its Python and its C library."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.native.elf import elf

from lls_provider.bundle.bundle import Bundle
from lls_provider.bundle.checks.elf import NativeFile
from lls_provider.bundle.checks.report import Findings
from lls_provider.errors import Code, SdkError
from lls_provider.image.bundle_image import compose
from lls_provider.image.check import check_image
from lls_provider.image.inspect.pythons import BaseFacts, base_facts, check_base_image, require_fit
from lls_provider.image.transports.layout import read_layout

MakeLayout = Callable[..., Path]
MakeBundle = Callable[..., Bundle]
Members = list[tuple[tarfile.TarInfo | str, bytes]]


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info, b""


LIBC = ("usr/lib/x86_64-linux-gnu/libc.so.6", elf(has=["GLIBC_2.2.5", "GLIBC_2.36", "GLIBC_2.4"]))


@pytest.mark.parametrize(
    ("members", "config", "expected"),
    [
        (
            [
                link("bin", "usr/bin"),
                link("usr/bin/python3", "python3.11"),
                ("usr/bin/python3.11", b"x"),
                LIBC,
            ],
            {},
            BaseFacts("/usr/bin/python3", 11, "2.36"),
        ),
        (
            [
                link("usr/bin/python3", "/etc/alternatives/python3"),
                link("etc/alternatives/python3", "/usr/bin/python3.9"),
                ("usr/bin/python3.9", b"x"),
                ("lib64/libc-2.28.so", elf(has=["GLIBC_2.28"])),
                link("lib64/libc.so.6", "libc-2.28.so"),
            ],
            {},
            BaseFacts("/usr/bin/python3", 9, "2.28"),
        ),
        (
            [("opt/app/bin/python3", b"x"), ("lib/ld-musl-x86_64.so.1", b"x")],
            {"Env": ["PATH=/opt/app/bin:/usr/bin"]},
            BaseFacts("/opt/app/bin/python3", None, "musl"),
        ),
        ([("opt/app/bin/python3", b"x")], {}, BaseFacts("", None, "")),
        ([link("usr/bin/python3", "python3.12")], {}, BaseFacts("", None, "")),
        ([("lib/libc.so.6", b"no library")], {}, BaseFacts("", None, "")),
    ],
)
def test_layers_tell(
    make_layout: MakeLayout, members: Members, config: dict[str, object], expected: BaseFacts
) -> None:
    assert base_facts(read_layout(make_layout(members, config=config))) == expected


def test_a_later_layer_counts(make_layout: MakeLayout) -> None:
    lower: Members = [link("usr/bin/python3", "python3.9"), ("usr/bin/python3.9", b"")]
    upper: Members = [link("usr/bin/python3", "python3.13"), ("usr/bin/python3.13", b"")]
    layout = make_layout(lower, upper, compress="gzip")
    assert base_facts(read_layout(layout)).minor == 13


def test_a_base_is_looked_into_once(
    make_layout: MakeLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    base = read_layout(make_layout([("usr/bin/python3", b"x")]))
    found = base_facts(base)
    assert base_facts(replace(base, layers=())) == found
    (kept,) = (tmp_path / "cache" / "bases").iterdir()
    kept.write_text("{")
    assert base_facts(replace(base, layers=())).python == ""  # read again


GOOD = BaseFacts("/usr/bin/python3", 12, "2.36")
NATIVE = {"a.whl": (NativeFile("a/x.so", "x86_64", (2, 37), True),)}


@pytest.mark.parametrize(
    ("facts", "levels", "told"),
    [
        (GOOD, ["error"], "a.whl needs glibc 2.37, the base has glibc 2.36: a/x.so"),
        (replace(GOOD, libc="2.37"), ["ok"], "Python 3.12 (/usr/bin/python3) and glibc 2.37"),
        (replace(GOOD, libc=""), ["ok"], "an unknown C library"),
        (replace(GOOD, libc="musl"), ["warning", "ok"], "The base has musl"),
        (replace(GOOD, libc="2.37", minor=10), ["error"], "expected 3.11 or later"),
        (replace(GOOD, libc="2.37", minor=None), ["ok"], "a Python"),
        (BaseFacts("", None, "2.37"), ["error"], "no python3 on its PATH"),
    ],
)
def test_what_is_said_of_a_base(facts: BaseFacts, levels: Sequence[str], told: str) -> None:
    findings = Findings()
    check_base_image(facts, NATIVE, "x86_64", findings)
    assert [it.level for it in findings.found] == list(levels)
    assert told in findings.found[0].what
    assert all(it.problem.resolution for it in findings.found if it.problem)


def test_code_for_other_machines_needs_nothing_of_the_base() -> None:
    findings = Findings()
    check_base_image(GOOD, NATIVE, "aarch64", findings)
    assert [it.level for it in findings.found] == ["ok"]


def test_a_build_refuses_a_base_that_cannot_run_the_installer(
    make_bundle: MakeBundle, make_layout: MakeLayout
) -> None:
    bundle = make_bundle()
    require_fit(bundle, None)
    require_fit(bundle, read_layout(make_layout([("usr/bin/python3", b"")], name="good")))
    old: Members = [link("usr/bin/python3", "python3.9"), ("usr/bin/python3.9", b"")]
    base = read_layout(make_layout(old, name="old"))
    with pytest.raises(SdkError, match="acme-echo would not work") as caught:
        require_fit(bundle, base, base_name="oci:old")
    assert caught.value.code is Code.IMAGE_INVALID
    (problem,) = caught.value.problems
    assert "Python 3.9 (/usr/bin/python3)" in problem.what
    assert problem.where.image == "oci:old"
    assert "python:3.12" in problem.resolution
    errors = [it for it in check_image(compose(bundle, base)) if it.level == "error"]
    assert "base" in {it.rule for it in errors}
