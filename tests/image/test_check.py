"""Checking images: the configuration, and the bundle inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.factories.providers import NO_SPECS

from lls_provider.bundle.bundle import Bundle
from lls_provider.bundle.checks import elf
from lls_provider.image.bundle_image import compose
from lls_provider.image.check import check_image, check_place
from lls_provider.image.image import Platform
from lls_provider.image.transports.layout import read_layout, write_layout

if TYPE_CHECKING:
    from lls_provider.bundle.checks.report import Report
    from lls_provider.image.image import Image
    from lls_provider.runtime.wheelfile.wheel import Wheel

MakeBundle = Callable[..., Bundle]
MakeLayout = Callable[..., Path]

AMD = Platform("amd64")


def rules(report: Report, level: str) -> list[str]:
    return [finding.rule for finding in report.findings if finding.level == level]


@pytest.fixture
def data_image(make_bundle: MakeBundle) -> Image:
    return compose(make_bundle(source=NO_SPECS))


def test_an_image_of_ours_keeps_every_rule(data_image: Image, tmp_path: Path) -> None:
    write_layout(data_image, tmp_path / "oci")
    report = check_place(f"oci:{tmp_path}/oci")
    assert (report.kind, report.target) == ("image", f"oci:{tmp_path}/oci")
    assert not report.errors
    assert not report.warnings
    assert rules(report, "ok")[:2] == ["image", "kind"]
    assert rules(report, "ok")[-1] == "labels"
    assert any("a data image" in finding.what for finding in report.findings)


def test_a_runnable_image_is_told_apart(make_bundle: MakeBundle, make_layout: MakeLayout) -> None:
    base = read_layout(make_layout([("usr/bin/python3", b"")]))
    findings = check_image(compose(make_bundle(source=NO_SPECS), base))
    assert not [finding for finding in findings if finding.level != "ok"]
    assert any("a runnable image" in finding.what for finding in findings)


def test_native_code_is_read_once(
    make_bundle: MakeBundle, make_layout: MakeLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = read_layout(make_layout([("usr/bin/python3", b"")]))
    image = compose(make_bundle(source=NO_SPECS), base)
    read: list[str] = []
    original = elf._read

    def counted(wheel: Wheel) -> list[elf.NativeFile]:
        read.append(wheel.filename)
        return original(wheel)

    monkeypatch.setattr(elf, "_read", counted)
    check_image(image)
    assert sorted(read) == ["acme_echo-1.0.0-py3-none-any.whl", "dep0-1.0.0-py3-none-any.whl"]


def test_wheels_for_another_machine_than_the_image_says_are_an_error(
    make_bundle: MakeBundle,
) -> None:
    tag = "py3-none-manylinux_2_28_aarch64"
    right = compose(make_bundle(source=NO_SPECS, machine="aarch64", tag=tag))
    assert not [finding for finding in check_image(right) if finding.level == "error"]
    (error,) = [it for it in check_image(replace(right, platform=AMD)) if it.level == "error"]
    assert (error.rule, error.what) == (
        "platform",
        f"The image says that it is for linux/amd64, but dep0-1.0.0-{tag}.whl is for linux/arm64",
    )


def test_a_damaged_layout_is_a_finding(data_image: Image, tmp_path: Path) -> None:
    write_layout(data_image, tmp_path / "oci")
    (tmp_path / "oci" / "index.json").write_text("{")
    report = check_place(f"oci:{tmp_path}/oci")
    assert rules(report, "error") == ["image"]


def test_an_image_of_something_else_is_a_finding(make_layout: MakeLayout) -> None:
    report = check_place(str(make_layout([("etc/passwd", b"")])))
    assert rules(report, "error") == ["image"]
    assert "Missing /lls-provider/lls-provider-spec.yaml" in report.errors[0].what


def test_files_are_named_by_their_path_in_the_image(make_layout: MakeLayout) -> None:
    report = check_place(str(make_layout([("lls-provider/lls-provider-spec.yaml", b"a: [")])))
    files = {finding.problem.where.file for finding in report.errors if finding.problem}
    assert files == {"/lls-provider/lls-provider-spec.yaml", "/lls-provider/packages"}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"Entrypoint": ["sh", "-c", "cp"], "User": "1001"}, ["kind"]),
        ({"Entrypoint": ["sh"]}, ["kind", "user"]),
        ({"Cmd": ["sh"], "User": "1001"}, ["kind"]),
        ({"Entrypoint": ["sh"], "User": "0:0"}, ["kind", "user"]),
        ({"Entrypoint": ["sh"], "User": "nobody"}, ["kind", "user"]),
    ],
)
def test_an_image_by_hand_is_warned_about(
    data_image: Image, config: Mapping[str, Any], expected: list[str]
) -> None:
    findings = check_image(replace(data_image, config={"config": config}))
    assert [finding.rule for finding in findings if finding.level == "warning"] == expected


def test_labels_that_speak_of_another_provider_are_an_error(data_image: Image) -> None:
    labels = {**data_image.labels, "io.llamastack.provider.api": "safety"}
    changed = replace(data_image, config={"config": {"Labels": labels}})
    errors = [finding for finding in check_image(changed) if finding.level == "error"]
    assert [finding.rule for finding in errors] == ["labels"]
    assert "'safety'" in errors[0].what
