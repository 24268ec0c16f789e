"""`compat` as a user runs it, on bundles and layouts, which need no network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.factories.providers import NO_SPECS, build_target, provider_package
from tests.factories.wheels import module_of, write_wheel

from lls_provider.bundle.assemble import assemble
from lls_provider.bundle.bundle import Bundle
from lls_provider.image.bundle_image import compose
from lls_provider.image.transports.layout import write_layout

pytestmark = pytest.mark.slow

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
MakeBundle = Callable[[str, str, str], Bundle]


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """The bundle of a provider that needs, and brings, a version of ``dep``."""

    def make(name: str, bound: str, version: str) -> Bundle:
        folder = tmp_path / f"wheels-{name}"
        files = {f"{module_of(name)}/provider.py": NO_SPECS}
        return assemble(
            tmp_path / name,
            metadata=provider_package(name),
            own_wheel=write_wheel(folder, name, "1.0", files, requires=[f"dep{bound}"]),
            dependencies=[write_wheel(folder, "dep", version)],
            target=build_target(),
            provided={},
        )

    return make


def test_a_bundle_and_a_layout_that_live_together(
    cli: Cli, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    echo = make_bundle("acme-echo", ">=1", "1.0")
    write_layout(compose(make_bundle("acme-guard", ">=2", "2.0")), tmp_path / "layout")
    done = cli("compat", echo.root, f"oci:{tmp_path / 'layout'}")
    assert done.returncode == 0, done.stderr
    assert "acme-guard  dep         2.0      replaces 1.0\n" in done.stdout
    assert done.stdout.endswith("\nThey live together.\n")


def test_a_conflict_exits_1_in_text_and_json(cli: Cli, make_bundle: MakeBundle) -> None:
    echo = make_bundle("acme-echo", "<2", "1.0")
    guard = make_bundle("acme-guard", ">=2", "2.0")
    done = cli("compat", echo.root, guard.root)
    assert done.returncode == 1
    assert (
        "\nERROR: Cannot install provider 'acme-guard' due to dependency conflict\n" in done.stdout
    )
    assert done.stderr == ""
    done = cli("compat", echo.root, guard.root, "--format", "json")
    assert done.returncode == 1
    (conflict,) = json.loads(done.stdout)["targets"][1]["conflicts"]
    assert (conflict["package"], conflict["installed"], conflict["new"]) == ("dep", "1.0", "2.0")
    assert [it["wanted"] for it in conflict["demands"]] == ["dep<2", "dep>=2"]


def test_beside_the_packages_of_an_environment(cli: Cli, make_bundle: MakeBundle) -> None:
    echo = make_bundle("acme-echo", "<2", "1.0")
    python = f"python:{sys.executable}"
    done = cli("compat", echo.root, "--distribution", python, "--format", "json")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["distribution"] == python


@pytest.mark.network
def test_a_project_is_built_for_the_distribution_that_is_named(
    cli: Cli, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    project = tmp_path / "acme-says"
    assert cli("new", project, "--no-input").returncode == 0
    echo = make_bundle("acme-echo", ">=1", "1.0")
    done = cli("compat", project, echo.root, "--distribution", "ogx==1.5.0", "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["distribution"] == "ogx==1.5.0"
    assert [target["provider_id"] for target in document["targets"]] == ["acme-says", "acme-echo"]


def test_a_wrong_name_is_told_before_any_work(cli: Cli, tmp_path: Path) -> None:
    done = cli("compat", tmp_path / "nowhere")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"ERROR: There is no directory {tmp_path / 'nowhere'}")
