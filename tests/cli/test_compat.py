"""`compat` as a user runs it, on bundles and layouts, which need no network."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lls_provider.bundle.assemble import assemble
from lls_provider.bundle.bundle import Bundle
from lls_provider.contract.models import BuildTarget, ProviderPackage
from lls_provider.image.compose import compose
from lls_provider.image.transports.layout import write_layout

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
MakeBundle = Callable[[str, str, str], Bundle]


def _wheel(folder: Path, name: str, version: str, *requires: str) -> Path:
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    members = {
        f"{module}/__init__.py": "",
        f"{module}/provider.py": "def get_provider_spec():\n    return []\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for path, text in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        lines.append(f"{path},sha256={digest.decode()},{len(text)}\n")
    members[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"])
    wheel = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in members.items():
            archive.writestr(path, text)
    return wheel


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """The bundle of a provider that needs, and brings, a version of ``dep``."""

    def make(name: str, bound: str, version: str) -> Bundle:
        folder = tmp_path / f"wheels-{name}"
        folder.mkdir()
        return assemble(
            tmp_path / name,
            metadata=ProviderPackage(
                name=name,
                version="1.0.0",
                vendor="Acme",
                description=None,
                maintainer=None,
                package_name=name.replace("-", "_"),
                provider_type=f"remote::{name}",
                api="inference",
                wheel_path="",
            ),
            own_wheel=_wheel(folder, name, "1.0", f"dep{bound}"),
            dependencies=[_wheel(folder, "dep", version)],
            target=BuildTarget("cp312", ("manylinux_2_28_x86_64",), "x86_64"),
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
