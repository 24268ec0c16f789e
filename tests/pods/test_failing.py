"""Acceptance scenarios that end with a message, before the server starts (contract section 9)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.engines.distribution import LLAMA_STACK
from tests.factories.wheels import write_wheel
from tests.native.elf import AARCH64, X86_64, elf
from tests.pods.conftest import Cli, Files, Play, config_map
from tests.pods.images import Images, copied

if TYPE_CHECKING:
    from tests.engines.containers import Engine

    from lls_provider.contract.names import BundleTree

pytestmark = [
    pytest.mark.engine,
    pytest.mark.network,
    pytest.mark.xdist_group("pods"),
]

ECHO = "echo-inference"
GUARD = "guard-safety"
RECORDED = Path(__file__).parents[1] / "deploy" / "pods"
SHOWN = {"x86_64": "x86_64", "aarch64": "arm64"}
MACHINES = {"x86_64": ("aarch64", AARCH64), "aarch64": ("x86_64", X86_64)}


def replace_wheel(tree: BundleTree, *, tag: str, files: dict[str, bytes]) -> None:
    """Put a wheel with another tag and more files in place of the provider's own."""
    (own,) = tree.packages.glob("echo_inference-*.whl")
    own.unlink()
    made = write_wheel(
        tree.packages,
        ECHO,
        "0.1.0",
        {"echo_inference/__init__.py": "raise SystemExit('imported')\n", **files},
        tag=tag,
    )
    spec = tree.spec.read_text("utf-8")
    tree.spec.write_text(spec.replace(own.name, made.name), "utf-8")


def retagged(images: Images, name: str, tag: str, files: dict[str, bytes] | None = None) -> str:
    """The image of the sample with a wheel for something else."""

    def change(tree: BundleTree) -> None:
        replace_wheel(tree, tag=tag, files=files or {})

    return images.changed(images.sample(ECHO), f"acme/{name}:1", change)


def refusal(image: str, reason: str, details: str, resolution: str) -> str:
    """The layout "Provider validation failed" of the contract, section 6."""
    return (
        "ERROR: Provider validation failed\n"
        "\n"
        "Provider: echo\n"
        "Module: echo_inference\n"
        f"Reason: {reason}\n"
        "\n"
        f"Image: {image}\n"
        f"{details}\n"
        "\n"
        f"Resolution: {resolution}"
    )


def other_machine(image: str) -> str:
    """The message about native code that was made for another machine than this one."""
    here = os.uname().machine
    expected, found = f"linux/{SHOWN[here]}", f"linux/{SHOWN[MACHINES[here][0]]}"
    return refusal(
        image,
        "Native extension architecture mismatch",
        f"Package: echo-inference\nExpected architecture: {expected}\nFound architecture: {found}",
        f"Build the provider image for {expected}.",
    )


@pytest.mark.scenario(3)
def test_conflicting_dependencies(images: Images, files: Files, play: Play, tmp_path: Path) -> None:
    needs = ("pyproject.toml", 'dependencies = ["pydantic>=2"]')
    old = copied(ECHO, tmp_path, (*needs, 'dependencies = ["pydantic>=2", "toolz==0.11.2"]'))
    new = copied(
        GUARD, tmp_path, (*needs, 'dependencies = ["pydantic>=2", "toolz>=0.12.1,<0.12.2"]')
    )
    first = images.project(old, "acme/echo-old-toolz:1")
    second = images.project(new, "acme/guard-new-toolz:1")
    pod = play(
        files.render(
            {"image": images.server(LLAMA_STACK)},
            {"id": "echo", "image": first},
            {"id": "guard", "image": second},
        ),
        ok=False,
    )
    assert pod.failure("install-provider-guard") == (
        "ERROR: Cannot install provider 'guard' due to dependency conflict\n"
        "\n"
        "Provider: guard\n"
        f"Image: {second}\n"
        "Init Container: install-provider-guard\n"
        "\n"
        "Installation failed with:\n"
        "toolz: 0.11.2 is installed, this image brings 0.12.1\n"
        f"  provider 'echo' (image: {first}) needs toolz==0.11.2\n"
        f"  provider 'guard' (image: {second}) needs toolz<0.12.2,>=0.12.1\n"
        "\n"
        "Previously installed packages can be found in: "
        "/opt/llama-stack/external-providers/installed-packages.txt\n"
        "\n"
        "Resolution: Update provider images to use compatible dependency versions, or reorder "
        "providers in the CRD if one provider's dependencies are a superset of another's."
    )


