"""Bundling providers that are published: what to ask, what to choose, real ones from PyPI."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement
from tests.factories.providers import NO_SPECS
from tests.recorder import Recorder

from lls_provider.bundle.assemble import on_this_machine, own_wheel
from lls_provider.bundle.bundle import BundleOptions
from lls_provider.bundle.checks.bundle import check_bundle
from lls_provider.bundle.published import SpecFlags, bundle_published, exact_requirement
from lls_provider.bundle.trial import Trial
from lls_provider.errors import Code, ExitStatus, SdkError

if TYPE_CHECKING:
    from lls_provider.bundle.bundle import Bundle


@pytest.mark.parametrize("text", ["acme==1.0", "acme[extra,more]==1.0rc1", "acme===1.0+local"])
def test_one_version_is_exact(text: str) -> None:
    assert exact_requirement(text).name == "acme"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme",
        "acme>=1",
        "acme==1.*",
        "acme==1,!=2",
        "acme @ https://example.com/acme.whl",
        "acme==1; python_version > '3'",
        "../acme",
    ],
)
def test_anything_looser_is_a_usage_error(text: str) -> None:
    with pytest.raises(SdkError) as caught:
        exact_requirement(text)
    assert caught.value.status is ExitStatus.USAGE
    assert "NAME==VERSION" in caught.value.what


def test_the_own_wheel_is_found_by_its_name() -> None:
    wheels = [Path("dep-1.0-py3-none-any.whl"), Path("My_Name-1.0-py3-none-any.whl")]
    assert own_wheel(wheels, Requirement("my.name==1.0")) == wheels[1]
    with pytest.raises(SdkError, match="already provides"):
        own_wheel(wheels, Requirement("llama-stack==0.7.3"))


@pytest.mark.network
@pytest.mark.parametrize(
    ("package", "api", "provider_type", "vendor", "wheels"),
    [
        (
            "llama-stack-provider-trustyai-fms==0.4.0",
            "safety",
            "remote::trustyai_fms",
            "TrustyAI Developers",
            range(20, 35),
        ),
        (
            "llama-stack-provider-lmeval==0.5.0",
            "eval",
            "remote::trustyai_lmeval",
            "llama-stack-provider-lmeval",
            range(25, 40),
        ),
    ],
)
def test_a_real_provider_is_bundled_without_its_server(
    tmp_path: Path, package: str, api: str, provider_type: str, vendor: str, wheels: range
) -> None:
    recorder = Recorder()
    (bundle,) = bundle_published(
        package,
        on_this_machine(tmp_path / "out"),
        BundleOptions(["llama-stack==0.7.3"]),
        progress=recorder,
    )
    metadata = bundle.metadata
    assert (metadata.api, metadata.provider_type, metadata.vendor) == (api, provider_type, vendor)
    assert len(bundle.wheels) in wheels
    assert not [wheel for wheel in bundle.wheels if wheel.name.startswith("llama_stack-")]
    assert bundle.manifest is not None
    assert bundle.manifest.distributions == ("llama-stack==0.7.3",)
    assert "pydantic" in bundle.manifest.provided
    assert not check_bundle(bundle.root, label="x").errors
    assert recorder.warnings == []


@pytest.mark.network
def test_without_a_distribution_everything_is_bundled_and_the_spec_is_read(
    tmp_path: Path,
) -> None:
    (bundle,) = bundle_published(
        "llama-stack-provider-trustyai-fms==0.4.0",
        on_this_machine(tmp_path / "out"),
        vendor="Mine",
    )
    assert len(bundle.wheels) > 50
    assert bundle.metadata.provider_type == "remote::trustyai_fms"
    assert bundle.metadata.vendor == "Mine"
    assert bundle.manifest is not None
    assert bundle.manifest.provided == {}
    assert not check_bundle(bundle.root, label="x").errors


@pytest.mark.network
def test_a_provider_that_loads_nowhere_is_bundled_with_warnings(tmp_path: Path) -> None:
    recorder = Recorder()
    (bundle,) = bundle_published(
        "llama-stack-provider-kft==0.1.0",
        on_this_machine(tmp_path / "out"),
        BundleOptions(["llama-stack==0.7.3"]),
        progress=recorder,
    )
    assert bundle.metadata.provider_type == "remote::instructlab_kft"
    assert bundle.metadata.package_name == "llama_stack_provider_kft"
    assert "llama_stack.providers.datatypes" in recorder.warnings[0]
    assert "'kft_adapter'" in recorder.warnings[1]
    warnings = {finding.rule for finding in check_bundle(bundle.root, label="x").warnings}
    assert warnings == {"metadata", "spec-module", "shadowing"}


@pytest.mark.network
def test_a_module_that_the_package_does_not_have_is_told_with_those_it_has(
    tmp_path: Path,
) -> None:
    with pytest.raises(SdkError) as caught:
        bundle_published(
            "llama-stack-provider-kft==0.1.0",
            on_this_machine(tmp_path / "out"),
            flags=SpecFlags(module="kft_adapter"),
        )
    assert caught.value.code is Code.MODULE_MISSING
    assert "llama_stack_provider_kft.provider" in caught.value.why
    assert list(tmp_path.iterdir()) == []


@pytest.mark.network
def test_a_provider_that_loads_nowhere_is_refused_by_a_trial_unless_a_reason_is_given(
    tmp_path: Path,
) -> None:
    def made(trial: Trial) -> Bundle:
        (bundle,) = bundle_published(
            "llama-stack-provider-kft==0.1.0",
            on_this_machine(tmp_path / "out"),
            BundleOptions(["profile:llama-stack-0.7.3"], trial=trial),
        )
        return bundle

    with pytest.raises(SdkError, match="does not load beside profile:llama-stack") as caught:
        made(Trial())
    assert caught.value.why.startswith("No module named 'llama_stack.providers.datatypes'")
    assert "has llama_stack without that module" in caught.value.resolution
    assert list(tmp_path.iterdir()) == []
    bundle = made(Trial("for the server of next month"))
    assert bundle.manifest is not None
    assert bundle.manifest.not_loaded == "for the server of next month"


@pytest.mark.network
def test_the_schema_of_a_real_provider_is_stored(tmp_path: Path) -> None:
    (bundle,) = bundle_published(
        "llama-stack-provider-lmeval==0.5.0",
        on_this_machine(tmp_path / "out"),
        BundleOptions(["profile:llama-stack-0.7.3"], trial=Trial()),
    )
    schema = json.loads(bundle.tree.config_schema.read_text())
    assert "use_k8s" in schema["properties"]
    assert not check_bundle(bundle.root, label="x").errors


def test_names_to_bundle_that_change_nothing_are_told(
    server: Any, offer: Any, make_wheel: Any, tmp_path: Path
) -> None:
    offer(make_wheel("acme", files={"acme/__init__.py": "", "acme/provider.py": NO_SPECS}))
    recorder = Recorder()
    bundle_published(
        "acme==1.0.0",
        on_this_machine(tmp_path / "out"),
        BundleOptions([replace(server, pins={"idle": "1"})], bundle=("Idle", "wrong")),
        flags=SpecFlags("acme", "inference", "remote::acme"),
        progress=recorder,
    )
    assert recorder.warnings == [
        "--bundle idle changes nothing: the provider does not need idle",
        "--bundle wrong changes nothing: no distribution provides wrong",
    ]
