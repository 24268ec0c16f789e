"""Providers' images as volumes: what `render` printed, in podman 5.4, which mounts them.

With the released operators the server's container installs from them: the custom resources are
played as the Pods that the operators make of them (`operators`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.engines.distribution import LLAMA_STACK, OGX
from tests.pods.conftest import Files, Play, player
from tests.pods.operators import llamastackdistribution_pod, ogxserver_pod

from lls_provider.deploy.render.pod_spec import RUN_YAML

if TYPE_CHECKING:
    from tests.engines.containers import Engine
    from tests.pods.images import Images

pytestmark = [
    pytest.mark.engine,
    pytest.mark.network,
    pytest.mark.server,
    pytest.mark.xdist_group("pods"),
]

ECHO = "echo-inference"
GUARD = "guard-safety"
TEXT = "text-file-processor"
BASE = "version: 2\ndistro_name: given\nproviders: {}\nserver:\n  insecure: true\n"
GENERATED = "server-config-0"
INSTALLED = "lls-provider: '{}' is installed already\n"


@pytest.fixture
def play(newer_podman: Engine, port: int, tmp_path: Path) -> Iterator[Play]:
    with player(newer_podman, port, tmp_path) as run:
        yield run


def echo(image: str) -> dict[str, Any]:
    return {"id": "echo", "image": image, "config": {"prefix": "You said: "}}


def text(image: str) -> dict[str, Any]:
    return {"id": "text", "image": image}


def operated(
    printed: str, pod_of: Callable[..., Mapping[str, Any]], *more: Mapping[str, Any]
) -> str:
    """What was rendered, with the operator's Pod in place of its resource."""
    *objects, resource = yaml.safe_load_all(printed)
    names = [it["metadata"]["name"] for it in more if it["kind"] == "ConfigMap"]
    return yaml.safe_dump_all([*more, *objects, pod_of(resource, *names)])


def test_a_pod_installs_from_data_images_that_are_mounted(
    images: Images, files: Files, play: Play
) -> None:
    guard = {"id": "guard", "image": images.data(GUARD), "config": {"blocked": ["password"]}}
    server = {"image": images.server(LLAMA_STACK)}
    options = ("--from", "image-volume")
    pod = play(files.render(server, guard, echo(images.data(ECHO)), options=options))
    assert set(pod.providers()) == {"echo", "guard"}
    assert pod.chat("echo", "Hello") == "You said: Hello"


def test_an_ogxserver_serves_providers_that_were_merged_ahead(
    images: Images, files: Files, play: Play
) -> None:
    (files.folder / "run.yaml").write_text(BASE)
    server = {"image": images.server(OGX), "config": "run.yaml"}
    providers = text(images.data(TEXT)), echo(images.data(ECHO))
    printed = files.render(server, *providers, line=OGX, target="ogxserver")
    pod = play(operated(printed, ogxserver_pod))
    assert set(pod.providers()) == {"echo", "text"}
    assert pod.chat("echo", "Hello") == "You said: Hello"
    assert "Merged" not in pod.log


def test_an_ogxserver_merges_into_what_the_operator_generated_at_each_start(
    images: Images, files: Files, play: Play
) -> None:
    server = {"image": images.server(OGX)}
    providers = text(images.data(TEXT)), echo(images.data(ECHO))
    printed = files.render(server, *providers, line=OGX, target="ogxserver")
    generated = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": GENERATED},
        "data": {"config.yaml": BASE},
    }
    pod = play(operated(printed, ogxserver_pod, generated))
    assert set(pod.providers()) == {"echo", "text"}
    assert pod.chat("echo", "Hello") == "You said: Hello"
    merged = pod.read(RUN_YAML)
    assert yaml.safe_load(merged)["distro_name"] == "given"  # and not that of the image

    first = pod.log
    assert INSTALLED.format("echo") not in first
    pod.engine.run("restart", f"{pod.name}-{pod.server}")
    assert pod.chat("echo", "again") == "You said: again"
    assert pod.read(RUN_YAML) == merged
    second = pod.log.removeprefix(first)
    assert INSTALLED.format("echo") + INSTALLED.format("text") in second
    assert "Merged 2 external providers" in second
    assert "WARNING: External provider" not in second


def test_an_ogxserver_reads_a_secret_configuration_when_it_starts(
    images: Images, files: Files, play: Play
) -> None:
    (files.folder / "run.yaml").write_text(BASE)
    server = {"image": images.server(OGX), "config": "run.yaml"}
    reference = {"secret": {"name": "greeting", "key": "config.yaml"}}
    provider = {"id": "echo", "image": images.data(ECHO), "configFrom": reference}
    printed = files.render(server, provider, line=OGX, target="ogxserver")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "greeting"},
        "stringData": {"config.yaml": "prefix: 'In the Secret alone: '\n"},
    }
    pod = play(operated(printed, ogxserver_pod, secret))
    assert pod.chat("echo", "Hello") == "In the Secret alone: Hello"
    assert "In the Secret" not in json.dumps(pod.inspect("ogx"))


def test_an_ogxserver_with_a_provider_that_fails_ends_with_the_message(
    images: Images, files: Files, play: Play
) -> None:
    image = images.data(GUARD)  # needs an API that ogx does not have
    printed = files.render(
        {"image": images.server(OGX)}, {"id": "guard", "image": image}, line=OGX, target="ogxserver"
    )
    pod = play(operated(printed, ogxserver_pod))
    assert pod.engine.run("wait", f"{pod.name}-ogx").stdout == "1\n"
    _, _, message = pod.log.partition("ERROR: ")
    reason = (
        "inline::guard-safety needs the safety API, which this server (ogx_api) does not have. "
        "Run it on llama-stack==0.7.3."
    )
    assert message.startswith(
        "Provider validation failed\n\nProvider: guard\nModule: guard_safety\n"
        f"Reason: {reason}\n\nImage: {image}\nImportError: {reason}\n"
    )
    # the message is the last of the container: the server has not been started
    assert message.rpartition("\nResolution: ")[2] == (
        "Run the provider on another server, one that has the safety API.\n"
    )


def test_a_llamastackdistribution_serves_what_it_merged_when_it_started(
    images: Images, files: Files, play: Play
) -> None:
    server = {"image": images.server(LLAMA_STACK)}
    printed = files.render(server, echo(images.data(ECHO)), target="llamastackdistribution")
    pod = play(operated(printed, llamastackdistribution_pod))
    assert set(pod.providers()) == {"echo"}
    assert pod.chat("echo", "Hello") == "You said: Hello"