@pytest.mark.scenario(6)
def test_missing_metadata(images: Images, files: Files, play: Play) -> None:
    image = images.without_metadata(images.sample(ECHO), "acme/no-metadata:1")
    pod = play(
        files.render({"image": images.server(LLAMA_STACK)}, {"id": "echo", "image": image}),
        ok=False,
    )
    assert pod.failure("install-provider-echo") == (
        f"ERROR: Missing /lls-provider/lls-provider-spec.yaml in image {image}\n"
        "\n"
        "Provider: echo\n"
        f"Image: {image}\n"
        "Init Container: install-provider-echo\n"
        "\n"
        "Resolution: Build the provider image again with lls-provider-spec.yaml under "
        "/lls-provider ('lls-provider build' writes it)."
    )


@pytest.mark.scenario(7)
def test_a_provider_of_another_api(images: Images, files: Files, play: Play) -> None:
    image = images.sample(ECHO)
    server = {"image": images.server(LLAMA_STACK)}
    wrong = {"id": "echo", "image": image, "api": "safety"}
    refused = files.refused(server, wrong)
    assert "Provider 'echo' is of API 'inference', not 'safety'" in refused
    assert "Resolution: Remove 'api' from the entry, or write 'api: inference'." in refused
    # and where the images are not read:
    pod = play(
        files.render({**server, "python": "/opt/venv/bin/python3"}, wrong, options=("--no-read",)),
        ok=False,
    )
    assert pod.failure("install-provider-echo") == (
        "ERROR: Provider API type mismatch\n"
        "\n"
        f"Provider 'echo' (image: {image})\n"
        "declares api=inference in lls-provider-spec.yaml\n"
        "but is placed under externalProviders.safety\n"
        "\n"
        "Resolution: Move the provider to externalProviders.inference section in the LLSD spec."
    )


@pytest.mark.scenario(8)
def test_an_image_that_cannot_be_pulled(
    images: Images, files: Files, pod_engine: Engine, cli: Cli, play: Play
) -> None:
    image = f"{images.registry}/acme/nothing:1"
    provider = {"id": "echo", "image": image, "api": "inference"}
    server = {"image": images.server(LLAMA_STACK), "python": "/opt/venv/bin/python3"}
    pod = play(files.render(server, provider, options=("--no-read",)), ok=False)
    assert "manifest unknown" in pod.played.stderr
    assert not pod.written.exists()  # no container ran
    # the status is the kubelet's: what it writes was recorded
    done = cli("diagnose", RECORDED / "image-pull-backoff.json")
    assert done.returncode == 1
    assert "Failed to pull provider image registry.example.com/" in done.stdout
    assert "imagePullSecrets" in done.stdout


@pytest.mark.scenario(9)
def test_invalid_yaml_in_the_config_map(
    images: Images, files: Files, play: Play, tmp_path: Path
) -> None:
    broken = "version: 2\nproviders:\n  inference:\n  - provider_id: echo\n    config: {url: [1\n"
    provider = {"id": "echo", "image": images.sample(ECHO)}
    server = {"image": images.server(LLAMA_STACK)}
    # a file is read when the Pod is rendered
    (tmp_path / "run.yaml").write_text(broken)
    refused = files.refused({**server, "config": "run.yaml"}, provider)
    assert f"{tmp_path / 'run.yaml'}:6:1" in refused
    # a ConfigMap of the cluster is not
    pod = play(
        config_map("base", broken)
        + files.render({**server, "configMap": {"name": "base"}}, provider),
        ok=False,
    )
    assert pod.failure("merge-config") == (
        "ERROR: Invalid YAML\n"
        "\n"
        "File: /opt/llama-stack/base-config/run.yaml:6:1\n"
        "\n"
        "expected ',' or ']', but got '<stream end>' (line 6, column 1)\n"
        "while parsing a flow sequence (line 5, column 19)\n"
        "\n"
        "Resolution: Correct the YAML at this place."
    )


@pytest.mark.scenario(10)
def test_a_wheel_for_another_c_library(images: Images, files: Files, play: Play) -> None:
    tag = f"cp312-cp312-musllinux_1_2_{os.uname().machine}"
    image = retagged(images, "musl", tag)
    pod = play(
        files.render({"image": images.server(LLAMA_STACK)}, {"id": "echo", "image": image}),
        ok=False,
    )
    assert pod.failure("install-provider-echo") == refusal(
        image,
        "C library mismatch",
        f"Package: echo-inference\nExpected C library: glibc\nFound: {tag}",
        "Build the provider image with wheels for glibc.",
    )


