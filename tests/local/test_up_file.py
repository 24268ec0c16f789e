"""`up` with a provider file: images in a real registry, on the server that an image has."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.engines import distribution

import lls_provider
from lls_provider.bundle.bundle import Bundle
from lls_provider.image.bundle_image import compose

pytestmark = [
    pytest.mark.server,
    pytest.mark.engine,
    pytest.mark.network,
    pytest.mark.xdist_group("up-file"),
]

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
MakeProvider = Callable[..., Bundle]
WriteFile = Callable[..., Path]

CONFIG = """\
version: 2
distro_name: tests
providers: {}
server:
  port: 8321
  host: 0.0.0.0
registered_resources:
  models:
  - model_id: ${env.MODEL_OF_IMAGE}
    provider_id: echo
    model_type: llm
"""
CALL = (
    'POST /v1/chat/completions {"model": "echo/tiny", '
    '"messages": [{"role": "user", "content": "hello"}]}'
)


@pytest.fixture(scope="session")
def server_image(registry: str, python_base: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of a real llama-stack, with a configuration that reads a variable of the image."""
    layout = distribution.write_distribution(
        tmp_path_factory.mktemp("server") / "oci",
        python_base,
        replace(distribution.LLAMA_STACK, config=CONFIG),
        env=("MODEL_OF_IMAGE=tiny",),
    )
    reference = f"{registry}/up-file/server:1"
    lls_provider.push(f"oci:{layout}", f"docker://{reference}")
    return reference


@pytest.fixture
def provider_image(registry: str, make_provider: MakeProvider) -> str:
    """The image of the provider acme-echo."""
    reference = f"{registry}/up-file/acme-echo:1"
    lls_provider.push(compose(make_provider()), f"docker://{reference}")
    return reference


def _entry(image: str, **more: Any) -> Mapping[str, Any]:
    return {"id": "echo", "image": image, **more}


def test_the_images_of_a_file_are_installed_on_its_servers_image_and_called(
    cli: Cli, write_file: WriteFile, server_image: str, provider_image: str
) -> None:
    entry = _entry(provider_image, config={"prefix": "you said: "})
    path = write_file(entry, server={"image": server_image})
    done = cli("up", path, "--check", "--format", "json", "--call", CALL)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["server"] == f"docker://{server_image}"
    # the model is registered by the configuration in the image's layers
    assert document["call"]["body"]["choices"][0]["message"]["content"] == "you said: hello"
    assert document["providers"] == [
        {"provider_id": "echo", "api": "inference", "provider_type": "remote::acme-echo"}
    ]
    for phase in ("environment", "unpack", "install", "extract", "merge", "preflight", "server"):
        assert re.search(rf"^ *{phase} +done in ", done.stderr, re.MULTILINE)


def test_the_options_replace_what_only_a_cluster_has(
    cli: Cli, write_file: WriteFile, server_image: str, provider_image: str, tmp_path: Path
) -> None:
    server = {
        "image": server_image,
        "configMap": {"name": "base"},
        "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "t", "key": "k"}}}],
    }
    path = write_file(_entry(provider_image, configFrom={"secret": {"name": "s"}}), server=server)
    done = cli("up", path, "--check")
    assert done.returncode == 1
    assert "the configuration of provider 'echo' is in the Secret 's'" in done.stderr
    config = ("--config", 'echo={"prefix": "> "}')
    done = cli("up", path, "--check", *config)
    assert "The base configuration is in the ConfigMap 'base'" in done.stderr
    base = tmp_path / "run.yaml"
    base.write_text(CONFIG.replace("${env.MODEL_OF_IMAGE}", "tiny"))
    done = cli("up", path, "--check", *config, "--base-config", base)
    assert "The server's TOKEN cannot be had on this machine" in done.stderr
    done = cli(
        *("up", path, "--check", *config, "--base-config", base, "--env", "TOKEN=x"),
        *("--server", "llama-stack==0.7.3", "--call", CALL, "--format", "json"),
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["server"] == "llama-stack==0.7.3"
    assert document["call"]["body"]["choices"][0]["message"]["content"] == "> hello"


def test_an_api_that_the_image_does_not_have_is_told_with_the_files_line(
    write_file: WriteFile, provider_image: str
) -> None:
    path = write_file(_entry(provider_image, api="safety"))
    with pytest.raises(lls_provider.SdkError) as caught, lls_provider.up(path):
        pass
    assert caught.value.code is lls_provider.Code.API_MISMATCH
    where = caught.value.where
    assert (where.file, where.line, where.provider) == (str(path), 4, "echo")
    path = write_file(_entry(provider_image, api="inference"))  # the advice
    with lls_provider.up(path) as server:
        assert [it.provider_id for it in server.result.providers] == ["echo"]
