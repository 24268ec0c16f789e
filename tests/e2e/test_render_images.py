"""Rendering with real images in a real registry: sizes, digests, and what cannot be rendered."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.test_bad_images import told

from lls_provider.contract.document import dump
from lls_provider.contract.names import API_VERSION

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Engine = Callable[[str], str]
SAMPLES = Path(__file__).parents[2] / "samples"

pytestmark = [pytest.mark.network, pytest.mark.engine, pytest.mark.xdist_group("render-images")]


@pytest.fixture(scope="module")
def base(engine: Engine, registry: str, python_base: Path) -> str:
    """An image without anything of ours, in the registry; it stands for a distribution."""
    name = f"{registry}/render/base:1"
    command = [engine("skopeo"), "copy", "--quiet", "--dest-tls-verify=false"]
    subprocess.run([*command, f"oci:{python_base}", f"docker://{name}"], check=True)
    return name


@pytest.fixture(scope="module")
def echo(cli: Cli, registry: str, base: str) -> str:
    """A provider image, tagged."""
    name = f"{registry}/render/echo:1"
    done = cli(
        "build", SAMPLES / "echo-inference", "--base", f"docker://{base}", "--output",
        f"docker://{name}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return name


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Write a provider file."""

    def write(server: Mapping[str, Any], *providers: Mapping[str, Any]) -> Path:
        path = tmp_path / "providers.yaml"
        document = {
            "apiVersion": API_VERSION,
            "kind": "ProviderFile",
            "server": dict(server),
            "providers": [dict(provider) for provider in providers],
        }
        path.write_text(dump(document), "utf-8")
        return path

    return write


def _pod(text: str) -> dict[str, Any]:
    pod: dict[str, Any] = list(yaml.safe_load_all(text))[-1]
    return pod


def test_the_api_and_the_size_come_from_the_image(
    cli: Cli, base: str, echo: str, file: Callable[..., Path]
) -> None:
    path = file({"image": base, "command": ["llama"]}, {"id": "acme-echo", "image": echo})
    done = cli("render", "pod", path)
    assert done.returncode == 0, done.stderr
    spec = _pod(done.stdout)["spec"]
    assert "--api=inference" in spec["initContainers"][0]["args"]
    (volume,) = [it for it in spec["volumes"] if it["name"] == "external-providers"]
    assert volume["emptyDir"] == {"sizeLimit": "128Mi"}
    assert cli("render", "pod", path).stdout == done.stdout


def test_pinned_images_have_the_digest_that_was_read(
    cli: Cli, base: str, echo: str, file: Callable[..., Path]
) -> None:
    path = file({"image": base, "command": ["llama"]}, {"id": "acme-echo", "image": echo})
    spec = _pod(cli("render", "pod", path, "--pin").stdout)["spec"]
    image = spec["initContainers"][0]["image"]
    digest = cli("inspect", echo).stdout.partition("digest:")[2].split()[0]
    assert image == f"{echo}@{digest}"
    assert f"--image={image}" in spec["initContainers"][0]["args"]
    assert spec["containers"][0]["image"].startswith(f"{base}@sha256:")


def test_an_image_that_is_no_provider_is_told_with_its_line(
    cli: Cli, base: str, file: Callable[..., Path]
) -> None:
    path = file({"image": base, "command": ["llama"]}, {"id": "acme-echo", "image": base})
    done = cli("render", "pod", path)
    told(done, 1, f"{path}:8:3", base, "no labels of a provider")
    path = file(
        {"image": base, "command": ["llama"]},
        {"id": "acme-echo", "image": base, "api": "inference"},
    )
    assert cli("render", "pod", path, "--from", "image-volume").returncode == 0


def test_an_api_that_the_image_does_not_serve_is_refused(
    cli: Cli, base: str, echo: str, file: Callable[..., Path]
) -> None:
    server = {"image": base, "command": ["llama"]}
    path = file(server, {"id": "acme-echo", "image": echo, "api": "safety"})
    told(cli("render", "pod", path), 1, "of API 'inference', not 'safety'", f"{path}:8:3")


def test_an_image_that_is_not_there_is_told_with_its_provider(
    cli: Cli, registry: str, base: str, file: Callable[..., Path]
) -> None:
    server = {"image": base, "command": ["llama"]}
    missing = f"{registry}/render/missing:1"
    path = file(server, {"id": "acme-echo", "image": missing})
    told(cli("render", "pod", path), 1, "acme-echo", missing)


def test_data_images_are_refused_as_init_containers(
    cli: Cli, registry: str, base: str, file: Callable[..., Path]
) -> None:
    data = f"{registry}/render/data:1"
    done = cli(
        "build", SAMPLES / "echo-inference", "--base", "scratch", "--output", f"docker://{data}"
    )
    assert done.returncode == 0, done.stderr
    path = file({"image": base, "command": ["llama"]}, {"id": "acme-echo", "image": data})
    told(cli("render", "pod", path), 1, "acme-echo", "--from image-volume")
    assert cli("render", "pod", path, "--from", "image-volume").returncode == 0  # the advice


def test_manifests_are_written_where_output_says(
    cli: Cli, base: str, echo: str, file: Callable[..., Path], tmp_path: Path
) -> None:
    path = file({"image": base, "command": ["llama"]}, {"id": "acme-echo", "image": echo})
    done = cli("render", "kustomize", path, "--output", tmp_path / "base")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "base" / "kustomization.yaml").is_file()
    assert done.stdout == ""
    (tmp_path / "file").write_text("")
    done = cli("render", "kustomize", path, "--output", tmp_path / "file")
    told(done, 3, str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == ""