@pytest.mark.scenario(10)
def test_a_damaged_wheel(images: Images, files: Files, play: Play) -> None:
    def change(tree: BundleTree) -> None:
        (own,) = tree.packages.glob("echo_inference-*.whl")
        data = own.read_bytes()
        own.write_bytes(data[: len(data) // 2])

    image = images.changed(images.sample(ECHO), "acme/damaged:1", change)
    pod = play(
        files.render({"image": images.server(LLAMA_STACK)}, {"id": "echo", "image": image}),
        ok=False,
    )
    assert pod.failure("install-provider-echo") == (
        "ERROR: The wheel echo_inference-0.1.0-py3-none-any.whl is not valid\n"
        "\n"
        "Provider: echo\n"
        f"Image: {image}\n"
        "File: /lls-provider/packages/echo_inference-0.1.0-py3-none-any.whl\n"
        "\n"
        "the archive is cut short or data follow it: its end record is not at its end\n"
        "\n"
        "Resolution: Build the wheel again, or download it again; where that brings the same file, "
        "use another version of the package. Then build the provider image with it."
    )


@pytest.mark.scenario(11)
def test_a_distribution_without_a_configuration(images: Images, files: Files, play: Play) -> None:
    pod = play(
        files.render(
            {"image": images.bare_server(LLAMA_STACK)},
            {"id": "echo", "image": images.sample(ECHO)},
        ),
        ok=False,
    )
    assert pod.failure("extract-distribution-config") == (
        "ERROR: The distribution's image has no configuration at a known path\n"
        "\n"
        "Tried:\n"
        "  /opt/app-root/run.yaml\n"
        "  /opt/app-root/config.yaml\n"
        "  /etc/llama-stack/run.yaml\n"
        "  /etc/llama-stack/config.yaml\n"
        "  /etc/ogx/config.yaml\n"
        "\n"
        "Resolution: Supply the configuration in a ConfigMap (in a provider file: "
        "'server.configMap' or 'server.config'), or name its path in the image "
        "('server.configPath', or --config-path)."
    )


@pytest.mark.scenario(12)
def test_two_providers_with_one_id(images: Images, files: Files, play: Play) -> None:
    first, second = images.sample(ECHO), images.sample(GUARD)
    server = {"image": images.server(LLAMA_STACK)}
    refused = files.refused(server, {"id": "echo", "image": first}, {"id": "echo", "image": second})
    assert first in refused
    assert second in refused
    text = files.render(server, {"id": "echo", "image": first}, {"id": "guard", "image": second})
    # equal names of containers are refused by every engine, so only the argument is changed
    pod = play(text.replace("--provider-id=guard", "--provider-id=echo"), ok=False)
    assert pod.failure("install-provider-guard") == (
        "ERROR: Provider 'echo' is installed twice\n"
        "\n"
        "Provider: echo\n"
        f"Image: {second}\n"
        "\n"
        f"It was installed from image {first} by init container install-provider-echo (order 0),\n"
        f"and is to be installed from image {second} by init container install-provider-guard.\n"
        "\n"
        "Resolution: Give each provider of the CR a providerId of its own."
    )


@pytest.mark.scenario(14)
def test_native_code_for_another_machine(images: Images, files: Files, play: Play) -> None:
    here = os.uname().machine
    _, code = MACHINES[here]
    native = {"echo_inference/_native.abi3.so": elf(code)}
    image = retagged(images, "other-machine", f"cp312-abi3-linux_{here}", native)
    pod = play(
        files.render({"image": images.server(LLAMA_STACK)}, {"id": "echo", "image": image}),
        ok=False,
    )
    assert pod.failure("preflight") == other_machine(image)
    assert "imported" not in pod.log


@pytest.mark.scenario(14)
def test_a_wheel_for_another_machine(images: Images, files: Files, play: Play) -> None:
    machine, _ = MACHINES[os.uname().machine]
    image = retagged(images, "other-wheel", f"cp312-abi3-manylinux_2_28_{machine}")
    pod = play(
        files.render({"image": images.server(LLAMA_STACK)}, {"id": "echo", "image": image}),
        ok=False,
    )
    assert pod.failure("install-provider-echo") == other_machine(image)


@pytest.mark.scenario(14)
def test_a_wheel_for_another_python(images: Images, files: Files, play: Play) -> None:
    tag = f"cp39-cp39-manylinux_2_28_{os.uname().machine}"
    image = retagged(images, "other-python", tag)
    pod = play(
        files.render({"image": images.server(LLAMA_STACK)}, {"id": "echo", "image": image}),
        ok=False,
    )
    assert pod.failure("install-provider-echo") == refusal(
        image,
        "Python version or ABI mismatch",
        f"Package: echo-inference\nExpected Python: cp312\nFound: {tag}",
        "Build the provider image for Python 3.12.",
    )
