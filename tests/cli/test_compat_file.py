"""`compat` with a provider file: real images in a real registry, judged beside its server's."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.factories.images import tar_bytes, write_image
from tests.factories.providers import NO_SPECS, build_target, provider_package
from tests.factories.wheels import module_of, write_wheel

import lls_provider
from lls_provider.bundle.assemble import assemble
from lls_provider.image.bundle_image import compose

pytestmark = [pytest.mark.engine, pytest.mark.slow]

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
WriteFile = Callable[..., Path]
PushProvider = Callable[..., str]

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@pytest.fixture
def push_provider(registry: str, tmp_path: Path) -> PushProvider:
    """Push the image of a provider that needs, and brings, a version of ``dep``."""

    def push(name: str, api: str, bound: str, version: str) -> str:
        folder = tmp_path / f"wheels-{name}"
        files = {f"{module_of(name)}/provider.py": NO_SPECS}
        bundle = assemble(
            tmp_path / name,
            metadata=provider_package(name, api=api),
            own_wheel=write_wheel(folder, name, "1.0", files, requires=[f"dep{bound}"]),
            dependencies=[write_wheel(folder, "dep", version)],
            target=build_target(os.uname().machine),
            provided={},
        )
        reference = f"{registry}/{tmp_path.name.lower()}/{name}:1"
        lls_provider.push(compose(bundle), f"docker://{reference}")
        return reference

    return push


def _server(registry: str, tmp_path: Path, **pins: str) -> str:
    """Push an image that has these packages; returns its reference."""
    folder = "opt/venv/lib/python3.12/site-packages"
    members = [
        (
            f"{folder}/{name}-{version}.dist-info/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\n".encode(),
        )
        for name, version in pins.items()
    ]
    config = {"architecture": _ARCHITECTURES[os.uname().machine], "config": {}}
    layout = write_image(tmp_path / "server", [tar_bytes(members)], config)
    reference = f"{registry}/{tmp_path.name.lower()}/server:1"
    lls_provider.push(f"oci:{layout}", f"docker://{reference}")
    return reference


def _targets(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return list(json.loads(done.stdout)["targets"])


def test_a_conflict_is_refused_in_the_order_of_the_pod_with_the_files_line(
    cli: Cli, push_provider: PushProvider, write_file: WriteFile
) -> None:
    guard = {"id": "guard", "image": push_provider("acme-guard", "safety", ">=2", "2.0")}
    echo = {"id": "echo", "image": push_provider("acme-echo", "inference", "<2", "1.0")}
    path = write_file(guard, echo)
    done = cli("compat", path, "--format", "json")
    assert done.returncode == 1, done.stderr
    first, second = _targets(done)  # inference comes before safety, whatever the file's order
    assert (first["provider_id"], first["target"], first["ok"]) == ("echo", echo["image"], True)
    assert second["provider_id"] == "guard"
    where = second["error"]["where"]
    assert (where["file"], where["line"]) == (str(path), 4)
    assert (where["provider"], where["image"]) == ("guard", guard["image"])
    text = cli("compat", path)
    assert text.returncode == 1
    assert "ERROR: Cannot install provider 'guard' due to dependency conflict" in text.stdout
    assert "They do not live together: refused guard." in text.stdout
    assert lls_provider.compat(path).status == 1


def test_the_servers_image_is_the_distribution_unless_another_is_named(
    cli: Cli,
    registry: str,
    push_provider: PushProvider,
    write_file: WriteFile,
    tmp_path: Path,
) -> None:
    image = _server(registry, tmp_path, llama_stack="0.7.3", dep="1.0")
    path = write_file(
        {"id": "echo", "image": push_provider("acme-echo", "inference", ">=2", "2.0")},
        server={"image": image},
    )
    done = cli("compat", path, "--format", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["distribution"] == f"docker://{image}"
    pins = tmp_path / "pins.txt"
    pins.write_text("dep==1.0\n")
    done = cli("compat", path, "--distribution", pins, "--format", "json")
    assert json.loads(done.stdout)["distribution"] == str(pins), done.stderr


def test_a_missing_image_is_told_with_its_place_in_the_file(
    cli: Cli, registry: str, push_provider: PushProvider, write_file: WriteFile
) -> None:
    missing = f"{registry}/acme/absent:1"
    path = write_file(
        {"id": "echo", "image": push_provider("acme-echo", "inference", "<2", "1.0")},
        {"id": "absent", "image": missing},
    )
    done = cli("compat", path)
    assert done.returncode == 1
    assert f"Provider: absent\nImage: {missing}\nFile: {path}:6:" in done.stderr
    path = write_file({"id": "echo", "image": "x/y:1"}, server={"image": missing})
    done = cli("compat", path)
    assert done.returncode == 1
    assert f"File: {path}:4:" in done.stderr


def test_a_provider_file_is_the_only_target(cli: Cli, write_file: WriteFile) -> None:
    path = write_file({"id": "echo", "image": "x/y:1"})
    done = cli("compat", path, "oci:elsewhere")
    assert done.returncode == 2
    assert f"{path} is a provider file, and not the only target" in done.stderr
    done = cli("compat", "nowhere.yaml")
    assert done.returncode == 1
    assert "nowhere.yaml" in done.stderr
